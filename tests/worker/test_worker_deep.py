"""The deeper check: what the libraries say of a recipe's model, settings and data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_model import write_tiny_recipe

from workbench.base.paths import Paths
from workbench.recipe.recipe import load_recipe, resolve
from workbench.run.deep import DeepReport, deep_check, resolve_all
from workbench.worker import deep_data, deep_model
from workbench.worker.deep_check import key_in, settings_of
from workbench.worker.machine import fit_config
from workbench.worker.stage_config import StageConfig, parse_config
from workbench.worker.stages import load_data

Parse = Callable[..., StageConfig]


@pytest.fixture
def parse(tiny: Path, tmp_path: Path) -> Parse:
    """A stage of a tiny recipe as TRL reads it."""

    def make(stage: str = "dpo", more: str = "", pairs: list[dict[str, Any]] | None = None) -> Any:
        path = write_tiny_recipe(tmp_path / "tiny.yaml", tiny, stages=(stage,), more=more)
        if pairs is not None:
            lines = "".join(f"{json.dumps(pair)}\n" for pair in pairs)
            (tmp_path / "data" / "prefs.jsonl").write_text(lines)
        config = resolve(
            load_recipe(path, stage=stage), stage, output_dir=tmp_path / "out", models=tmp_path
        )
        (tmp_path / f"{stage}.yaml").write_text(json.dumps(config))
        fit_config(tmp_path / f"{stage}.yaml", has_cuda=False, bf16_works=False)
        return parse_config(stage, tmp_path / f"{stage}.yaml")

    return make


def pair(prompt: str, chosen: str, rejected: str) -> dict[str, str]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def measured(config: StageConfig, folder: Path) -> dict[str, Any]:
    rows = deep_data.sample_of(load_data(config, folder).train, 42)
    tokenizer = deep_model.stage_tokenizer(config, None)
    found = deep_data.measure(config, deep_data.tokenise(config, rows, tokenizer))
    return {**found, **deep_data.teachless(config, rows), "sample": len(rows)}


def test_two_stages_from_outside(tiny: Path, tmp_path: Path) -> None:
    """The whole process, as the command starts it."""
    recipe = load_recipe(write_tiny_recipe(tmp_path / "tiny.yaml", tiny))
    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(tmp_path / "home")})
    said: list[str] = []
    report = deep_check(recipe, paths, say=said.append)
    assert [problem for problem in report.problems if problem.severity == "error"] == []
    assert report.stages.keys() == {"sft", "dpo"}
    sft, dpo = report.stages["sft"], report.stages["dpo"]
    assert (sft["rows"], sft["sample"], sft["dropped"]) == (24, 24, 0)
    assert (dpo["rows"], dpo["held_out"], dpo["truncated"]) == (18, 6, 0)
    assert sft["tokens"].keys() == {"row", "scored"}
    assert dpo["tokens"].keys() == {"prompt", "chosen", "rejected"}
    # q_proj 32 -> 32 and v_proj 32 -> 16 in two layers, rank 4.
    assert dpo["trainable"] == 2 * 4 * (32 + 32 + 32 + 16)
    assert dpo["modules"] == 4
    assert report.configs["dpo"]["values"]["beta"] == 0.1
    assert any("counting the tokens" in sentence for sentence in said)
    assert not (tmp_path / "home" / "runs").exists()


def test_settings_that_trl_refuses_are_placed(tiny: Path, tmp_path: Path) -> None:
    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(tmp_path / "home")})
    more = "lora_modules_to_save: [scoore]\npad_token: '<none>'\n"
    path = write_tiny_recipe(tmp_path / "tiny.yaml", tiny, stages=("dpo",), more=more)
    problems = deep_check(load_recipe(path), paths).problems
    told = [str(problem) for problem in problems if problem.severity == "error"]
    assert any("tiny.yaml:16:1: lora_modules_to_save: the model has no scoore" in t for t in told)
    assert any("tiny.yaml:17:1: the tokenizer has no token <none>" in text for text in told)
    assert any("`pad_token` is deprecated" in problem.what for problem in problems)


def test_data_are_looked_at_where_the_model_cannot_be_had(tmp_path: Path) -> None:
    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(tmp_path / "home")})
    path = write_tiny_recipe(tmp_path / "tiny.yaml", Path("org/m"), stages=("dpo",))
    report = deep_check(load_recipe(path), paths)
    (problem,) = [one for one in report.problems if one.severity == "error"]
    assert problem.where == "tiny.yaml:1:1"
    assert "org/m is not on this machine, and the hub cannot be reached" in problem.what
    assert report.stages["dpo"] == {"rows": 18, "held_out": 6, "sample": 18, "same": 0, "empty": 0}


def test_resolving_needs_no_model(tmp_path: Path) -> None:
    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(tmp_path / "home")})
    path = write_tiny_recipe(tmp_path / "tiny.yaml", Path("org/m"), stages=("dpo",))
    report: DeepReport = resolve_all(load_recipe(path), paths)
    values = report.configs["dpo"]["values"]
    assert values["max_length"] == 128
    assert values["datasets"][0]["data_files"] == str(tmp_path / "data" / "prefs.jsonl")
    assert values["lr_scheduler_type"] == "constant"
    assert "use_cpu" in report.configs["dpo"]["hardware"] or values["use_cpu"] is False
    assert report.stages == {}


def test_rows_that_are_cut_and_rows_that_are_lost(parse: Parse, tmp_path: Path) -> None:
    rows = [pair("What is tea? ", "Good.", "Bad.")] * 6
    rows += [pair("What is tea? ", "Good. " * 40, "Bad.")] * 3
    rows += [pair("What is tea? " * 40, "Good.", "Bad.")] * 3
    config = parse("dpo", "", rows)
    config.training.max_length = 32
    found = measured(config, tmp_path)
    assert found["sample"] == 9  # a quarter is held out
    lost = found["dropped"]
    assert found["truncated"] >= lost
    assert found["tokens"]["prompt"]["max"] > 32 > found["tokens"]["prompt"]["p50"]
    said = [str(problem) for problem in deep_data.check_measured(config, found)]
    assert f"{lost} of 9 rows lose their whole answer at max_length 32" in said[0]
    assert "95 % of the rows fit into" in said[0]


def test_the_count_is_that_of_trls_trainer(parse: Parse, tmp_path: Path) -> None:
    """What is called lost here is what TRL's own preparation leaves out."""
    from trl import DPOTrainer

    rows = [pair("What is tea? " * count, "Good.", "Bad.") for count in range(1, 21)]
    config = parse("dpo", "", rows)
    config.training.max_length = 64
    found = measured(config, tmp_path)
    tokenizer = deep_model.stage_tokenizer(config, None)

    class Stand:
        _tokenizer = tokenizer

    split = load_data(config, tmp_path).train
    kept = DPOTrainer._prepare_dataset(Stand(), split, tokenizer, config.training, "train")
    assert 0 < found["dropped"] == len(split) - len(kept)


def test_sft_counts_what_is_scored(parse: Parse, tmp_path: Path) -> None:
    config = parse("sft")
    found = measured(config, tmp_path)
    assert 0 < found["tokens"]["scored"]["max"] < found["tokens"]["row"]["max"]
    config.training.max_length = 3
    assert measured(config, tmp_path)["dropped"] == found["sample"]
    config.training.packing = True
    assert measured(config, tmp_path)["dropped"] == 0


def test_pairs_that_teach_nothing(parse: Parse, tmp_path: Path) -> None:
    rows = [pair("a ", "b", "b"), pair("a ", "b", " "), *[pair("a ", "b", "c")] * 6]
    config = parse("dpo", "", rows)
    config.data.test_split_size = None
    config.training.eval_strategy = "no"
    found = measured(config, tmp_path)
    assert (found["same"], found["empty"]) == (1, 1)
    said = [problem.what for problem in deep_data.check_measured(config, found)]
    assert said == ["1 of 8 pairs have equal answers", "1 of 8 rows have an empty answer"]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("yes", "yes"),
        ([{"role": "assistant", "content": "no"}], "no"),
        ([], ""),
        (None, ""),
        ([{"role": "assistant", "content": None, "tool_calls": [1]}], "[1]"),
    ],
)
def test_the_text_of_an_answer(answer: Any, text: str) -> None:
    assert deep_data.text_of(answer) == text


def test_conversations_need_a_chat_template(parse: Parse, tmp_path: Path) -> None:
    config = parse("dpo")
    rows = load_data(config, tmp_path).train
    tokenizer = deep_model.stage_tokenizer(config, None)
    assert list(deep_data.check_template(rows, tokenizer)) == []
    tokenizer.chat_template = None
    (problem,) = deep_data.check_template(rows, tokenizer)
    assert "no chat template" in problem.what


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["q_proj", "v_prj"], "the model has no v_prj. Did you mean v_proj?"),
        (".*(q|v)_proj", ""),
        (".*nix", "the model has no .*nix"),
        (".*(", "is no pattern"),
        ("all-linear", ""),
    ],
)
def test_target_modules_are_the_models_own(targets: Any, message: str, parse: Parse) -> None:
    config = parse()
    config.model.lora_target_modules = targets
    found = [str(problem) for problem in deep_model.check_modules(config, skeleton(config))]
    assert [message in text for text in found] == ([True] if message else [])


def skeleton(config: StageConfig) -> Any:
    model = deep_model.skeleton(config)
    assert all(parameter.is_meta for parameter in model.parameters())
    return model


def test_what_the_model_cannot_take(parse: Parse) -> None:
    config = parse()
    model = skeleton(config)
    assert list(deep_model.check_context(config, model)) == []
    config.training.max_length = 4096
    (problem,) = deep_model.check_context(config, model)
    assert "beyond the model's 512 positions" in problem.what
    tokenizer = deep_model.stage_tokenizer(config, None)
    assert list(deep_model.check_tokenizer(config, tokenizer, model)) == []
    tokenizer.add_tokens([f"<new{number}>" for number in range(8)])
    tokenizer.eos_token = None
    assert len(list(deep_model.check_tokenizer(config, tokenizer, model))) == 2


def test_what_this_machine_cannot_do(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse()
    assert list(deep_model.check_device(config)) == []
    config.training.fp16 = True
    config.training.use_cpu = True
    config.model.load_in_4bit = True
    monkeypatch.setattr(deep_model, "find_spec", lambda name: None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert [problem.where for problem in deep_model.check_device(config)] == [
        "fp16",
        "load_in_4bit",
        "load_in_4bit",
    ]


def test_every_setting_is_plain(parse: Parse) -> None:
    values = settings_of(parse())
    json.dumps({key: values[key] for key in ("beta", "lr_scheduler_type", "datasets")})
    assert values["lr_scheduler_type"] == "constant"
    assert values["datasets"][0]["path"] == "json"


def test_the_setting_that_a_message_names() -> None:
    assert (
        key_in("`loss_weights` must have the same length as `loss_type`", "dpo") == "loss_weights"
    )
    assert key_in("--tf32 requires Ampere", "dpo") == "tf32"
    assert key_in("nothing of ours", "dpo") == ""

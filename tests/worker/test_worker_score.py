"""Scores on the tiny model: against TRL's own evaluation, and where the answer is known."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_model import preference_rows
from worker_helpers import MakeRun, train

from workbench.base.problems import ProblemError
from workbench.judge.scores import Score, Wanted, load_scores, save, score, score_file
from workbench.run.directory import RunDirectory
from workbench.run.record import update_record
from workbench.run.sides import find_side

pytestmark = pytest.mark.model

TRL_NAMES = (
    *(f"eval_rewards/{name}" for name in ("accuracies", "margins", "chosen", "rejected")),
    *(f"eval_logps/{name}" for name in ("chosen", "rejected")),
)
PAIRS_ONLY = Wanted(samples=0, sft_rows=0)


def score_of(run: RunDirectory, *specs: str, wanted: Wanted = PAIRS_ONLY) -> Score:
    return score(run, [find_side(run, spec) for spec in specs], wanted)


def copy_of(run: RunDirectory, folder: Path) -> RunDirectory:
    """A run that a test may change."""
    shutil.copytree(run.path, folder / run.id, symlinks=True)
    return RunDirectory(folder / run.id)


def write_rows(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def trl_evaluation(run: RunDirectory, folder: Path, batch: int) -> dict[str, float]:
    """What an unmodified DPOTrainer says of a run's final weights on its held-out split."""
    from peft import PeftModel, load_peft_weights, set_peft_model_state_dict
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    from workbench.worker.stage_config import parse_config
    from workbench.worker.stages import load_data

    config = parse_config("dpo", run.config("dpo"))
    data = load_data(config, run.path)
    model = AutoModelForCausalLM.from_pretrained(config.model.model_name_or_path)
    policy = PeftModel.from_pretrained(model, run.output("sft"), is_trainable=True)
    trainer = DPOTrainer(
        model=policy,
        args=DPOConfig(
            output_dir=str(folder),
            beta=0.1,
            max_length=128,
            use_cpu=True,
            bf16=False,
            report_to="none",
            per_device_eval_batch_size=batch,
        ),
        train_dataset=data.train,
        eval_dataset=data.evaluation,
        processing_class=AutoTokenizer.from_pretrained(run.output("sft")),
    )
    weights = load_peft_weights(str(run.output("dpo")), device="cpu")
    set_peft_model_state_dict(trainer.model, weights, adapter_name="default")
    found: dict[str, float] = trainer.evaluate()
    return found


def test_the_final_weights_score_as_training_measured_them(finished: RunDirectory) -> None:
    found = score_of(finished, "base", "tuned").summary
    recorded = json.loads(finished.scores.read_text())
    assert found["rewards"]["tuned"]["trl"] == pytest.approx(
        {name: recorded[name] for name in TRL_NAMES}, abs=1e-4
    )
    assert max(found["training"]["differences"].values()) < 1e-4
    assert found["path"] == "packed, with a shared prefix"
    assert found["data"]["used"] == recorded["pairs"] == 6
    assert found["equal"] is False


@pytest.mark.parametrize(("batch", "packed"), [(4, "on"), (8, "off")])
def test_scores_are_those_of_an_unmodified_trl(
    batch: int, packed: str, finished: RunDirectory, tmp_path: Path
) -> None:
    run = copy_of(finished, tmp_path)
    # Batches of 4 and 2: TRL takes the mean of their means.
    with run.config("dpo").open("a") as file:
        file.write(f"per_device_eval_batch_size: {batch}\n")
    with run.recipe.open("a") as file:
        file.write(f"shared_prefix: {packed}\n")
    found = score_of(run, "base", "dpo").summary
    trl = trl_evaluation(run, tmp_path / "trl", batch)
    assert found["path"].startswith("packed" if packed == "on" else "TRL's own")
    assert found["rewards"]["dpo"]["trl"] == pytest.approx(
        {name: trl[name] for name in TRL_NAMES}, abs=1e-4
    )


def test_the_reference_and_the_first_side(finished: RunDirectory) -> None:
    found = score_of(finished, "sft", "dpo").summary
    # DPO's reference is the frozen SFT adapter: no margin, and none is above 0.
    assert found["rewards"]["sft"]["ties"] == 6
    assert found["rewards"]["sft"]["accuracy"]["value"] == 0.0
    assert found["between"]["margin"] == pytest.approx(found["rewards"]["dpo"]["margin"])
    step = score_of(finished, "base", "dpo:16").summary
    assert step["rewards"]["dpo:16"]["trl"] == pytest.approx(
        found["rewards"]["dpo"]["trl"], abs=1e-5
    )


@pytest.fixture(scope="module")
def whole(finished: RunDirectory) -> Score:
    """Everything that is measured, of the tiny run."""
    return score_of(
        finished, "base", "tuned", wanted=Wanted(samples=4, max_new_tokens=24, sft_rows=8)
    )


def test_the_kl_of_the_base_to_itself_is_nothing(whole: Score) -> None:
    answers = whole.summary["answers"]
    assert answers["base"]["kl"]["k3"]["value"] == answers["base"]["kl"]["k1"]["value"] == 0.0
    tuned = answers["tuned"]["kl"]
    assert 0 < tuned["k3"]["low"] <= tuned["k3"]["value"] <= tuned["k3"]["high"]
    assert (answers["base"]["answers"], answers["tuned"]["answers"]) == (4, 4)
    assert whole.summary["sampling"] == {"max_new_tokens": 24, "temperature": 1.0, "seed": 42}


def test_perplexity_is_that_of_plain_transformers(whole: Score, finished: RunDirectory) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    sft = whole.summary["sft"]
    assert (sft["rows"], sft["answers_only"]) == (8, True)
    rows = [row for row in whole.rows if row["kind"] == "sft"]
    folder = json.loads(finished.record.read_text())["model_path"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(model, finished.output("dpo")).eval()
    data = preference_rows(24)
    total = count = 0.0
    for row in rows:
        given = data[row["row"]]
        messages = [*given["prompt"], *given["chosen"]]
        ids = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)
        start = tokenizer.apply_chat_template(
            given["prompt"], add_generation_prompt=True, return_dict=True
        )
        with torch.no_grad():
            logps = tuned(ids["input_ids"]).logits.log_softmax(-1)[0, :-1]
        picked = logps.gather(1, ids["input_ids"][0, 1:, None])[len(start["input_ids"]) - 1 :]
        assert row["logps"]["tuned"] == pytest.approx(float(picked.sum()), abs=1e-3)
        total, count = total + float(picked.sum()), count + len(picked)
    assert sft["perplexity"]["tuned"] == pytest.approx(math.exp(-total / count), rel=1e-4)


def test_a_score_is_kept_with_the_worst_rows_first(whole: Score, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    file = save(run, whole)
    assert file == tmp_path / "scores" / "base..tuned.json"
    assert file.stat().st_mode & 0o777 == 0o600
    (kept,) = load_scores(run)
    assert kept["rewards"]["tuned"]["trl"] == whole.summary["rewards"]["tuned"]["trl"]
    rows = [json.loads(line) for line in file.with_suffix(".rows.jsonl").read_text().splitlines()]
    assert [row["kind"] for row in rows] == ["pair"] * 6 + ["answers"] * 4 + ["sft"] * 8
    changes = [row["margin_change"] for row in rows[:6]]
    assert changes == sorted(changes)
    assert set(rows[6]["answers"]) == {"base", "tuned"}
    assert score_file(run, ["base", "a-b@dpo:8"]).name == "base..a-b-dpo-8.json"


def test_a_zero_adapter_equals_the_base(finished: RunDirectory, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    run = copy_of(finished, tmp_path)
    file = run.output("dpo") / "adapter_model.safetensors"
    weights = load_file(file)
    zeroed = {n: w * 0 if "lora_B" in n else w for n, w in weights.items()}
    save_file(zeroed, file, metadata={"format": "pt"})
    wanted = Wanted(samples=3, max_new_tokens=8, sft_rows=4)
    found = score_of(run, "base", "tuned", wanted=wanted).summary
    assert found["equal"] is True
    assert found["between"]["ties"] == 6
    assert found["between"]["accuracy"]["value"] == 0.0
    assert found["answers"]["tuned"]["kl"]["k3"]["value"] == 0.0
    assert found["sft"]["ratio"]["value"] == 1.0
    assert found["answers"]["tuned"]["tokens"] == found["answers"]["base"]["tokens"]


def test_pairs_of_any_shape_with_slices(finished: RunDirectory, tmp_path: Path) -> None:
    rows = preference_rows(8)
    texts = [
        {
            "prompt": row["prompt"][0]["content"] + " ",
            "chosen": row["chosen"][0]["content"],
            "rejected": row["rejected"][0]["content"],
            "category": "even" if number % 2 == 0 else "odd",
        }
        for number, row in enumerate(rows)
    ]
    plain = write_rows(tmp_path / "plain.jsonl", texts)
    found = score_of(finished, "base", "tuned", wanted=Wanted(data=str(plain), samples=0))
    slices = found.summary["rewards"]["tuned"]["slices"]
    assert {one["value"] for one in slices if one["by"] == "category"} == {"even", "odd"}
    assert "training" not in found.summary
    implicit = [
        {name: row["prompt"] + row[name] for name in ("chosen", "rejected")} for row in rows
    ]
    file = write_rows(tmp_path / "implicit.jsonl", implicit)
    own = write_rows(tmp_path / "explicit.jsonl", rows)
    one, other = (
        score_of(finished, "base", "tuned", wanted=Wanted(data=str(data), samples=0, sft_rows=0))
        for data in (file, own)
    )
    assert one.summary["data"]["fingerprint"] == other.summary["data"]["fingerprint"]
    few = Wanted(data=str(own), rows=3, samples=0, sft_rows=0)
    first = score_of(finished, "base", "tuned", wanted=few).summary
    assert (first["data"]["rows"], first["data"]["used"]) == (8, 3)


@pytest.fixture(scope="module")
def sft_only(new_run: MakeRun) -> RunDirectory:
    """A finished run of one SFT stage."""
    run = new_run(stages=("sft",), steps=4)
    assert train(run).state == "finished"
    return run


def test_a_run_without_dpo_needs_pairs(sft_only: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as caught:
        score_of(sft_only, "base", "tuned")
    assert str(caught.value).startswith("test_split_size: the run has held out no pairs.")
    data = write_rows(tmp_path / "pairs.jsonl", preference_rows(4))
    wanted = Wanted(data=str(data), samples=2, max_new_tokens=8)
    found = score_of(sft_only, "base", "tuned", wanted=wanted).summary
    # The same pairs in another shape are the same pairs.
    others = [{"question": row["prompt"], "better": row["chosen"], "worse": row["rejected"]}
              for row in preference_rows(4)]  # fmt: skip
    wanted = replace(wanted, data=str(write_rows(tmp_path / "others.jsonl", others)))
    again = score_of(sft_only, "base", "tuned", wanted=wanted).summary
    assert again["rewards"] == found["rewards"]
    assert found["reference"] == {"folder": "", "sha256": "", "of": "sft"}
    assert found["rewards"]["base"]["ties"] == 4
    assert found["rewards"]["tuned"]["margin"] == found["between"]["margin"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"prompt": "a", "answer": "b"}\n', "it is made for sft, not for dpo"),
        ("{broken\n", "broken.jsonl"),
        ("", "broken.jsonl"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_scored_is_one_problem(
    content: str, message: str, finished: RunDirectory, tmp_path: Path
) -> None:
    file = tmp_path / "broken.jsonl"
    file.write_text(content)
    with pytest.raises(ProblemError) as caught:
        score_of(finished, "base", "tuned", wanted=Wanted(data=str(file)))
    assert len(caught.value.problems) == 1
    assert message in str(caught.value)


def test_weights_that_are_gone(finished: RunDirectory, tmp_path: Path) -> None:
    run = copy_of(finished, tmp_path)
    side = find_side(run, "tuned")
    shutil.rmtree(run.output("dpo"))
    with pytest.raises(ProblemError, match="the weights are gone"):
        score(run, [find_side(run, "base"), side], PAIRS_ONLY)
    update_record(run, results={})
    with pytest.raises(ProblemError, match="has no weights for dpo"):
        find_side(run, "dpo")


def test_a_score_that_is_ended_early_says_so(finished: RunDirectory) -> None:
    sides = [find_side(finished, spec) for spec in ("base", "tuned")]
    with pytest.raises(ProblemError, match="the score has failed: exit code"):
        score(finished, sides, PAIRS_ONLY, begun=lambda end: end())


def test_whole_models(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of a run that trained all weights the reference is the whole model that SFT has left."""
    from tiny_model import write_tiny_recipe

    from workbench.base.paths import Paths
    from workbench.recipe.recipe import load_recipe
    from workbench.run.directory import create_run

    folder = tmp_path_factory.mktemp("whole")
    recipe = write_tiny_recipe(folder / "whole.yaml", tiny, steps=4)
    text = "".join(
        line
        for line in recipe.read_text().splitlines(keepends=True)
        if not line.startswith(("use_peft", "lora_"))
    )
    recipe.write_text(text)
    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(folder / "home")})
    run = create_run(paths, load_recipe(recipe))
    assert train(run).state == "finished", run.log.read_text()
    wanted = Wanted(samples=2, max_new_tokens=8, sft_rows=4)
    found = score_of(run, "base", "tuned", wanted=wanted).summary
    assert found["reference"]["folder"] == str(run.output("sft"))
    recorded = json.loads(run.scores.read_text())
    assert found["rewards"]["tuned"]["trl"] == pytest.approx(
        {name: recorded[name] for name in TRL_NAMES}, abs=1e-4
    )
    assert found["answers"]["tuned"]["kl"]["k3"]["value"] > 0
    assert found["answers"]["base"]["kl"]["k3"]["value"] == 0


def length_pairs(lengths: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Pairs whose answers say the same sort of thing, at so many words (chosen, rejected)."""
    words = ["simple", "good", "and", "part", "of", "every", "day"]
    rows = []
    for number, counts in enumerate(lengths):
        row = dict(preference_rows(number + 1)[number])
        for side, count in zip(("chosen", "rejected"), counts, strict=True):
            text = " ".join(words[(number + place) % len(words)] for place in range(count))
            row[side] = [{"role": "assistant", "content": text}]
        rows.append(row)
    return rows


def test_an_adapter_that_was_trained_to_lengthen_is_flagged(
    new_run: MakeRun, tmp_path: Path
) -> None:
    run = new_run(stages=("dpo",), steps=16)
    (file,) = {Path(path) for path in re.findall(r"\S+prefs\.jsonl", run.config("dpo").read_text())}
    write_rows(file, length_pairs([(18 + number % 7, 4 + number % 3) for number in range(24)]))
    assert train(run).state == "finished", run.log.read_text()
    both = [(14 + number % 9, 5 + number % 4) for number in range(26)]
    both += [(5 + number % 4, 14 + number % 9) for number in range(14)]
    data = write_rows(tmp_path / "both.jsonl", length_pairs(both))
    wanted = Wanted(data=str(data), samples=0, sft_rows=0)
    view = score_of(run, "base", "tuned", wanted=wanted).summary["rewards"]["tuned"]["length"]
    assert view["verdict"] == "mostly length"
    assert view["longer"]["value"] > 0.9
    assert view["shorter"]["value"] < 0.1

"""The training process on a tiny model: what it writes, how it stops, fails and goes on."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import pytest
from worker_helpers import (
    MakeRun,
    log_rows,
    losses,
    train,
    wait_for_end,
    wait_until,
)

from workbench.base.tail import read_jsonl
from workbench.run.directory import RunDirectory
from workbench.run.foreign_runs import find_state, read_foreign_run
from workbench.run.launch import launch, resume, stop
from workbench.run.record import read_record, update_record
from workbench.run.samples import read_samples
from workbench.worker import train as train_process

pytestmark = pytest.mark.model


def test_a_run_of_two_stages_leaves_its_directory_full(finished: RunDirectory) -> None:
    record = read_record(finished)
    assert record.exit_code == 0
    assert set(record.results) == {"sft", "dpo"}
    for result in record.results.values():
        assert result["steps"] == 16
        assert result["seconds"] > 0
        assert result["peak_rss_bytes"] > 100_000_000
    environment = json.loads(finished.environment.read_text())
    assert environment["datasets"]["sft"]["train"]["kept"] == 24
    assert environment["datasets"]["dpo"]["test"]["rows"] == 6
    assert len(environment["datasets"]["dpo"]["files"][0]["sha256"]) == 64
    assert environment["datasets"]["sft"]["path"] == "packed, without padding"
    assert environment["datasets"]["dpo"]["path"] == "packed, with a shared prefix"
    assert environment["versions"]["trl"].startswith("1.16")
    scores = json.loads(finished.scores.read_text())
    assert scores["stage"] == "dpo"
    assert 0 <= scores["eval_rewards/accuracies"] <= 1
    assert scores["pairs"] == 6
    assert finished.path.stat().st_mode & 0o077 == 0
    assert (finished.output("dpo") / "adapter_model.safetensors").stat().st_mode & 0o077 == 0


def test_dpo_starts_from_the_sft_policy_as_its_reference(finished: RunDirectory) -> None:
    first = log_rows(finished, "dpo")[0]
    assert first["loss"] == pytest.approx(math.log(2))
    assert first["rewards/chosen"] == 0.0
    # The policy scores the chosen answers as SFT left it: far better than the random base does.
    assert losses(finished, "sft")[16] < losses(finished, "sft")[1] - 1.0
    assert first["logps/chosen"] > log_rows(finished, "dpo")[0]["logps/rejected"]


def test_metrics_keep_trl_names_and_add_speed_and_memory(finished: RunDirectory) -> None:
    row = log_rows(finished, "dpo")[3]
    assert row["step"] == 4
    assert {"time", "grad_norm", "rewards/margins", "logps/rejected", "epoch"} <= set(row)
    assert row["tokens_per_second"] > 0
    assert row["memory/rss_gb"] > 0.1
    assert row["samples"] == 4
    assert row["samples_per_second"] > 0
    assert row["lengths/chosen"] > 1
    assert row["lengths/rejected"] > 1
    assert log_rows(finished, "sft")[3]["lengths/completion"] > 1
    events = [r["event"] for r in read_jsonl(finished.metrics) if "event" in r]
    assert events.count("stage") == 2
    assert events[-1] == "end"


def test_the_seconds_of_a_stage_add_up_to_its_time(finished: RunDirectory) -> None:
    for stage in ("sft", "dpo"):
        rows = [row for row in read_jsonl(finished.metrics) if row.get("stage") == stage]
        began = next(row["time"] for row in rows if row.get("event") == "stage")
        ended = next(row["time"] for row in rows if "train_loss" in row)
        spent = {
            name: sum(row.get(name, 0.0) for row in rows)
            for name in {name for row in rows for name in row if name.startswith("seconds/")}
        }
        assert sum(spent.values()) == pytest.approx(ended - began, abs=0.2, rel=0.05)
        assert all(spent[f"seconds/{kind}"] > 0 for kind in ("data", "forward", "backward"))
        assert spent["seconds/save"] > 0
    assert spent["seconds/eval"] > 0


def test_probe_prompts_are_answered_before_and_after_each_stage(finished: RunDirectory) -> None:
    samples = [row for row in read_jsonl(finished.samples) if not row.get("checkpoint")]
    assert [row["side"] for row in samples] == ["base", "base", "sft", "sft", "dpo", "dpo"]
    assert samples[0]["prompt"] == "What is tea?"
    assert all(row["tokens"] > 0 or row["answer"] == "" for row in samples)


def test_the_final_adapters_load_on_the_plain_base(finished: RunDirectory, tiny: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    for stage in ("sft", "dpo"):
        base = AutoModelForCausalLM.from_pretrained(tiny)
        model = PeftModel.from_pretrained(base, finished.output(stage))
        assert list(model.peft_config) == ["default"]
    assert not (finished.output("dpo") / "ref").exists()


def test_stop_kill_and_resume_change_no_loss(new_run: MakeRun, finished: RunDirectory) -> None:
    run = new_run(steps=16)
    launch(run)
    wait_until(lambda: len(losses(run, "sft")) >= 3, "three steps of SFT")
    assert "checkpoint" in stop(run)
    record = wait_for_end(run)
    assert (record.state, record.stage, record.exit_code) == ("stopped", "sft", 0)
    assert run.checkpoints("sft")[-1] == Path(record.stopped_at)

    resume(run)
    wait_until(lambda: len(run.checkpoints("dpo")) >= 1, "a checkpoint of DPO")
    os.kill(read_record(run).pid, signal.SIGKILL)
    assert wait_for_end(run).state == "killed"

    resume(run)
    assert wait_for_end(run).state == "finished"
    for stage in ("sft", "dpo"):
        assert losses(run, stage) == losses(finished, stage)
        tokens = [row["num_tokens"] for row in log_rows(run, stage)]
        assert tokens == [row["num_tokens"] for row in log_rows(finished, stage)]
    resumed = [r["stage"] for r in read_jsonl(run.metrics) if r.get("event") == "resume"]
    assert resumed == ["sft", "dpo"]
    sides = [row["side"] for row in read_jsonl(run.samples) if not row.get("checkpoint")]
    assert sides == ["base", "base", "sft", "sft", "dpo", "dpo"]


def test_a_run_that_lost_only_its_end_trains_no_further_step(
    finished: RunDirectory, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path / finished.id)
    shutil.copytree(finished.path, run.path)
    config = run.config("dpo")
    config.write_text(config.read_text().replace(str(finished.path), str(run.path)))
    results = read_record(finished).results
    update_record(run, state="stopped", results={"sft": results["sft"]})
    *kept, _last = run.samples.read_text().splitlines(keepends=True)
    run.samples.write_text("".join(kept))
    (run.output("dpo") / "adapter_model.safetensors").unlink()
    run.scores.unlink()

    resume(run)
    record = wait_for_end(run)
    assert record.state == "finished"
    assert losses(run, "dpo") == losses(finished, "dpo")
    again = record.results["dpo"]
    assert again["train_loss"] == pytest.approx(results["dpo"]["train_loss"], abs=1e-4)
    for name in ("eval_loss", "eval_rewards/accuracies", "eval_rewards/margins"):
        assert again["eval"][name] == results["dpo"]["eval"][name]
    answers = [{row.answer for row in read_samples(one)} for one in (run, finished)]
    assert answers[0] == answers[1]
    weights = [one.output("dpo") / "adapter_model.safetensors" for one in (run, finished)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_trl_itself_takes_the_config_and_reaches_the_same_losses(
    new_run: MakeRun, tmp_path: Path
) -> None:
    run = new_run(stages=("dpo",), steps=6)
    config = run.config("dpo")
    text = config.read_text().replace("test_split_size: 0.25\n", "")
    config.write_text(text.replace("eval_strategy: steps\n", "").replace("eval_steps: 100\n", ""))
    assert train(run).state == "finished"
    trl = Path(sys.executable).with_name("trl")
    output = tmp_path / "trl"
    command = [trl, "dpo", "--config", config, "--output_dir", output, "--save_steps", "6"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    state = json.loads((output / "checkpoint-6" / "trainer_state.json").read_text())
    theirs = {row["step"]: row["loss"] for row in state["log_history"] if "loss" in row}
    assert losses(run, "dpo") == pytest.approx(theirs, abs=1e-5)


def test_a_lost_loss_ends_the_run_and_keeps_the_last_good_checkpoint(new_run: MakeRun) -> None:
    run = new_run(stages=("dpo",), steps=8)
    config = run.config("dpo")
    # The first step of a warmup has rate 0, the second one explodes.
    text = config.read_text().replace("learning_rate: 0.01", "learning_rate: 1.0e+30")
    text = text.replace("scheduler_type: constant", "scheduler_type: constant_with_warmup")
    config.write_text(text.replace("save_steps: 2", "save_steps: 1\nwarmup_steps: 4"))
    record = train(run)
    assert record.state == "diverged"
    assert record.exit_code == 1
    assert record.error is not None
    assert record.error["what"].startswith("diverged at step ")
    assert "learning_rate" in record.error["next_step"]
    rows = read_jsonl(run.metrics)
    assert any(row.get("non_finite") for row in rows)
    from workbench.worker.checkpoints import is_sound, weight_files

    (checkpoint,) = run.checkpoints("dpo")
    assert checkpoint.name == "checkpoint-1"
    assert "The last good checkpoint is kept: checkpoint-1." in record.error["next_step"]
    assert any("checkpoint-2" in note and "checkpoint-1" in note for note in record.notes)
    assert all(is_sound(file) for file in weight_files(checkpoint))


def test_a_wrong_lora_target_names_the_layers_there_are(new_run: MakeRun) -> None:
    run = new_run(stages=("sft",))
    config = run.config("sft")
    config.write_text(config.read_text().replace("- q_proj", "- foo").replace("- v_proj", "- bar"))
    record = train(run)
    assert record.state == "failed"
    assert record.error is not None
    assert "LoRA" in record.error["what"]
    assert "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj" in record.error["next_step"]
    assert record.error["where"] == "lora_target_modules"
    assert record.evidence[0].startswith("the first cause was NoMatching")
    assert "Traceback" in run.log.read_text()


def test_a_second_worker_leaves_the_run_alone(
    new_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    before = run.record.read_text()
    monkeypatch.setattr(train_process, "LOCK_SECONDS", 0.0)
    monkeypatch.setattr(os, "umask", lambda _mode: 0)
    with filelock.FileLock(run.lock):
        assert train_process.main([str(run.path)]) == 1
    assert run.record.read_text() == before


def test_what_trl_leaves_is_imported_as_the_same_curves(finished: RunDirectory) -> None:
    output = finished.output("dpo")
    state = find_state(output)
    assert state is not None
    found = read_foreign_run(state)
    own = [
        {name: value for name, value in row.items() if name == "step" or "rewards/" in name}
        for row in log_rows(finished, "dpo")
    ]
    theirs = [
        {name: row[name] for name in mine} for row, mine in zip(found.rows, own, strict=False)
    ]
    assert found.stage == "dpo"
    assert found.step == found.max_steps == 16
    assert found.left_out == 0
    assert theirs == own[: len(theirs)]
    assert len(theirs) > 4
    assert found.settings["lora_r"] == 4
    assert "base_model_name_or_path" not in found.settings

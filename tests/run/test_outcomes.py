from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.base.files import append_json
from workbench.run import outcomes as module
from workbench.run.directory import RunDirectory
from workbench.run.metrics import MetricsReader
from workbench.run.outcomes import OutcomeBook, Outcomes, better, outcomes


def make_run(folder: Path, name: str = "one") -> RunDirectory:
    run = RunDirectory(folder / name)
    run.path.mkdir()
    for stage, offset in (("sft", 2.0), ("dpo", 0.0)):
        for step in range(1, 21):
            row = {"time": 100.0 + step, "stage": stage, "step": step, "epoch": step / 20}
            row |= {"loss": offset + abs(step - 15) / 10, "rewards/margins": step % 7, "odd": 1.0}
            append_json(run.metrics, row)
    append_json(run.metrics, {"stage": "sft", "step": 21, "mean_token_accuracy": 0.5})
    return run


def test_final_and_best_are_of_the_last_stage_that_has_the_metric(tmp_path: Path) -> None:
    found = outcomes(make_run(tmp_path))
    assert found.final["loss"] == 0.5
    assert found.best == {
        "loss": (0.0, 15),
        "rewards/margins": (6.0, 6),
        "mean_token_accuracy": (0.5, 21),
    }
    assert found.final["odd"] == 1.0
    assert found.stages["loss"] == "dpo"
    assert found.stages["mean_token_accuracy"] == "sft"
    assert outcomes(RunDirectory(tmp_path / "none")) == Outcomes()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("eval_loss", "lower"),
        ("loss", "lower"),
        ("grad_norm", "lower"),
        ("seconds/data", "lower"),
        ("memory/gpu_gb", "lower"),
        ("eval_rewards/accuracies", "higher"),
        ("tokens_per_second", "higher"),
        ("logps/chosen", None),
        ("learning_rate", None),
        ("lossy", None),
    ],
)
def test_which_values_are_better(name: str, expected: str | None) -> None:
    assert better(name) == expected


def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The metrics files that are opened from now on."""
    opened: list[Path] = []

    class Counted(MetricsReader):
        def __init__(self, run: RunDirectory) -> None:
            opened.append(run.path)
            super().__init__(run)

    monkeypatch.setattr(module, "MetricsReader", Counted)
    return opened


def test_a_book_reads_a_file_once_and_what_it_grows_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    opened = reads(monkeypatch)
    file = tmp_path / "cache" / "outcomes.json"
    book = OutcomeBook(file)
    assert book.known(run) is None
    found = book.read(run)
    assert found == outcomes(run)
    assert opened == [run.path] * 2
    assert book.read(run) == book.known(run) == found
    book.save()
    again = OutcomeBook(file)
    assert again.read(run) == found
    assert len(opened) == 2
    for step in (21, 22):
        append_json(run.metrics, {"stage": "dpo", "step": step, "loss": -float(step)})
        assert again.read(run).best["loss"] == (-float(step), step)
    # The reader of a run that grows is kept, so its beginning is read once more only.
    assert len(opened) == 3


def test_runs_without_metrics_have_no_outcomes(tmp_path: Path) -> None:
    book = OutcomeBook()
    run = RunDirectory(tmp_path / "none")
    assert book.known(run) == book.read(run) == Outcomes()
    book.save()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"version": 1, "runs": []}', '{"version": 9, "runs": {}}', "[" * 5000,
     '{"version": 1, "runs": {"a": 1, "b": {"stamp": [1, 2]}, "c": {"stamp": [1, 2, "x"]}}}'],
)  # fmt: skip
def test_a_damaged_book_is_read_anew(tmp_path: Path, content: str) -> None:
    run = make_run(tmp_path)
    file = tmp_path / "outcomes.json"
    file.write_text(content)
    book = OutcomeBook(file)
    assert book.read(run).final["loss"] == 0.5
    book.save()
    assert str(run.path) in json.loads(file.read_text())["runs"]


def test_values_of_a_book_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    file = tmp_path / "outcomes.json"
    book = OutcomeBook(file)
    book.read(run)
    book.save()
    content = json.loads(file.read_text())
    entry = content["runs"][str(run.path)]
    entry["final"]["loss"], entry["best"]["rewards/margins"] = "x", [1.0, "y"]
    file.write_text(json.dumps(content))
    known = OutcomeBook(file).known(run)
    assert known is not None
    assert "loss" not in known.final
    assert "rewards/margins" not in known.best


def test_a_book_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    book = OutcomeBook(tmp_path / "file" / "outcomes.json")
    assert book.read(make_run(tmp_path)).final["loss"] == 0.5
    book.save()

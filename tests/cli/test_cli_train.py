"""run, resume and quickstart, with a launcher that writes what a worker would."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoint_files import write_adapter, write_checkpoint

from workbench.base.files import write_atomic
from workbench.base.paths import Paths
from workbench.cli import main
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory, list_runs
from workbench.run.record import read_record, update_record

Capture = pytest.CaptureFixture[str]
MakeRun = Callable[..., RunDirectory]

RESULT = {"seconds": 61.0, "steps": 6, "eval": {"eval_rewards/accuracies": 0.95}}
ERROR = {"what": "column chosen is missing", "where": "prefs.jsonl", "next_step": "Add it."}


class Worker:
    """Stands in for the launcher: ends each run at once, in the state that the test names."""

    def __init__(self) -> None:
        self.changes: dict[str, Any] = {"state": "finished", "results": {"dpo": RESULT}}
        self.launched: list[RunDirectory] = []
        self.accepted = False

    def launch(self, run: RunDirectory, *, accept_changes: bool = False) -> int:
        self.launched.append(run)
        self.accepted = accept_changes
        end = {"pid": 4242, "step": 6, "max_steps": 6, "started": 1000.0, "finished": 1061.0}
        update_record(run, **{**end, **self.changes})
        return 4242


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    fake = Worker()
    monkeypatch.setattr("workbench.cli.train.launch", fake.launch)
    monkeypatch.setattr("workbench.cli.train.resume", fake.launch)
    return fake


def test_run_follows_to_the_end(
    recipe_file: Path, worker: Worker, paths: Paths, capsys: Capture
) -> None:
    assert main(["run", "short.yaml", "--name", "first"]) == 0
    (run,) = list_runs(paths)
    assert read_record(run).name == "first"
    assert capsys.readouterr().out.splitlines() == [
        f"Run {run.id}",
        f"in {run.path}",
        "dpo [################] 6/6 100%  finished",
        f"{run.id} finished after 1:01",
        "  dpo   6 steps in 1:01",
        "        held-out accuracy 0.95",
        f"Compare base and tuned: dpo-workbench compare {run.id}",
        f"Next: dpo-workbench score {run.id}",
    ]


def test_run_detached_prints_the_id(
    recipe_file: Path, worker: Worker, paths: Paths, capsys: Capture
) -> None:
    assert main(["run", "short.yaml", "--detach"]) == 0
    (run,) = list_runs(paths)
    assert capsys.readouterr().out == f"{run.id}\n"


def test_run_detached_as_json(
    recipe_file: Path, worker: Worker, paths: Paths, capsys: Capture
) -> None:
    assert main(["run", "short.yaml", "--detach", "--json"]) == 0
    (run,) = list_runs(paths)
    assert json.loads(capsys.readouterr().out) == {
        "run": run.id,
        "path": str(run.path),
        "pid": 4242,
    }


def test_run_as_json_keeps_stdout_for_the_result(
    recipe_file: Path, worker: Worker, capsys: Capture
) -> None:
    assert main(["run", "short.yaml", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["state"] == "finished"
    assert "6/6 100%" in captured.err


def test_a_run_that_failed_says_why(recipe_file: Path, worker: Worker, capsys: Capture) -> None:
    worker.changes = {"state": "failed", "error": ERROR}
    assert main(["run", "short.yaml"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "prefs.jsonl: column chosen is missing. Add it.\n"
    assert "failed after 1:01" in captured.out


def test_a_stopped_run_is_not_done(recipe_file: Path, worker: Worker, capsys: Capture) -> None:
    worker.changes = {"state": "stopped", "step": 4}
    assert main(["run", "short.yaml"]) == 1
    out = capsys.readouterr().out
    assert "Go on from step 4: dpo-workbench resume " in out


def test_settings_are_written_into_the_run_s_recipe(
    recipe_file: Path, worker: Worker, paths: Paths
) -> None:
    before = recipe_file.read_text()
    assert main(["run", "short.yaml", "--set", "beta=0.3", "--set", "max_length=99"]) == 0
    (run,) = list_runs(paths)
    values = load_recipe(run.recipe).values("dpo")
    assert (values["beta"], values["max_length"]) == (0.3, 99)
    assert recipe_file.read_text() == before


def test_a_bad_setting_starts_nothing(
    recipe_file: Path, worker: Worker, paths: Paths, capsys: Capture
) -> None:
    assert main(["run", "short.yaml", "--set", "bta=0.3"]) == 2
    assert capsys.readouterr().err == "--set: there is no key bta. Did you mean beta?\n"
    assert main(["run", "short.yaml", "--set", "beta=high"]) == 1
    assert "beta" in capsys.readouterr().err
    assert list_runs(paths) == []


def test_a_run_from_another_starts_with_its_adapter(
    make_run: MakeRun, worker: Worker, paths: Paths
) -> None:
    parent = make_run(name="parent")
    write_adapter(parent.output("dpo"))
    assert main(["run", "short.yaml", "--from", "parent"]) == 0
    (run,) = worker.launched
    record = read_record(run)
    assert (record.parent, record.start_adapter) == (parent.id, str(run.start))
    assert record.start_reference == ""
    assert (run.start / "adapter_model.safetensors").is_file()


def test_a_run_from_a_checkpoint_of_another(
    make_run: MakeRun, worker: Worker, paths: Paths, capsys: Capture
) -> None:
    parent = make_run(name="parent")
    write_checkpoint(parent.output("dpo"), 8)
    assert main(["run", "short.yaml", "--from", "parent@8", "--detach"]) == 0
    (run,) = worker.launched
    record = read_record(run)
    assert (record.parent_stage, record.parent_step) == ("dpo", 8)
    assert record.start_reference == "base"
    capsys.readouterr()
    assert main(["status", run.id]) == 0
    assert f"parent   forked from {parent.id} at dpo step 8" in capsys.readouterr().out
    assert main(["run", "short.yaml", "--from", "parent@6"]) == 2
    assert "no checkpoint of step 6. It has dpo:8." in capsys.readouterr().err


def test_fork_takes_the_runs_own_recipe(
    make_run: MakeRun, worker: Worker, paths: Paths, capsys: Capture
) -> None:
    parent = make_run("stopped", name="parent")
    write_checkpoint(parent.output("dpo"), 8)
    command = ["fork", "parent", "--at", "8", "--set", "beta=0.5", "--name", "child"]
    assert main([*command, "--detach", "--json"]) == 0
    (run,) = worker.launched
    assert json.loads(capsys.readouterr().out)["run"] == run.id
    assert load_recipe(run.recipe).values("dpo")["beta"] == 0.5
    record = read_record(run)
    assert (record.name, record.parent, record.parent_step) == ("child", parent.id, 8)
    assert main(["fork", "parent", "--set", "lora_r=8"]) == 1
    assert "the checkpoint has r 16, the config says 8" in capsys.readouterr().err
    assert worker.launched == [run]


def test_resume_can_accept_changes(make_run: MakeRun, worker: Worker) -> None:
    make_run("stopped")
    assert main(["resume", "last", "--detach"]) == 0
    assert not worker.accepted
    assert main(["resume", "last", "--detach", "--accept-changes"]) == 0
    assert worker.accepted


@pytest.mark.parametrize(
    ("state", "step"),
    [("running", "Wait for its first checkpoint."), ("failed", "Name another run.")],
)
def test_a_parent_without_an_adapter(
    state: str, step: str, make_run: MakeRun, worker: Worker, capsys: Capture
) -> None:
    parent = make_run(state)
    assert main(["run", "short.yaml", "--from", "last"]) == 1
    assert capsys.readouterr().err == (f"--from: run {parent.id} has no adapter. {step}\n")
    assert worker.launched == []


def test_resume_follows_and_detaches(make_run: MakeRun, worker: Worker, capsys: Capture) -> None:
    run = make_run("stopped")
    assert main(["resume", "last", "--detach"]) == 0
    assert capsys.readouterr().out == f"{run.id}\n"
    assert main(["resume", "last"]) == 0
    assert worker.launched == [run, run]


def test_ctrl_c_leaves_the_training_alone(
    make_run: MakeRun, worker: Worker, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    run = make_run("stopped")
    monkeypatch.setattr("workbench.cli.train.follow", interrupted)
    assert main(["resume", "last"]) == 130
    assert capsys.readouterr().err == (
        "The training goes on.\n"
        f"  watch it: dpo-workbench watch {run.id}\n"
        f"  stop it:  dpo-workbench stop {run.id}\n"
        "  the app:  dpo-workbench\n"
    )


@pytest.fixture
def shipped(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small recipe in the place of the shipped quickstart."""
    recipe = recipe_file.with_name("quickstart.yaml")
    recipe.write_text(recipe_file.read_text() + "  - Is it?\n  - Should I?\n  - May I?\n")
    monkeypatch.setattr("workbench.cli.quickstart.SHIPPED", recipe.parent)
    return recipe


def fake_answers(run: RunDirectory, prompts: Any, *_: Any, **__: Any) -> Any:
    for prompt in prompts:
        yield {
            "prompt": prompt,
            "answers": {
                "base": {"text": "so it goes " * 8, "tokens": 24},
                "tuned": {"text": "Briefly: yes.", "tokens": 4},
            },
        }


def test_quickstart_without_a_terminal_ends_with_answers_and_scores(
    shipped: Path,
    worker: Worker,
    paths: Paths,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def launch(run: RunDirectory) -> int:
        write_atomic(
            run.scores,
            json.dumps({"eval_rewards/accuracies": 0.93, "eval_rewards/margins": 2.1, "pairs": 40}),
        )
        return worker.launch(run)

    monkeypatch.setattr("workbench.cli.train.launch", launch)
    monkeypatch.setattr("workbench.cli.quickstart.ask", fake_answers)
    assert main(["quickstart"]) == 0
    out = capsys.readouterr().out
    (run,) = list_runs(paths)
    assert out.index("dpo: effective batch size: 6, rows: 12") < out.index(f"Run {run.id}")
    assert out.count("Briefly: yes.") == 4
    scores = out[out.index("Scores\n") :].splitlines()
    assert scores[1:7] == [
        "  held-out accuracy    0.93 of 40 pairs rank the chosen answer first",
        "  reward margin        2.10",
        "  mean answer          24 words base, 2 tuned",
        "  repetition           100.0% of the text base, 0.0% tuned",
        "  dpo                  1:01, 6 steps, held-out accuracy 0.95",
        "  whole run            1:01",
    ]
    assert f"Run directory: {run.path}" in scores


def test_a_failed_quickstart_compares_nothing(
    shipped: Path, worker: Worker, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.changes = {"state": "failed", "error": ERROR}
    monkeypatch.setattr("workbench.cli.quickstart.ask", fake_answers)
    assert main(["quickstart", "--headless"]) == 1
    captured = capsys.readouterr()
    assert "Briefly" not in captured.out
    assert captured.err.endswith("prefs.jsonl: column chosen is missing. Add it.\n")


def test_quickstart_in_a_terminal_opens_the_app_on_the_run(
    shipped: Path, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def show_app(_: Paths, *, open_run: str) -> int:
        opened.append(open_run)
        return 0

    monkeypatch.setattr("workbench.cli.quickstart.interactive", lambda: True)
    monkeypatch.setattr("workbench.cli.quickstart.show_app", show_app)
    assert main(["quickstart"]) == 0
    assert opened == [worker.launched[0].id]

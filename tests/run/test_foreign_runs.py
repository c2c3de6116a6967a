"""Runs of others, imported from their trainer_state.json."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from foreign_states import dpo_state, write_output
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.recipe import load_recipe
from workbench.run import foreign_runs, importing, launch, lineage, sides
from workbench.run.directory import RunDirectory, list_runs
from workbench.run.foreign_runs import ForeignRun, find_state, read_foreign_run
from workbench.run.history import History, select
from workbench.run.metrics import MetricsReader
from workbench.run.notes import read_notes
from workbench.run.query import parse_query
from workbench.run.queue import Queue
from workbench.run.record import read_record

HOSTILE = "a\x1b]52;c;cm0=\x07[/INST]\x1b[2J\u202eb"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return write_output(tmp_path / "their run")


def bring(paths: Paths, path: Path, name: str = "") -> RunDirectory:
    state = find_state(path)
    assert state is not None
    return importing.keep(paths, read_foreign_run(state), name)


def write(folder: Path, state: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "trainer_state.json"
    file.write_text(state if isinstance(state, str) else json.dumps(state))
    return file


def test_its_curves_are_ours(paths: Paths, output: Path) -> None:
    run = bring(paths, output)
    reader = MetricsReader(run)
    reader.read_all()
    assert reader.stages() == ["dpo"]
    assert [step for step, _ in reader.points("loss", "dpo")] == [5, 10, 15, 20]
    assert reader.points("eval_loss", "dpo") == ((10, 0.6), (20, 0.5))
    assert [step for step, _ in reader.points("grad_norm", "dpo")] == [10, 15, 20]
    assert list(reader.faults) == [("dpo", 5, "grad_norm")]
    assert not {"total_flos", "train_runtime", "step"} & set(reader.names())


def test_its_record_tells_where_it_is_from(paths: Paths, output: Path) -> None:
    os.utime(output / "trainer_state.json", (2e9, 2e9))
    run = bring(paths, output)
    record = read_record(run)
    assert record.error is None
    assert (record.state, record.stage, record.step, record.max_steps) == (
        "finished",
        "dpo",
        20,
        20,
    )
    assert (record.finished, record.finished - record.started) == (2e9, 321.5)
    assert (record.title, record.name) == ("their run", "their-run")
    assert record.imported == str(output / "trainer_state.json")
    assert record.results["dpo"]["train_loss"] == 0.5
    assert record.results["dpo"]["eval"] == {"eval_loss": 0.5}
    assert read_notes(run).tags == ("imported",)
    assert {stat.S_IMODE(file.stat().st_mode) for file in run.path.iterdir()} == {0o600}
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700


def test_its_recipe_holds_what_the_files_tell_and_no_more(paths: Paths, output: Path) -> None:
    run = bring(paths, output)
    recipe = load_recipe(run.recipe)
    assert recipe.stages == ("dpo",)
    assert recipe.title == "their run"
    assert recipe.values("dpo") == load_recipe(run.config("dpo"), stage="dpo").values("dpo") == {
        "model_name_or_path": "org/base",
        "use_peft": True,
        "lora_r": 16,
        "lora_alpha": 32,
        "lora_dropout": 0.05,
        "lora_target_modules": ["q_proj", "v_proj"],
        "use_dora": False,
        "per_device_train_batch_size": 4,
        "max_steps": 20,
    }  # fmt: skip
    versions = {"peft": "0.17.0", "torch": "2.6.0+cu124", "transformers": "4.52.1", "trl": "0.19.0"}
    assert json.loads(run.environment.read_text()) == {"versions": versions}
    query = parse_query("beta>0")
    assert select(History(paths).read(query.keys()), query) == []


def test_a_part_of_a_training_is_stopped_and_the_newest_checkpoint_counts(
    paths: Paths, tmp_path: Path
) -> None:
    for step in (5, 10, 100):
        write(tmp_path / "out" / f"checkpoint-{step}", dpo_state(min(step, 15)))
    write(tmp_path / "out" / "checkpoint-best", dpo_state())
    (tmp_path / "out" / "checkpoint-100" / "trainer_state.json").unlink()
    assert find_state(tmp_path / "out") == tmp_path / "out" / "checkpoint-10" / "trainer_state.json"
    record = read_record(bring(paths, tmp_path / "out"))
    assert (record.state, record.step, record.max_steps, record.title) == ("stopped", 10, 20, "out")
    assert record.results == {}


def test_without_rewards_it_is_sft_unless_somebody_says_so(tmp_path: Path) -> None:
    rows = [{"step": 1, "loss": 2.0, "mean_token_accuracy": 0.5, "epoch": 0.1}]
    file = write(tmp_path / "out", {"log_history": rows})
    assert read_foreign_run(file).stage == "sft"
    assert read_foreign_run(file, stage="dpo").rows[0]["stage"] == "dpo"
    eval_only = write(tmp_path / "two", {"log_history": [{"step": 1, "eval_rewards/margins": 1}]})
    assert read_foreign_run(eval_only).stage == "dpo"


def test_the_card_and_the_config_name_the_model_where_no_adapter_does(tmp_path: Path) -> None:
    output = write_output(tmp_path / "out")
    (output / "adapter_config.json").unlink()
    assert read_foreign_run(output / "trainer_state.json").settings == {
        "model_name_or_path": "org/from-the-card",
        "per_device_train_batch_size": 4,
        "max_steps": 20,
    }
    (output / "config.json").write_text('{"_name_or_path": "org/from-the-config"}')
    found = read_foreign_run(output / "trainer_state.json")
    assert found.settings["model_name_or_path"] == "org/from-the-config"


def test_twice_is_refused_and_more_of_it_is_another_run(paths: Paths, output: Path) -> None:
    run = bring(paths, output)
    with pytest.raises(ProblemError, match=f"imported before, as {run.id}"):
        bring(paths, output)
    write(output, dpo_state(15))
    other = bring(paths, output)
    launch.delete(run)
    write(output, dpo_state(20))
    bring(paths, output)
    assert len(list_runs(paths)) == 2
    assert other in list_runs(paths)


def test_what_needs_weights_is_refused_in_one_sentence(paths: Paths, output: Path) -> None:
    write(output, dpo_state(15))
    run = bring(paths, output)
    for act in (
        lambda: launch.resume(run),
        lambda: launch.launch(run),
        lambda: lineage.find_origin(run),
        lambda: sides.find_side(run, "tuned"),
        lambda: sides.find_side(run, "base"),
        lambda: Queue.of(paths).add(run, ["cpu"]),
    ):
        with pytest.raises(ProblemError) as caught:
            act()
        (problem,) = caught.value.problems
        assert "only its curves are here" in problem.what
        assert str(output) in problem.next_step
    assert read_record(run).state == "stopped"


def test_a_pickle_is_never_opened(
    paths: Paths, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = foreign_runs.open_regular

    def note(path: Path) -> Any:
        opened.append(path.name)
        return real(path)

    monkeypatch.setattr(foreign_runs, "open_regular", note)
    monkeypatch.setattr("workbench.base.tail.open_regular", note)
    bring(paths, output)
    assert set(opened) >= {"trainer_state.json", "README.md", "adapter_config.json"}
    assert "training_args.bin" not in opened


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("\x00\xff", "not JSON"),
        ("[]", "not the state of a trainer"),
        ("3", "not the state of a trainer"),
        ({"global_step": 3}, "no log_history"),
        ({"log_history": {"step": 1}}, "no log_history"),
        ({"log_history": []}, "no row of numbers"),
        ({"log_history": [1, None, [], {"step": "1", "loss": 1}]}, "no row of numbers"),
        ({"log_history": [{"step": True, "loss": 1}, {"step": -1, "loss": 1}]}, "no row"),
        ({"log_history": [{"step": 1, "loss": "0.5", "epoch": 1}]}, "no row of numbers"),
    ],
)
def test_what_is_no_state_is_one_problem(tmp_path: Path, content: Any, what: str) -> None:
    with pytest.raises(ProblemError) as caught:
        read_foreign_run(write(tmp_path / "out", content))
    (problem,) = caught.value.problems
    assert what in problem.what
    assert problem.next_step
    assert caught.value.exit_code == 2


def test_odd_entries_are_left_out_and_counted(tmp_path: Path) -> None:
    history = [
        {"step": 1, "loss": 0.5, HOSTILE: 2, "time": 3, "stage": "x", "event": 1, "": 4},
        "text",
        {"step": 2},
        {"step": 3, "loss": True, "lists": [1]},
        {"step": 4, "loss": 10**400, "epoch": 0.5},
    ]
    found = read_foreign_run(write(tmp_path / "out", {"log_history": history, "max_steps": "x"}))
    assert found.rows == (
        {"stage": "sft", "step": 1, "loss": 0.5, "a[/INST]b": 2},
        {"stage": "sft", "step": 4, "loss": None, "epoch": 0.5, "non_finite": ["loss"]},
    )
    assert (found.left_out, found.step, found.max_steps, found.whole) == (3, 4, 0, True)


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign_runs, "STATE_LIMIT_BYTES", 100)
    with pytest.raises(ProblemError, match="too large"):
        read_foreign_run(write(tmp_path / "out", dpo_state()))
    monkeypatch.setattr(foreign_runs, "STATE_LIMIT_BYTES", 10**6)
    monkeypatch.setattr(foreign_runs, "MOST_ROWS", 3)
    with pytest.raises(ProblemError, match="too long"):
        read_foreign_run(write(tmp_path / "out", dpo_state()))


def test_pipes_loops_and_missing_files(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    assert find_state(folder) is None
    assert find_state(tmp_path / "nothing") is None
    os.mkfifo(folder / "trainer_state.json")
    with pytest.raises(ProblemError, match="not a regular file"):
        read_foreign_run(folder / "trainer_state.json")
    (folder / "trainer_state.json").unlink()
    (folder / "trainer_state.json").symlink_to(folder / "trainer_state.json")
    assert find_state(folder) is None
    with pytest.raises(ProblemError, match="cannot read it"):
        read_foreign_run(folder / "trainer_state.json")


def test_a_link_to_a_file_is_what_hub_caches_have(tmp_path: Path, paths: Paths) -> None:
    blob = write(tmp_path / "blobs", dpo_state())
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "trainer_state.json").symlink_to(blob)
    assert read_record(bring(paths, folder)).title == "snapshot"


def test_other_names_and_configs_are_told_apart(tmp_path: Path) -> None:
    saved = tmp_path / "my-state.json"
    saved.write_text(json.dumps(dpo_state()))
    assert find_state(saved) == saved
    config = tmp_path / "config.json"
    config.write_text('{"beta": 0.1}')
    assert find_state(config) is None


def test_hostile_names_are_inert(paths: Paths, tmp_path: Path) -> None:
    folder = tmp_path / HOSTILE.replace("/", "|")
    output = write_output(folder)
    adapter = {"base_model_name_or_path": HOSTILE, "target_modules": [HOSTILE], "r": HOSTILE}
    (output / "adapter_config.json").write_text(json.dumps(adapter))
    run = bring(paths, output)
    record = read_record(run)
    for text in (record.title, record.model_source, run.recipe.read_text(), run.id):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert load_recipe(run.recipe).values("dpo")["lora_target_modules"] == ["a[/INST]b"]


def test_nothing_is_left_where_it_cannot_be_written(
    paths: Paths, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object) -> None:
        if path.name == "run.json":
            raise OSError(28, "No space left on device")
        path.write_text("")

    monkeypatch.setattr(importing, "write_atomic", full)
    with pytest.raises(ProblemError, match="No space left"):
        bring(paths, output)
    assert list(paths.runs.iterdir()) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["step", "loss", "epoch", "train_loss", "x"]), inner)
    ),
    max_leaves=12,
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=JSON, rest=st.dictionaries(st.sampled_from(["max_steps", "global_step"]), JSON))
def test_any_json_is_read_or_refused(history: Any, rest: dict[str, Any], tmp_path: Path) -> None:
    file = write(tmp_path / "out", {"log_history": history, **rest})
    try:
        found = read_foreign_run(file)
    except ProblemError:
        return
    assert isinstance(found, ForeignRun)
    assert found.rows

"""Every n-th write fails: whatever is on the disk afterwards is the old content or the new."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_runs import RUN_ID, home, make_run

from workbench.base.files import append_json, write_atomic
from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import read_jsonl
from workbench.judge.answers import Sampling
from workbench.judge.comparisons import Asked, load_comparisons, save_comparison
from workbench.recipe.catalog import Catalog
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import create_run, list_runs
from workbench.run.queue import Entry, Queue
from workbench.run.record import read_record, update_record, write_end
from workbench.worker import machine
from workbench.worker.run_writer import RunWriter

CALLS = ("write", "fsync", "replace", "open", "chmod", "fchmod", "mkdir", "close", "pread")
FAULTS = (errno.ENOSPC, errno.EIO, "short")
Snapshot = dict[str, bytes]
FIRST, SECOND = "20260101-000000-a-0001", "20260101-000000-b-0002"
RECIPE = "model_name_or_path: org/model\ndataset_name: org/pairs\nbeta: 0.1\n"


class Saboteur:
    """Lets the n-th call that touches the disk fail; counts them all.

    A short write takes the first half, as a disk does that fills up, and the next call fails.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.fail_at = 0
        self.kind: int | str = 0
        self.count = 0
        self._ours: set[int] = set()
        self._root = str(root)
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def arm(self, number: int, kind: int | str) -> None:
        self.fail_at, self.kind, self.count = number, kind, 0
        self._ours.clear()

    def disarm(self) -> None:
        self.fail_at = 0

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if not self.fail_at or not self._counts(arguments[0]):
                return real(*arguments, **options)
            self.count += 1
            if self.count == self.fail_at:
                if self.kind != "short":
                    if name == "close":
                        real(*arguments)
                        self._ours.discard(arguments[0])
                    raise OSError(self.kind, os.strerror(int(self.kind)))
                if name == "write":
                    handle, data = arguments
                    return real(handle, bytes(data)[: len(data) // 2])
            elif self.count == self.fail_at + 1 and self.kind == "short" and name == "write":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            result = real(*arguments, **options)
            if name == "open":
                self._ours.add(result)
            elif name == "close":
                self._ours.discard(arguments[0])
            return result

        return call

    def _counts(self, target: object) -> bool:
        if isinstance(target, int):
            return target in self._ours
        return str(target).startswith(self._root)


def snapshot(root: Path) -> Snapshot:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def break_everything(
    monkeypatch: pytest.MonkeyPatch,
    root: Path,
    act: Callable[[], object],
    judge: Callable[[Snapshot, bool], None],
) -> int:
    """Run an action with its 1st, 2nd, ... call failing until it passes untouched.

    After each failure the folder is judged and put back. Returns the number of failing calls.
    """
    backup = Path(tempfile.mkdtemp(dir=root.parent)) / "copy"
    shutil.copytree(root, backup, symlinks=True)
    with monkeypatch.context() as patch:
        return _break_in_turn(Saboteur(patch, root), root, backup, act, judge)


def _break_in_turn(
    saboteur: Saboteur,
    root: Path,
    backup: Path,
    act: Callable[[], object],
    judge: Callable[[Snapshot, bool], None],
) -> int:
    broken = 0
    for kind in FAULTS:
        for number in range(1, 500):
            shutil.rmtree(root)
            shutil.copytree(backup, root, symlinks=True)
            saboteur.arm(number, kind)
            failed = False
            try:
                act()
            except (OSError, ProblemError):
                failed = True
            finally:
                reached = saboteur.count
                saboteur.disarm()
            if reached < number:
                break
            broken += 1
            judge(snapshot(root), failed)
        else:
            pytest.fail("the action never passed untouched")
    return broken


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def paths(root: Path) -> Paths:
    return home(root)


def only(*allowed: dict[str, bytes | None]) -> Callable[[Snapshot, bool], None]:
    """Each named file has one of the given contents, and nothing else has come."""

    def judge(found: Snapshot, failed: bool) -> None:
        names = {name for state in allowed for name in state}
        assert set(found) <= names, "a temporary file was left"
        assert found in [{n: c for n, c in state.items() if c is not None} for state in allowed]

    return judge


def test_a_file_that_is_replaced(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Rows 32 and 33."""
    file = root / "x.json"
    file.write_bytes(b"old")
    judge = only({"x.json": b"old"}, {"x.json": b"new" * 1000})
    broken = break_everything(monkeypatch, root, lambda: write_atomic(file, b"new" * 1000), judge)
    assert broken >= 3 * 5


def test_a_file_that_was_not_there(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    judge = only({"x.json": None}, {"x.json": b"new"})
    break_everything(monkeypatch, root, lambda: write_atomic(root / "x.json", b"new"), judge)


def test_a_line_that_is_appended(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Rows 28 and 33: half a line costs itself, never the next one."""
    file = root / "x.jsonl"
    append_json(file, {"n": 1, "text": "é" * 50})
    old = read_jsonl(file)

    def judge(found: Snapshot, failed: bool) -> None:
        assert set(found) == {"x.jsonl"}
        after = read_jsonl(file)
        assert after in (old, [*old, {"n": 2}])
        append_json(file, {"n": 3})
        assert read_jsonl(file) == [*after, {"n": 3}]

    assert break_everything(monkeypatch, root, lambda: append_json(file, {"n": 2}), judge) >= 6


def test_a_record_that_is_changed(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> None:
    """Row 33."""
    run = make_run(paths)
    before, kept = run.record.read_bytes(), snapshot(run.path)

    def judge(found: Snapshot, failed: bool) -> None:
        assert set(found) == set(kept)
        assert read_record(run).step in (3, 77)
        assert found["run.json"] == before or read_record(run).step == 77

    break_everything(monkeypatch, run.path, lambda: update_record(run, step=77), judge)
    break_everything(monkeypatch, run.path, lambda: write_end(run, step=77), judge)


def test_a_worker_that_writes_its_run(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row 33: no failed write ends the training; each is said in the log."""
    run = make_run(paths, state="running")
    writer = RunWriter(run)
    rows = len(read_jsonl(run.metrics))

    def act() -> None:
        writer.update(step=4)
        writer.metrics("dpo", 4, {"loss": 0.5, "grad_norm": float("nan")})
        writer.event("checkpoint", stage="dpo", step=4)
        writer.note("something was decided")
        writer.stop_requested = False
        writer.end("failed", Problem("it broke", "here", "mend it"))
        writer.stop_requested = False

    def judge(found: Snapshot, failed: bool) -> None:
        assert not failed, "a full disk must not end the training"
        said = capsys.readouterr().err
        assert not [name for name in found if "run.json." in name]
        record = read_record(run)
        assert record.state in ("running", "lost", "failed")
        whole = read_jsonl(run.metrics)
        assert rows <= len(whole) <= rows + 3
        assert "warning: cannot write" in said or len(whole) == rows + 3
        assert all(json.dumps(row, allow_nan=False) for row in whole)
        append_json(run.metrics, {"n": 1})
        assert read_jsonl(run.metrics) == [*whole, {"n": 1}]

    break_everything(monkeypatch, run.path, act, judge)


def test_a_run_that_is_made(monkeypatch: pytest.MonkeyPatch, paths: Paths, tmp_path: Path) -> None:
    """Row 32: it is whole, or it is not in the list; the reason is told."""
    source = tmp_path / "trial.yaml"
    source.write_text(RECIPE)
    recipe = load_recipe(source)

    def judge(found: Snapshot, failed: bool) -> None:
        for run in list_runs(paths):
            assert read_record(run).state == "queued"
            assert run.recipe.read_text() == RECIPE
            assert run.config("dpo").read_text().endswith("\n")

    break_everything(monkeypatch, paths.data, lambda: create_run(paths, recipe), judge)


def test_why_a_run_cannot_be_made_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, tmp_path: Path
) -> None:
    """Row 32."""
    source = tmp_path / "trial.yaml"
    source.write_text(RECIPE)
    saboteur = Saboteur(monkeypatch, paths.data)
    saboteur.arm(4, errno.ENOSPC)
    with pytest.raises(ProblemError, match=r"No space left on device.*DPO_WORKBENCH_HOME"):
        create_run(paths, load_recipe(source))


def test_recipes_that_are_saved(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, tmp_path: Path
) -> None:
    """Row 32: the text of the person's own recipe is never half."""
    catalog = Catalog(paths, tmp_path)
    file = catalog.save_as(RECIPE, "mine")
    name = str(file.relative_to(paths.data))
    new = RECIPE.replace("0.1", "0.2")
    judge = only({name: RECIPE.encode()}, {name: new.encode()})
    break_everything(monkeypatch, paths.data, lambda: catalog.save(file, new), judge)
    file.unlink()
    judge = only({name: None}, {name: new.encode()})
    break_everything(monkeypatch, paths.data, lambda: catalog.save_as(new, "mine"), judge)


def test_comparisons_that_are_kept(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> None:
    """Row 33."""
    run = make_run(paths)
    answers = {side: {"text": "é", "tokens": 1} for side in ("base", "tuned")}

    def act() -> None:
        save_comparison(run, Asked([{"role": "user", "content": "Hi"}], Sampling()), answers)

    def judge(found: Snapshot, failed: bool) -> None:
        kept = len(load_comparisons(run))
        assert kept in (0, 1)
        act()
        assert len(load_comparisons(run)) == kept + 1

    break_everything(monkeypatch, run.path, act, judge)


def test_what_a_worker_notes_of_its_machine(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> None:
    """Row 33: environment.json and the fitted configs."""
    run = make_run(paths)
    run.environment.write_text('{"versions": {"torch": "old"}}')
    config = run.config("dpo")
    config.write_text("# trl dpo --config dpo.yaml\nbf16: true\n")
    kept = snapshot(run.path)
    changes = [
        lambda: RunWriter(run).keep(run.environment, {"versions": {"torch": "new"}}),
        lambda: machine.fit_config(config, has_cuda=False),
    ]
    for change in changes:

        def judge(found: Snapshot, failed: bool) -> None:
            assert set(found) == set(kept)
            assert json.loads(found["environment.json"])["versions"]["torch"] in ("old", "new")
            assert found["dpo.yaml"].startswith(b"# trl dpo")
            assert found["dpo.yaml"].endswith(b"\n")

        break_everything(monkeypatch, run.path, change, judge)


def test_the_queue(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> None:
    """Row 33."""
    queue = Queue.of(paths)
    with queue.edit() as state:
        state.entries.append(Entry(FIRST, devices=("any",)))

    def act() -> None:
        with queue.edit() as state:
            state.entries.append(Entry(SECOND, devices=("any",)))

    def judge(found: Snapshot, failed: bool) -> None:
        state = queue.read()
        assert state.fault is None
        assert [entry.run for entry in state.entries] in ([FIRST], [FIRST, SECOND])
        assert not [name for name in found if ".queue.json." in name]

    break_everything(monkeypatch, queue.folder, act, judge)


WRITER = f"""
import sys
from pathlib import Path
from workbench.run.directory import RunDirectory
from workbench.worker.run_writer import RunWriter
from workbench.worker.streams import forgive_full_disk
forgive_full_disk()
writer = RunWriter(RunDirectory(Path(sys.argv[1]) / "{RUN_ID}"))
for step in range(4, 400):
    print("a library says something", step)
    writer.metrics("dpo", step, {{"loss": 1.0, "text" * 20: 2.0}})
    writer.update(step=step)
writer.note("noted")
writer.progress("going on", 0.5)
print("x" * 100_000, file=sys.stderr)
sys.exit(7)
"""


def run_writer(paths: Paths, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", WRITER, str(paths.runs)]
    return subprocess.run(command, check=False, timeout=60, **options)


def test_a_full_disk_under_metrics_and_log(paths: Paths) -> None:
    """Row 33: the real /dev/full behind both; the process goes on to its own end."""
    run = make_run(paths)
    run.metrics.unlink()
    run.metrics.symlink_to("/dev/full")
    with Path("/dev/full").open("wb") as full:
        ended = run_writer(paths, stdout=full, stderr=full)
    assert ended.returncode == 7
    assert read_record(run).step == 399


def test_files_that_may_not_grow(paths: Paths) -> None:
    """Row 33: the kernel's own limit, in the middle of a line."""
    run = make_run(paths, name="x" * 600)
    limit = 20_000

    def tie() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    with run.log.open("ab") as log:
        ended = run_writer(paths, stdout=log, stderr=log, preexec_fn=tie)
    assert ended.returncode == 7
    assert run.metrics.stat().st_size == limit
    assert run.log.stat().st_size == limit
    whole = read_jsonl(run.metrics)
    assert [row["step"] for row in whole] == list(range(1, len(whole) + 1))
    append_json(run.metrics, {"after": 1})
    assert read_jsonl(run.metrics) == [*whole, {"after": 1}]
    assert read_record(run).step == 399


def test_a_run_directory_that_vanishes_under_its_worker(paths: Paths) -> None:
    """Row 34: there is nothing left to train for, and it says so."""
    run = make_run(paths)
    shutil.rmtree(run.path)
    ended = run_writer(paths, capture_output=True)
    assert ended.returncode == 1
    assert b"cannot write" in ended.stderr
    assert f"{run.path}: the run directory is gone".encode() in ended.stderr
    assert not run.path.exists()

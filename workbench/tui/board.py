"""What the app knows of all runs: read from disk in a thread, handed over as frozen rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.base.paths import Paths
from workbench.base.text import clean
from workbench.run.states import ACTIVE_STATES, RESUMABLE_STATES

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory

Stamp = tuple[tuple[int, int, int, int], ...]
TAIL_BYTES = 65_536
ACCURACIES = ("rewards/accuracies", "eval_rewards/accuracies", "mean_token_accuracy")


@dataclass(frozen=True)
class RunRow:
    """One run as the lists show it; times are Unix seconds, 0 = not yet.

    Attributes:
        error: What went wrong, where, and the next step.
        device: The queue's name of the device that it has, empty for the first one.
        place: Its place in the queue, counted from 1; 0 where it does not wait.
        distrust: Why nothing may be done with the run, see `workbench.run.trust`.
        tags, note: What the person has said of it.
        parent: Id of the run whose weights it began with.
        imported: The file that it was made of; of an imported run only the curves are here.
        job: Id of its job of Slurm's, empty where it is none.
        waiting: How that job waits in Slurm's queue, empty where it does not.
    """

    id: str
    name: str
    title: str
    state: str
    stages: tuple[str, ...]
    stage: str
    step: int
    max_steps: int
    created: float
    started: float
    finished: float
    loss: float | None
    accuracy: float | None
    error: tuple[str, str, str] | None
    distrust: str = ""
    device: str = ""
    place: int = 0
    tags: tuple[str, ...] = ()
    note: str = ""
    parent: str = ""
    imported: str = ""
    job: str = ""
    waiting: str = ""

    @property
    def active(self) -> bool:
        """Whether a worker is at work on it."""
        return self.state in ACTIVE_STATES

    @property
    def resumable(self) -> bool:
        """Whether it can be started, again or for the first time."""
        startable = self.state in (*RESUMABLE_STATES, "queued") and not self.submitted
        return startable and not self.imported

    @property
    def submitted(self) -> bool:
        """Whether it waits in Slurm's queue."""
        return self.state == "queued" and bool(self.job)

    def seconds(self, now: float) -> float | None:
        """How long it has trained until now or until its end, None where that is not known."""
        end = now if self.active else self.finished
        return end - self.started if self.started and end else None

    @property
    def label(self) -> str:
        """The name for people."""
        return self.name or self.id


class RunBoard:
    """Reads every run's record; what did not change on disk is not read again."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._known: dict[str, tuple[Stamp, RunRow]] = {}

    def read(self) -> tuple[RunRow, ...]:
        """All runs, newest first. Slow parts run here, so call it from a thread."""
        from workbench.run.directory import list_runs

        rows = []
        known = {}
        for run in list_runs(self._paths):
            stamp = _stamp(run)
            kept = self._known.get(run.id)
            # A live run may end without writing anything, so only ended ones are trusted.
            fresh = kept is None or kept[0] != stamp or kept[1].active
            row = read_row(run) if fresh or kept is None else kept[1]
            known[run.id] = (stamp, row)
            rows.append(row)
        self._known = known
        return tuple(rows)


def _stamp(run: RunDirectory) -> Stamp:
    """What changes when anything of a run's row may have: also its owner and mode."""
    stamps = []
    for path in (run.path, run.record, run.metrics, run.notes, run.slurm):
        try:
            status = path.lstat()
            stamps.append((status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino))
        except OSError:
            stamps.append((0, 0, 0, 0))
    return tuple(stamps)


def read_row(run: RunDirectory, last: Mapping[str, float] | None = None) -> RunRow:
    """One run's row, with the newest loss and accuracy that its metrics hold.

    Args:
        run: The run.
        last: The newest values, where they are known already.
    """
    from workbench.run.notes import read_notes
    from workbench.run.record import is_submitted, read_record
    from workbench.run.slurm.status import job_words
    from workbench.run.trust import distrust

    record, said = read_record(run), read_notes(run)
    last = last_values(run) if last is None else last
    accuracy = next((last[name] for name in ACCURACIES if name in last), None)
    error = record.error or {}
    return RunRow(
        id=run.id,
        name=record.name,
        title=record.title,
        state=record.state,
        stages=tuple(str(stage) for stage in record.stages),
        stage=record.stage,
        step=record.step,
        max_steps=record.max_steps,
        created=record.created,
        started=record.started,
        # A lost run has no end record: its last sign of life stands for it.
        finished=record.finished or (0.0 if record.state in ACTIVE_STATES else record.heartbeat),
        loss=last.get("loss"),
        accuracy=accuracy,
        error=(
            (
                str(error.get("what") or ""),
                str(error.get("where") or ""),
                str(error.get("next_step") or ""),
            )
            if error
            else None
        ),
        distrust=distrust(run, record),
        device=record.device,
        tags=said.tags,
        note=said.text,
        parent=record.parent,
        imported=record.imported,
        job=clean(record.slurm_job, newlines=False),
        waiting=job_words(run, record.slurm_job) if is_submitted(record) else "",
    )


def last_values(run: RunDirectory) -> dict[str, float]:
    """The newest value of each metric in the newest stage, from the file's last lines alone."""
    from workbench.run.metrics import MetricsReader

    reader = MetricsReader(run)
    reader.skip_to_last(TAIL_BYTES)
    reader.read_all()
    return reader.latest


def parting_words(rows: tuple[RunRow, ...]) -> str:
    """What the shell shows after the app has ended: which runs go on."""
    names = ", ".join(clean(row.label, newlines=False) for row in rows if row.active)
    return f"Training continues: {names}. Reopen with: dpo-workbench" if names else ""

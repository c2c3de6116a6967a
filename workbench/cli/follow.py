"""Follow a run from outside: one progress line, redrawn on a terminal, repeated elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO

from workbench.base.paths import Paths
from workbench.base.tail import LineTail
from workbench.base.text import clean
from workbench.cli.output import columns, cut, duration, number, redrawable
from workbench.cli.slurm import JobWatch
from workbench.run.directory import RunDirectory
from workbench.run.metrics import MetricsReader
from workbench.run.pace import Eta, Outlook
from workbench.run.record import RunRecord, is_active, is_submitted, read_record
from workbench.run.slurm.status import job_words

POLL_SECONDS = 0.3
PLAIN_SECONDS = 10.0
PLAIN_LOG_SECONDS = 5.0
BAR_CELLS = 16
# The cursor, and the ^C that a terminal echoes, must not wrap to the next line.
MARGIN_CELLS = 3
LOG_TAIL_BYTES = 4096
CLEAR_TO_END = "\x1b[K"

# What is shown of a stage, with TRL's metric names.
SHOWN = {
    "sft": (("loss", "loss"), ("token accuracy", "mean_token_accuracy")),
    "dpo": (("loss", "loss"), ("accuracy", "rewards/accuracies"), ("margin", "rewards/margins")),
}


class ProgressPrinter:
    """Writes progress: one line redrawn in place, or plain lines that do not flood a log."""

    def __init__(
        self,
        stream: TextIO,
        *,
        redraw: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._redraw = redraw
        self._clock = clock
        self._last_text = ""
        self._last_key: object = None
        self._last_time = 0.0

    def show(self, text: str, *, key: object, logged: bool) -> None:
        """Show a line.

        Args:
            key: what changes only at moments that a reader must not miss (state, stage).
            logged: whether the trainer logged something since the last call.
        """
        if self._redraw:
            self._stream.write(f"\r{cut(text, columns() - MARGIN_CELLS)}{CLEAR_TO_END}")
        else:
            waited = self._clock() - self._last_time
            due = waited >= (PLAIN_LOG_SECONDS if logged else PLAIN_SECONDS)
            if text == self._last_text or not (due or key != self._last_key):
                return
            self._stream.write(f"{text}\n")
            self._last_text, self._last_key, self._last_time = text, key, self._clock()
        self._stream.flush()

    def end(self) -> None:
        """Leave the redrawn line's place clean for what comes next."""
        if self._redraw:
            self._stream.write(f"\r{CLEAR_TO_END}")
            self._stream.flush()


@dataclass(frozen=True)
class Look:
    """How a run stands.

    Attributes:
        reader: Has read its metrics.
        logged: Whether the trainer has logged something since the last look.
        said: The last line of its log that says something.
        left: The time left, None while nothing tells it.
    """

    record: RunRecord
    reader: MetricsReader
    logged: bool
    said: str
    left: Eta | None


def looks(
    run: RunDirectory,
    *,
    paths: Paths | None = None,
    poll_seconds: float = POLL_SECONDS,
    waits: Callable[[RunRecord], bool] = is_active,
    pause: Callable[[float], object] | None = None,
) -> Iterator[Look]:
    """Look at a run again and again until it has ended; that look is the last one.

    Args:
        paths: Where past runs are looked for that tell how long later stages take.
        waits: Whether a run that stands so is worth another look.
        pause: Passes the time between two looks; sleeps if not given.
    """
    reader, log, outlook = MetricsReader(run), LineTail(run.log), Outlook(run, paths)
    log.skip_to_last(LOG_TAIL_BYTES)
    reader.read_all()
    said, job = "", JobWatch(run)
    while True:
        job.look()
        record = read_record(run)
        logged = reader.poll()
        said = last_words(log) or said
        yield Look(record, reader, logged, said, outlook.eta(record, reader))
        if not waits(record) and not job.goes_on(record):
            return
        (pause or time.sleep)(poll_seconds)


def follow(
    run: RunDirectory,
    *,
    paths: Paths | None = None,
    stream: TextIO | None = None,
    poll_seconds: float = POLL_SECONDS,
    on_look: Callable[[RunRecord], object] = lambda record: None,
) -> RunRecord:
    """Show a run's progress until it has ended and return its last record.

    Args:
        on_look: told at each look how the run stands.
        stream: where to write; stdout if not given, redrawn in place if it is a terminal.
        paths, poll_seconds: see `looks`.
    """
    redraw = stream is None and redrawable()
    printer = ProgressPrinter(stream or sys.stdout, redraw=redraw)
    record = RunRecord()
    try:
        for look in looks(run, paths=paths, poll_seconds=poll_seconds):
            record = look.record
            waiting = job_words(run, record.slurm_job) if is_submitted(record) else ""
            text = waiting or progress_line(record, look.reader, look.said, look.left)
            printer.show(text, key=(record.state, record.stage, waiting), logged=look.logged)
            on_look(record)
    finally:
        printer.end()
    return record


def last_words(log: LineTail) -> str:
    """The last line that says something, new in a log since the last call; "" for none.

    The metrics that a trainer prints as a mapping are left out: they stand in the progress line.
    """
    pieces = [piece.strip() for line in log.read() for piece in clean(line).splitlines()]
    return next((piece for piece in reversed(pieces) if piece and not piece.startswith("{'")), "")


def progress_line(
    record: RunRecord, reader: MetricsReader, said: str, left: Eta | None = None
) -> str:
    """`dpo [####----] 12/40 30%  left 4:12  loss 0.512  accuracy 0.71  310 tok/s`."""
    stage = record.stage or "run"
    if record.state == "starting" or record.max_steps <= 0 or record.step <= 0:
        said = said.removeprefix(f"{stage}: ").removeprefix(f"{record.state}: ")
        return f"{stage} {record.state}: {said}" if said else f"{stage} {record.state}"
    share = min(1.0, record.step / record.max_steps)
    filled = round(share * BAR_CELLS)
    bar = f"[{'#' * filled}{'-' * (BAR_CELLS - filled)}]"
    # What a narrow terminal cuts off stands last.
    parts = [f"{stage} {bar} {record.step}/{record.max_steps} {share:.0%}"]
    if record.state != "running":
        parts.append(record.state)
    elif left is not None:
        parts.append(left_words(left))
    parts += value_words(stage, lambda name: reader.last(name, stage))
    speed = reader.last("tokens_per_second", stage)
    if speed is not None:
        parts.append(f"{number(speed)} tok/s")
    return "  ".join(parts)


def value_words(stage: str, find: Callable[[str], float | None]) -> list[str]:
    """`loss 0.512`, `margin 0.84`: what is shown of a stage, as far as it is known.

    Args:
        find: The value of a metric by TRL's name.
    """
    found = ((label, find(name)) for label, name in SHOWN.get(stage, SHOWN["dpo"]))
    return [f"{label} {number(value)}" for label, value in found if value is not None]


def left_words(left: Eta) -> str:
    """`left 4:12`, with later stages `left 4:12 (run 9:30)`, or `(run > 4:12)` at the least."""
    words = f"left {duration(left.stage_seconds)}"
    if left.exact and left.run_seconds == left.stage_seconds:
        return words
    return f"{words} (run {'' if left.exact else '> '}{duration(left.run_seconds)})"

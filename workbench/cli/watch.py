"""`watch`: follow a run in plain lines, which any terminal and any log file can take.

`logs -f` prints what the trainer says, word for word; `run` redraws one line. This prints a line
when something happens, and one with the newest values now and then.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from workbench.base.files import json_safe
from workbench.base.paths import Paths
from workbench.cli.announce import Announcer
from workbench.cli.execute import DONE, INTERRUPTED
from workbench.cli.follow import Look, looks
from workbench.cli.keys import Keys, QuitError
from workbench.cli.output import one_line, redrawable
from workbench.cli.runs import end_code, print_summary, run_json
from workbench.cli.train import detached
from workbench.cli.watch_items import History, Item, Items
from workbench.cli.watch_lines import JsonLines, TextLines
from workbench.run.directory import RunDirectory, find_run
from workbench.run.health import Doctor
from workbench.run.queue import Queue
from workbench.run.record import RunRecord, is_active, read_record

POLL_SECONDS = 0.5
TEXT_SECONDS = 10.0
EXAMINE_SECONDS = 10.0
SUMMARY_LINES = 10
LEAST_LINES = 6
SPARE = ("metrics", "progress")
"""Of these only the newest counts."""


def watch(arguments: argparse.Namespace, paths: Paths) -> int:
    """Print what happens to a run until it has ended. Exit code 0 finished, 1 otherwise."""
    run = find_run(paths, arguments.run)
    every = arguments.every
    if every is None:
        every = 0.0 if arguments.json else TEXT_SECONDS
    shown = JsonLines(say) if arguments.json else TextLines(say)
    if not arguments.json:
        say(f"Run {run.id}  {one_line(read_record(run).title)}".rstrip())
    watcher = Watcher(run, shown, every)
    try:
        record = _follow(run, paths, watcher)
    except (QuitError, KeyboardInterrupt) as reason:
        print(detached(run), file=sys.stderr)
        return DONE if isinstance(reason, QuitError) else INTERRUPTED
    if arguments.json:
        say_json({"kind": "end", **run_json(run, record, paths)})
    else:
        print_summary(run, record)
    return end_code(record)


def _follow(run: RunDirectory, paths: Paths, watcher: Watcher) -> RunRecord:
    queue = Queue.of(paths)

    def waits(record: RunRecord) -> bool:
        return is_active(record) or queue.read().position(run.id) > 0

    record = RunRecord()
    with contextlib.ExitStack() as stack:
        keys = stack.enter_context(Keys())
        # A bell and a title are not plain: they need a terminal that can do more than print.
        bell = stack.enter_context(Announcer(run, paths)).look if redrawable() else None
        watcher.tell_past()
        for look in looks(
            run, paths=paths, poll_seconds=POLL_SECONDS, waits=waits, pause=keys.pause
        ):
            record = look.record
            watcher.take(look)
            if bell is not None:
                bell(record)
    return record


def say(line: str) -> None:
    """Print a line at once, whoever reads it."""
    print(line, flush=True)


def say_json(value: dict[str, Any]) -> None:
    """Print a JSON object on one line."""
    import json

    say(json.dumps(json_safe(value)))


class Watcher:
    """Says what happens to a run; of the log records one every so many seconds.

    Args:
        shown: Where it is said.
        every: Seconds from a line of values to the next one; 0 for all of them.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        run: RunDirectory,
        shown: TextLines | JsonLines,
        every: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._shown = shown
        self._every = every
        self._clock = clock
        self._items = Items(run)
        self._doctor: Doctor | None = None
        self._told: set[tuple[str, str]] = set()
        self._spare: Item | None = None
        self._said = self._examined = -1e9

    def tell_past(self) -> None:
        """Say in about a screenful what has happened so far."""
        history = History()
        history.take(self._items.read())
        lines = shutil.get_terminal_size((80, 24)).lines - SUMMARY_LINES
        for item in history.shown(max(LEAST_LINES, lines)):
            self._shown.show(item)

    def take(self, look: Look) -> None:
        """Say what is new since the last look."""
        for item in self._items.read():
            if item.kind in SPARE and self._every > 0:
                self._spare = item
            else:
                self._show(item, look)
        now, over = self._clock(), not is_active(look.record)
        if self._spare is not None and (over or now - self._said >= self._every):
            self._show(self._spare, look)
            self._spare, self._said = None, now
        if over or now - self._examined >= EXAMINE_SECONDS:
            self._examined = now
            self._examine(look)
        for item in self._items.changes(look.record):
            self._shown.show(item)

    def _show(self, item: Item, look: Look) -> None:
        self._shown.show(item, look.left if item.kind == "metrics" else None)

    def _examine(self, look: Look) -> None:
        self._doctor = self._doctor or Doctor(self._run, look.reader)
        for found in self._doctor.look(look.record):
            if (key := (found.rule, found.stage)) not in self._told:
                self._told.add(key)
                values = {**asdict(found), "since": found.since, "advice": found.advice}
                self._shown.show(Item("finding", 0.0, found.stage, found.step, values=values))

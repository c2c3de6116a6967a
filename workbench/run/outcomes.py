"""What became of each metric of a run: final and best values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from workbench.base.files import is_number, make_private_dir, write_atomic
from workbench.base.tail import read_small
from workbench.run.directory import RunDirectory
from workbench.run.metrics import MetricsReader
from workbench.run.stage_history import is_step

EVAL = "eval_"
LOWER = ("loss", "grad_norm", "train_loss", "runtime", "train_runtime")
HIGHER = (
    *("rewards/accuracies", "rewards/margins", "mean_token_accuracy"),
    *("tokens_per_second", "samples_per_second", "steps_per_second"),
    *("train_samples_per_second", "train_steps_per_second"),
)
LOWER_GROUPS = ("seconds/", "memory/")
VERSION = 1
KEPT_RUNS = 2000
LIVE_READERS = 4

Stamp = tuple[int, int, int]


def better(name: str) -> Literal["lower", "higher"] | None:
    """Which values of a metric are better; None where that cannot be said of it alone."""
    plain = name.removeprefix(EVAL)
    if plain in LOWER or plain.startswith(LOWER_GROUPS):
        return "lower"
    return "higher" if plain in HIGHER else None


@dataclass(frozen=True)
class Outcomes:
    """A run's metrics in a nutshell, each from the last stage that has logged it.

    Attributes:
        final: The value at the highest step.
        best: `(value, step)` of the metrics whose better values are known, see `better`; the
            earliest step of those that share it.
        stages: Which stage a metric's values are from.
    """

    final: Mapping[str, float] = field(default_factory=dict)
    best: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    stages: Mapping[str, str] = field(default_factory=dict)


def outcomes(run: RunDirectory) -> Outcomes:
    """Read a run's metrics to the end: about 0.1 s for 10,000 records. Call it from a thread."""
    reader = MetricsReader(run)
    reader.read_all()
    return outcomes_of(reader)


def outcomes_of(reader: MetricsReader) -> Outcomes:
    """The outcomes of metrics that have been read already."""
    final: dict[str, float] = {}
    best: dict[str, tuple[float, int]] = {}
    stages: dict[str, str] = {}
    for stage in reader.stages():
        for name in reader.names():
            last = reader.last(name, stage)
            if last is None:
                continue
            final[name], stages[name] = last, stage
            found = reader.best(name, stage, better(name))
            if found is not None:
                best[name] = found
    return Outcomes(final, best, stages)


class OutcomeBook:
    """The outcomes of many runs; of a file that did not change nothing is read again.

    Args:
        file: Where they are kept for the next time, `outcomes.json` in the user's cache folder;
            None keeps them in memory alone. It may be deleted at any time.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._kept: dict[str, tuple[Stamp, Outcomes]] | None = None
        self._live: dict[str, MetricsReader] = {}
        self._changed = False

    def known(self, run: RunDirectory) -> Outcomes | None:
        """The outcomes as far as they are known without reading metrics; None otherwise."""
        stamp = _stamp(run)
        if stamp is None:
            return Outcomes()
        kept = self._runs().get(str(run.path))
        return kept[1] if kept and kept[0] == stamp else None

    def read(self, run: RunDirectory) -> Outcomes:
        """The outcomes as they stand now; slow where nothing is known, so call it from a thread."""
        known = self.known(run)
        stamp = _stamp(run)
        if known is not None or stamp is None:
            return known or Outcomes()
        key = str(run.path)
        reader = self._live.pop(key, None) or MetricsReader(run)
        reader.read_all()
        found = outcomes_of(reader)
        if key in self._runs():
            # It has grown since the last time, so it may grow again.
            self._live[key] = reader
            while len(self._live) > LIVE_READERS:
                self._live.pop(next(iter(self._live)))
        self._runs().pop(key, None)
        self._runs()[key] = (stamp, found)
        self._changed = True
        return found

    def save(self) -> None:
        """Keep what is known on the disk; where that is impossible, it is read anew some day."""
        if not self._changed or self._file is None:
            return
        runs = list(self._runs().items())[-KEPT_RUNS:]
        content = {
            "version": VERSION,
            "runs": {
                key: {"stamp": stamp, "final": dict(one.final), "best": dict(one.best),
                      "stages": dict(one.stages)}
                for key, (stamp, one) in runs
            },
        }  # fmt: skip
        try:
            make_private_dir(self._file.parent)
            write_atomic(self._file, json.dumps(content))
        except OSError:
            return
        self._changed = False

    def _runs(self) -> dict[str, tuple[Stamp, Outcomes]]:
        if self._kept is None:
            self._kept = _read_book(self._file) if self._file else {}
        return self._kept


def _stamp(run: RunDirectory) -> Stamp | None:
    """What changes when the metrics do; None without any."""
    try:
        status = run.metrics.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _read_book(file: Path) -> dict[str, tuple[Stamp, Outcomes]]:
    """What was kept; entries that are not as they should be are left out."""
    try:
        content = json.loads(read_small(file, limit_bytes=64 * 1024 * 1024))
        runs = content["runs"].items() if content["version"] == VERSION else ()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    found = {}
    for key, entry in runs:
        try:
            size, changed, inode = entry["stamp"]
            found[key] = ((int(size), int(changed), int(inode)), _read_entry(entry))
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return found


def _read_entry(entry: Mapping[str, Any]) -> Outcomes:
    return Outcomes(
        {name: float(value) for name, value in entry["final"].items() if is_number(value)},
        {
            name: (float(value), step)
            for name, (value, step) in entry["best"].items()
            if is_number(value) and is_step(step)
        },
        {name: str(stage) for name, stage in entry["stages"].items()},
    )

"""All runs with what may be asked of them: their record, notes, settings and outcomes.

Only what a query looks at is read, and what has not changed on disk is not read again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.base.files import is_number, json_safe
from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.recipe import load_recipe
from workbench.recipe.schema import load_schema
from workbench.run.directory import RunDirectory, list_runs
from workbench.run.metrics import MetricsReader
from workbench.run.notes import Notes, read_notes
from workbench.run.outcomes import OutcomeBook, Outcomes, better
from workbench.run.query import Key, Query, Value, fulfils, unknown_metrics
from workbench.run.record import RunRecord, is_active, read_record
from workbench.run.states import label

Stamp = tuple[int, int, int, int]
LIST_ITEMS = 64
BOOK = "outcomes.json"
"""In the cache folder: the outcomes of runs, so that their metrics are read once."""


@dataclass(frozen=True)
class Facts:
    """What is known of a run.

    Attributes:
        settings: Of each stage, as TRL got them; empty while nobody has asked.
        outcomes: Of each metric, from the last stage that has logged it; likewise.
        of_stages: Of each stage; likewise.
    """

    run: RunDirectory
    record: RunRecord
    notes: Notes
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    outcomes: Outcomes = field(default_factory=Outcomes)
    of_stages: Mapping[str, Outcomes] = field(default_factory=dict)

    @property
    def stages(self) -> tuple[str, ...]:
        """Its stages, the last one first, which is the one that is meant where none is named."""
        return tuple(reversed(self.record.stages))


@dataclass(frozen=True)
class Found:
    """A run that a query has chosen.

    Attributes:
        value: What it was sorted by; None without an order, or where the run has no such value.
    """

    facts: Facts
    value: Value = None


class History:
    """Reads the facts of all runs. Slow: call it from a thread; two threads do not mix."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._lock = threading.Lock()
        self._book = OutcomeBook(paths.cache / BOOK)
        self._kept: dict[str, _Kept] = {}

    def read(self, keys: Iterable[Key] = ()) -> tuple[Facts, ...]:
        """All runs, newest first, with what these keys look at.

        Raises:
            ProblemError: The folder of the runs cannot be read.
        """
        wanted = _wanted(keys)
        with self._lock:
            runs = list_runs(self._paths)
            self._kept = {run.id: self._kept.get(run.id) or _Kept(run, self._book) for run in runs}
            facts = tuple(kept.facts(wanted) for kept in self._kept.values())
            self._book.save()
            return facts


def _wanted(keys: Iterable[Key]) -> set[str]:
    """Which parts of a run these keys look at."""
    wanted = set()
    for key in keys:
        if key.kind == "setting":
            wanted.add("settings")
        elif key.kind in ("final", "best"):
            wanted.add("of_stages" if key.stage else "outcomes")
    return wanted


class _Kept:
    """What is known of a run, and the stamps of the files that it was read from."""

    def __init__(self, run: RunDirectory, book: OutcomeBook) -> None:
        self._run = run
        self._book = book
        self._facts = Facts(run, RunRecord(), Notes())
        self._stamps: dict[str, tuple[Stamp, ...]] = {}

    def facts(self, wanted: set[str]) -> Facts:
        """The facts as the files hold them now."""
        run, facts = self._run, self._facts
        # A live run may end without writing anything, so only ended ones are trusted.
        if self._changed("record", run.record, run.slurm) or is_active(facts.record):
            facts = replace(facts, record=read_record(run))
        if self._changed("notes", run.notes):
            facts = replace(facts, notes=read_notes(run))
        if "settings" in wanted:
            files = (run.recipe, *map(run.config, facts.record.stages))
            if self._changed("settings", *files):
                found = {stage: read_settings(run, stage) for stage in facts.record.stages}
                facts = replace(facts, settings=found)
        if "outcomes" in wanted and self._changed("outcomes", run.metrics):
            facts = replace(facts, outcomes=self._book.read(run))
        if "of_stages" in wanted and self._changed("of_stages", run.metrics):
            facts = replace(facts, of_stages=outcomes_by_stage(run))
        self._facts = facts
        return facts

    def _changed(self, part: str, *files: Path) -> bool:
        stamps = tuple(map(_stamp, files))
        changed = self._stamps.get(part) != stamps
        self._stamps[part] = stamps
        return changed


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0, 0
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def read_settings(run: RunDirectory, stage: str) -> dict[str, Any]:
    """A stage's settings as TRL got them, without its defaults; empty where nobody can tell."""
    for file in (run.config(stage), run.recipe):
        try:
            if file.is_file():
                return load_recipe(file, stage=stage).values(stage)
        except (OSError, ProblemError):
            continue
    return {}


def outcomes_by_stage(run: RunDirectory) -> dict[str, Outcomes]:
    """Outcomes of each stage by itself. Reads all metrics, so call it from a thread."""
    reader = MetricsReader(run)
    reader.read_all()
    return {stage: outcomes_of_stage(reader, stage) for stage in reader.stages()}


def outcomes_of_stage(reader: MetricsReader, stage: str) -> Outcomes:
    """The final and the best values of one stage."""
    lasts = {name: reader.last(name, stage) for name in reader.names()}
    bests = {name: reader.best(name, stage, better(name)) for name in lasts}
    return Outcomes(
        {name: last for name, last in lasts.items() if last is not None},
        {name: best for name, best in bests.items() if best is not None},
        {name: stage for name, last in lasts.items() if last is not None},
    )


def value_of(facts: Facts, key: Key) -> Value:
    """What a run has under a key; None where it has nothing, or nobody can tell."""
    if key.kind == "text":
        return _text(facts, key.name)
    if key.kind == "number":
        return _number(facts.record, key.name)
    if key.kind == "setting":
        stages = (key.stage,) if key.stage else facts.stages
        found = (_setting(facts, stage, key.name) for stage in stages)
        return next((value for value in found if value is not None), None)
    outcomes = facts.of_stages.get(key.stage, Outcomes()) if key.stage else facts.outcomes
    if key.kind == "final":
        return outcomes.final.get(key.name)
    best = outcomes.best.get(key.name)
    return best[0] if best else None


def _text(facts: Facts, name: str) -> Value:
    record = facts.record
    if name == "tag":
        return facts.notes.tags
    texts = {
        "state": label(record.state),
        "stage": record.stage,
        "id": facts.run.id,
        "name": record.name,
        "title": record.title,
        "note": facts.notes.text,
        "model": record.model_source,
    }
    return texts[name] or None


def _number(record: RunRecord, name: str) -> float | None:
    if name == "seconds":
        ended = record.finished or record.heartbeat
        return max(0.0, ended - record.started) if record.started and ended else None
    value = float(getattr(record, name))
    return value or (0.0 if name == "step" else None)


def _setting(facts: Facts, stage: str, name: str) -> Value:
    schema_field = load_schema().field(name, stage)
    if schema_field is None or stage not in facts.settings:
        return None
    settings = facts.settings[stage]
    if name in settings:
        return as_value(settings[name])
    # Of an imported run a part of the settings is known, and the others need not be the defaults.
    return None if facts.record.imported else as_value(schema_field.default)


def as_value(raw: Any) -> Value:
    """A setting's value as queries compare it."""
    if raw is None or isinstance(raw, bool | str):
        return raw
    if is_number(raw):
        return float(raw)
    if isinstance(raw, list | tuple):
        items = (item if isinstance(item, str) else _json(item) for item in raw[:LIST_ITEMS])
        return tuple(items)
    return _json(raw)


def _json(value: Any) -> str:
    return json.dumps(json_safe(value), ensure_ascii=False)


def select(facts: Sequence[Facts], query: Query) -> list[Found]:
    """The runs that fulfil all conditions, in the query's order, else in the given one.

    A run without the value that it is sorted by comes last.

    Raises:
        ProblemError: A key is no setting, and no run has logged such a metric (exit code 2).
    """
    check_keys(facts, query.keys())
    chosen = [one for one in facts if _chosen(one, query)]
    if query.sort is None:
        return [Found(one) for one in chosen]
    found = [Found(one, value_of(one, query.sort)) for one in chosen]
    with_value = [one for one in found if one.value not in (None, ())]
    with_value.sort(key=_order, reverse=query.descending)
    return [*with_value, *(one for one in found if one.value in (None, ()))]


def check_keys(facts: Sequence[Facts], keys: Iterable[Key]) -> None:
    """Refuse what is neither a setting nor a metric of any run.

    Raises:
        ProblemError: With all of them (exit code 2).
    """
    known = {
        name
        for one in facts
        for outcomes in (one.outcomes, *one.of_stages.values())
        for name in outcomes.final
    }
    if problems := unknown_metrics(keys, known):
        raise ProblemError(*problems, exit_code=2)


def _order(found: Found) -> tuple[bool, float, str]:
    value = found.value
    if isinstance(value, bool | float):
        return False, float(value), ""
    return True, 0.0, " ".join(value).casefold() if isinstance(value, tuple) else str(value)


def _chosen(facts: Facts, query: Query) -> bool:
    for term in query.terms:
        if term.key is None:
            words = (facts.record.name, facts.record.title, facts.run.id, *facts.notes.tags)
            hit = any(term.value in word.casefold() for word in words)
            if hit == term.negated:
                return False
        elif not fulfils(term, value_of(facts, term.key)):
            return False
    return True

"""What differs between recipes or runs: settings, data, and for runs what came of them."""

from __future__ import annotations

import enum
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.base.files import json_safe
from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.base.tail import read_small
from workbench.recipe.catalog import Catalog
from workbench.recipe.check_data import count_rows
from workbench.recipe.launching import launch_values
from workbench.recipe.recipe import Recipe, load_recipe
from workbench.recipe.schema import SHAPE_KEYS, STAGES, load_schema
from workbench.run.changes import show_value
from workbench.run.directory import RunDirectory, find_run
from workbench.run.record import RunRecord, read_record

OWN_FOLDER = ("output_dir", "run_name")
RESULTS = ("last_loss", "train_loss", "steps", "seconds", "peak_rss_bytes", "peak_gpu_bytes")
MACHINE = ("python", "platform", "cpu_count")
HELD_OUT = ("eval_loss", "eval_rewards/accuracies", "eval_rewards/margins")


class Unknown(enum.Enum):
    """What a side cannot tell, or what does not concern it; nothing differs from it."""

    VALUE = "-"


UNKNOWN = Unknown.VALUE


@dataclass(frozen=True)
class Side:
    """One of those that are compared.

    Attributes:
        name: As it was asked for, or the run's id.
        run: The run; None of a recipe.
        other: What else has the name, for a sentence.
    """

    name: str
    recipe: Recipe
    run: RunDirectory | None = None
    other: str = ""

    @property
    def kind(self) -> str:
        return "run" if self.run else "recipe"

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that are or were trained; `run --stage` leaves some of the recipe's out."""
        ran = tuple(self.record.stages) if self.record else ()
        return ran or self.recipe.stages

    @functools.cached_property
    def record(self) -> RunRecord | None:
        """The run's record."""
        return read_record(self.run) if self.run else None

    @property
    def imported(self) -> bool:
        """Whether it tells a part of its settings only; TRL's defaults need not be its own."""
        return self.record is not None and bool(self.record.imported)


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same.

    Attributes:
        group: A stage, `recipe`, `launch`, `results`, `results STAGE`, `versions` or `machine`.
    """

    group: str
    key: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.key}: {show_value(self.before)} -> {show_value(self.after)}"


@dataclass(frozen=True)
class Row:
    """One thing that is not the same for all sides.

    Attributes:
        group: As in `Difference`.
        values: One of each side; None where it is not set, `UNKNOWN` where nobody can tell.
    """

    group: str
    key: str
    values: tuple[Any, ...]

    def shown(self, place: int) -> str:
        """The value of one side in one line."""
        value = self.values[place]
        return UNKNOWN.value if value is UNKNOWN else show_value(value)


@dataclass
class Comparison:
    """Two sides and what differs between them."""

    sides: tuple[Side, Side]
    differences: list[Difference] = field(default_factory=list)


def find_side(paths: Paths, folder: Path, key: str) -> Side:
    """A recipe by name or path, else a run by id, the start of one, name or `last`.

    Raises:
        ProblemError: There is neither (exit code 2), or the recipe cannot be read.
    """
    run = _run(paths, key)
    if run is not None and (key == "last" or run.id.startswith(key)):
        return side_of(run)
    try:
        path = Catalog(paths, folder).find(key)
    except ProblemError:
        if run is None:
            raise
        return side_of(run)
    other = f"the run {run.id} has this name too" if run else ""
    return Side(key, load_recipe(path), None, other)


def _run(paths: Paths, key: str) -> RunDirectory | None:
    try:
        return find_run(paths, key)
    except ProblemError:
        return None


def side_of(run: RunDirectory) -> Side:
    """A run as a side of a comparison.

    Raises:
        ProblemError: Its recipe cannot be read.
    """
    return Side(run.id, load_recipe(run.recipe), run)


def compare(first: Side, second: Side) -> Comparison:
    """What differs, setting by setting, by stage; TRL's default stands for what is not set."""
    rows = differing((first, second))
    found = [Difference(row.group, row.key, *row.values) for row in rows]
    return Comparison((first, second), found)


def differing(sides: Sequence[Side]) -> list[Row]:
    """What is not the same for all sides, in the order of `Difference.group`.

    A side that cannot tell a value, such as a recipe of its results, takes no part in that row.
    """
    rows = [_row("recipe", "stages", [" and ".join(side.stages) for side in sides])]
    for key in ("probe_prompts", "shared_prefix"):
        known = [UNKNOWN if side.imported else side.recipe.data.get(key) for side in sides]
        rows.append(_row("recipe", key, known))
    rows += _launches(sides)
    for stage in STAGES:
        rows += _stage_rows(stage, sides)
    rows += _outcomes(sides)
    rows += _environments(sides)
    return [row for row in rows if _differs(row)]


def _row(group: str, key: str, values: Sequence[Any]) -> Row:
    return Row(group, key, tuple(v if v is UNKNOWN else json_safe(v) for v in values))


def _differs(row: Row) -> bool:
    known = [value for value in row.values if value is not UNKNOWN]
    return any(value != known[0] for value in known[1:])


def _launches(sides: Sequence[Side]) -> Iterator[Row]:
    """The processes that train: as recipes ask for them, and how many runs had."""
    asked = [launch_values(side.recipe) for side in sides]
    for key, option in load_schema().launch.items():
        if any(key in one for one in asked):
            yield _row("launch", key, [one.get(key, option.default) for one in asked])
    records = [None if side.imported else side.record for side in sides]
    counts = [record.processes if record else UNKNOWN for record in records]
    yield _row("launch", "processes", counts)


def _stage_rows(stage: str, sides: Sequence[Side]) -> Iterator[Row]:
    wishes = [asdict(side.recipe.wish(stage)) for side in sides]
    trains = [stage in side.stages for side in sides]
    for key in SHAPE_KEYS:
        yield _row(stage, key, [
            wish[key] if has and not side.imported else UNKNOWN
            for side, wish, has in zip(sides, wishes, trains, strict=True)
        ])  # fmt: skip
    yield from _settings(stage, sides, trains)
    yield _row(stage, "rows", [_rows(side, stage) for side in sides])
    yield _row(stage, "test rows", [_rows(side, stage, "test") for side in sides])
    yield _row(stage, "data files", [_files(side, stage) for side in sides])


def _settings(stage: str, sides: Sequence[Side], trains: Sequence[bool]) -> Iterator[Row]:
    all_ran = all(side.run is not None for side in sides)
    values = [
        _values(side, stage, all_ran) if has else {}
        for side, has in zip(sides, trains, strict=True)
    ]
    schema = load_schema()
    for key in schema.names(stage):
        if key in OWN_FOLDER or not any(key in one for one in values):
            continue
        default = getattr(schema.field(key, stage), "default", None)
        yield _row(stage, key, [
            one.get(key, UNKNOWN if side.imported else default) if has else UNKNOWN
            for side, one, has in zip(sides, values, trains, strict=True)
        ])  # fmt: skip


def _values(side: Side, stage: str, as_run: bool) -> Mapping[str, Any]:
    """A stage's settings as typed; where all sides are runs those that TRL got."""
    if as_run and side.run is not None and side.run.config(stage).is_file():
        return load_recipe(side.run.config(stage), stage=stage).values(stage)
    return side.recipe.values(stage)


def _rows(side: Side, stage: str, split: str = "train") -> int | Unknown:
    """Rows of a split, of a run as its environment.json counted them."""
    if stage not in side.stages:
        return UNKNOWN
    if side.run is None:
        counted = count_rows(side.recipe, stage) if split == "train" else None
        return UNKNOWN if counted is None else counted
    entry = _data(side, stage).get(split)
    rows = entry.get("rows") if isinstance(entry, dict) else None
    return rows if isinstance(rows, int) else UNKNOWN


def _files(side: Side, stage: str) -> list[str] | Unknown:
    """Local data files of a run: name, and what tells one content from another."""
    files = _data(side, stage).get("files")
    if stage not in side.stages or not isinstance(files, list):
        return UNKNOWN
    known = [file for file in files if isinstance(file, dict)]
    return [
        f"{Path(str(file.get('path'))).name} {str(file.get('sha256') or file.get('bytes'))[:8]}"
        for file in known
    ]


def _data(side: Side, stage: str) -> dict[str, Any]:
    return _inner(_inner(_environment(side), "datasets"), stage)


def _inner(found: dict[str, Any], key: str) -> dict[str, Any]:
    inner = found.get(key)
    return inner if isinstance(inner, dict) else {}


def _environment(side: Side) -> dict[str, Any]:
    try:
        known = json.loads(read_small(side.run.environment)) if side.run else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _outcomes(sides: Sequence[Side]) -> Iterator[Row]:
    records = [side.record for side in sides]
    yield _row("results", "state", [record.state if record else UNKNOWN for record in records])
    for stage in STAGES:
        results = [_result(record.results.get(stage)) if record else {} for record in records]
        for key in (*RESULTS, *HELD_OUT):
            yield _row(f"results {stage}", key, [
                result.get(key, UNKNOWN if side.imported or not side.run else None)
                for side, result in zip(sides, results, strict=True)
            ])  # fmt: skip


def _environments(sides: Sequence[Side]) -> Iterator[Row]:
    known = [_environment(side) for side in sides]
    absent = [UNKNOWN if side.imported or not side.run else None for side in sides]
    tables = [_inner(one, "versions") for one in known]
    for name in sorted({name for table in tables for name in table}):
        values = [t.get(name, missing) for t, missing in zip(tables, absent, strict=True)]
        yield _row("versions", name, values)
    for name in MACHINE:
        yield _row("machine", name, [one.get(name, UNKNOWN) for one in known])
    yield _row("machine", "gpus", [_gpus(one) for one in known])
    commits = [_inner(one, "git").get("commit", UNKNOWN) for one in known]
    yield _row("machine", "recipe's commit", commits)


def _gpus(known: dict[str, Any]) -> list[str] | Unknown:
    gpus = known.get("gpus")
    if not isinstance(gpus, list):
        return UNKNOWN
    return [str(gpu.get("name")) if isinstance(gpu, dict) else str(gpu) for gpu in gpus]


def _result(result: Any) -> dict[str, Any]:
    """A stage's results as one flat table."""
    if not isinstance(result, dict):
        return {}
    held_out = result.get("eval")
    return {**result, **(held_out if isinstance(held_out, dict) else {})}

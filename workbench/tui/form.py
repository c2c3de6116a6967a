"""Which settings the editor shows, in which order, and where the recipe holds each.

No widget in here: the editor screen renders what this module says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from workbench.recipe.guide import GUIDES, SECTIONS, Guide
from workbench.recipe.launch_files import PRESETS
from workbench.recipe.launch_options import has_effect
from workbench.recipe.recipe import Recipe
from workbench.recipe.schema import OWN_KEYS, SHAPE_KEYS, STAGES, Field, load_schema
from workbench.recipe.yaml_edit import REMOVE
from workbench.recipe.yaml_file import Path as KeyPath
from workbench.tui.draft import value_at
from workbench.tui.typed import to_text

SHARED = "shared"
OTHERS = "All other settings"
# Settings that nearly always differ by stage; a staged recipe shows one row for each stage.
PER_STAGE = (
    *("dataset_name", "dataset_config", "dataset_train_split", "dataset_test_split"),
    *("test_split_size", "learning_rate", "num_train_epochs", "max_steps", "loss_type"),
)
LONG_TEXT_CHARACTERS = 60
SET_FIELDS: dict[str, tuple[str, Any, str]] = {
    "path": ("str", None, "A hub name, a folder, or json, csv or parquet beside data files."),
    "data_files": ("list", None, "The files of a set whose path is json, csv or parquet."),
    "split": ("str", "train", "Which split is loaded; train[:10%] takes a part of it."),
    "name": ("str", None, "Name of one of the configurations that a hub data set has."),
    "data_dir": ("str", None, "A folder within the data set, whose files are taken."),
    "columns": ("list", None, "The columns to keep; all where none is named."),
    "fraction": (
        "float",
        None,
        "Share of this set in the mixture, for all sets or for none. The mixture is the largest "
        "one with these shares that repeats no row.",
    ),
}
"""Type, default and meaning of each field of TRL's DatasetConfig."""
NAMED_SET = {"dataset_config": "name", "dataset_train_split": "split"}
"""Settings that go with `dataset_name`, and their names in a mixture."""


@dataclass(frozen=True)
class Setting:
    """One row of the form.

    Attributes:
        path: Where an edit is written, `("beta",)`, `("dpo", "beta")`, `("datasets", 0, "split")`.
        label: Short name.
        section: Heading under which it stands.
        stage: `sft`, `dpo`, or `shared` by all stages.
        kind: How it is edited: `text`, `long` (several lines), `switch`, `choice`, `losses`,
            `modules`, or `add`, which appends to the list that `path` points behind.
        value: The recipe's own value, None where another one applies.
        fallback: What applies without: the value of all stages, else TRL's default.
        inherited: Whether the fallback is the recipe's value for all stages.
        origin: Where the value stands: `line 12`, or `line 5, for all stages`; empty for defaults.
        choices: Allowed values, empty = any.
        help: What it means.
        guide: What is known of it beyond TRL's help.
        type_name: What typed text becomes, see `typed.from_text`.
    """

    path: KeyPath
    label: str
    section: str
    stage: str
    kind: str
    value: Any
    fallback: Any
    choices: tuple[str, ...]
    help: str
    inherited: bool = False
    origin: str = ""
    guide: Guide | None = None
    type_name: str = "str"

    @property
    def key(self) -> str:
        """TRL's name."""
        return str(self.path[-1])

    @property
    def effective(self) -> Any:
        """The value that applies."""
        return self.fallback if self.value is None else self.value

    @property
    def shown(self) -> str:
        """The recipe's own value as the text of an input."""
        return to_text(self.value)

    @property
    def in_set(self) -> bool:
        """Whether it belongs to one data set of a mixture."""
        return len(self.path) > 1 and isinstance(self.path[-2], int)

    def is_named(self, words: str) -> bool:
        """Whether every word occurs in its name or label, whatever the case."""
        return _has(f"{self.key} {self.label} {self.stage}", words)

    def matches(self, words: str) -> bool:
        """Whether every word occurs in its name, label or help, whatever the case."""
        effect = self.guide.effect if self.guide else ""
        return _has(f"{self.key} {self.label} {self.stage} {self.help} {effect}", words)


def _has(text: str, words: str) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words.casefold().split())


def settings(recipe: Recipe) -> list[Setting]:
    """All rows of the form for a recipe, in order."""
    rows = {section: list[Setting]() for section in (*SECTIONS, OTHERS)}
    for key, guide in GUIDES.items():
        if key == "datasets":
            rows[guide.section] += _mixtures(recipe, guide.section)
            continue
        for row in _rows(recipe, key, guide.label, guide.section):
            rows[row.section].append(row)
    options = [key for key in load_schema().launch if has_effect(key)]
    for key in (*load_schema().names(), *OWN_KEYS, *options):
        if key not in GUIDES:
            rows[OTHERS] += _rows(recipe, key, key, OTHERS)
    ordered = [row for section in rows.values() for row in section]
    ordered += _unknown(recipe, {row.path for row in ordered})
    # With one stage there is nothing to tell apart.
    if len(recipe.stages) > 1:
        return ordered
    return [replace(row, stage=SHARED) for row in ordered]


def _rows(recipe: Recipe, key: str, label: str, section: str) -> Iterator[Setting]:
    """The rows of one setting: one for all stages, one for each, or that of its only stage."""
    for stage in _stages_of(recipe, key):
        alone = recipe.stages[0] if len(recipe.stages) == 1 else None
        known = _known(key, alone if stage == SHARED else stage)
        path: KeyPath = (stage, key) if recipe.staged and stage != SHARED else (key,)
        if section.lower() in STAGES:
            # What both stages know by one name, such as loss_type, stands where its stage does.
            section = (stage if stage != SHARED else recipe.stages[0]).upper()
        yield _row(recipe, path, label, section, stage, known)


def _known(key: str, stage: str | None) -> Field | None:
    """What is known of a setting, of TRL's or of accelerate's."""
    schema = load_schema()
    option = schema.launch.get(key)
    if key == "accelerate_config" and option is not None:
        # A path is as good, and is typed.
        option = replace(option, choices=PRESETS)
    return schema.field(key, stage) or option


def _stages_of(recipe: Recipe, key: str) -> Iterator[str]:
    if key in SHAPE_KEYS and recipe.staged:
        # Each stage has data of its own.
        yield from recipe.stages
        if key in recipe.data:
            yield SHARED
        return
    if key in OWN_KEYS or key in load_schema().launch:
        yield SHARED
        return
    known = load_schema().field(key)
    stages = [stage for stage in recipe.stages if known and stage in known.stages]
    if not recipe.staged:
        yield from (SHARED for _ in stages)
        return
    overriding = [stage for stage in stages if key in _section(recipe, stage)]
    apart = bool(overriding) or key in PER_STAGE or stages != list(recipe.stages)
    if stages and (key in recipe.data or not apart):
        yield SHARED
    if overriding or (apart and key not in recipe.data):
        yield from stages


def _section(recipe: Recipe, stage: str) -> dict[str, Any]:
    section = recipe.data.get(stage)
    return section if isinstance(section, dict) else {}


def _row(
    recipe: Recipe, path: KeyPath, label: str, section: str, stage: str, known: Field | None
) -> Setting:
    key = str(path[-1])
    place = recipe.data if len(path) == 1 else _section(recipe, str(path[0]))
    value = place.get(key)
    inherited = len(path) > 1 and key in recipe.data and key not in place
    fallback = recipe.data[key] if inherited else known.default if known else None
    kind, type_name = _kind(key, known, value)
    return Setting(
        path=path,
        label=label,
        section=section,
        stage=stage,
        kind=kind,
        value=value,
        fallback=fallback,
        choices=known.choices if known else (),
        help=" ".join((known.help if known else OWN_KEYS.get(key, "")).split()),
        inherited=inherited,
        origin=_origin(recipe, (key,) if inherited else path, inherited),
        guide=GUIDES.get(key),
        type_name=type_name,
    )


def _kind(key: str, known: Field | None, value: Any) -> tuple[str, str]:
    """How a setting is edited, and the type of what is typed."""
    if key == "probe_prompts":
        return "long", "lines"
    if isinstance(value, str) and ("\n" in value or len(value) > LONG_TEXT_CHARACTERS):
        return "long", "str"
    if key in ("columns", "slurm"):
        return "text", "dict"
    if known is None:
        return "text", "str" if key in OWN_KEYS or isinstance(value, str) else "any"
    if key == "loss_type" and known.kind == "list":
        return "losses", "list"
    if key == "lora_target_modules":
        return "modules", "list"
    if known.kind == "bool" and not isinstance(value, str):
        return "switch", "bool"
    if known.kind == "str" and known.choices and (value is None or value in known.choices):
        return "choice", "str"
    return "text", known.kind


def _origin(recipe: Recipe, path: KeyPath, inherited: bool) -> str:
    mark = recipe.document.marks.get(path)
    if mark is None:
        return ""
    return f"line {mark.line}, for all stages" if inherited else f"line {mark.line}"


def _mixtures(recipe: Recipe, section: str) -> Iterator[Setting]:
    """The data sets of each `datasets` list, a row for each field, and one that adds a set."""
    places: list[tuple[str, KeyPath]] = [(SHARED, ("datasets",))]
    if recipe.staged:
        stages = [s for s in recipe.stages if "datasets" in _section(recipe, s)]
        shared = "datasets" in recipe.data
        places = places if shared else []
        # Where nothing says otherwise, each stage gets its own data.
        names = stages if shared else list(recipe.stages)
        places += [(stage, (stage, "datasets")) for stage in names]
    for stage, path in places:
        place = recipe.data if len(path) == 1 else _section(recipe, str(path[0]))
        entries = place.get("datasets") or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            yield _row(recipe, path, "datasets", section, stage, load_schema().field("datasets"))
            continue
        for index, entry in enumerate(entries):
            yield from _one_set(recipe, (*path, index), entry, section, stage)
        help_text = "A hub name, a folder, or a file of pairs or texts (JSONL, JSON, CSV, Parquet)."
        label = "+ add a data set"
        end = (*path, len(entries))
        yield Setting(
            end, label, section, stage, "add", None, None, (), help_text, type_name="new_set"
        )


def added_set(recipe: Recipe | None, path: KeyPath, entry: dict[str, Any]) -> dict[KeyPath, Any]:
    """The changes that add a data set; one that `dataset_name` names becomes the first of them."""
    *place, _, index = path
    holder = value_at(recipe, tuple(place)) or {}
    name = holder.get("dataset_name")
    if index or not name:
        return {path: entry}
    first = {"path": name}
    for key, own in NAMED_SET.items():
        if holder.get(key) is not None:
            first[own] = holder[key]
    gone = {(*place, key): REMOVE for key in ("dataset_name", *NAMED_SET) if key in holder}
    return {path[:-1]: [first, entry], **gone}


def _one_set(
    recipe: Recipe, path: KeyPath, entry: dict[str, Any], section: str, stage: str
) -> Iterator[Setting]:
    number = int(path[-1]) + 1
    for key in (*SET_FIELDS, *(key for key in entry if key not in SET_FIELDS)):
        type_name, default, help_text = SET_FIELDS.get(key, ("any", None, "TRL does not know it."))
        value = entry.get(key)
        if key == "data_files" and isinstance(value, str | None):
            type_name = "str"
        yield Setting(
            path=(*path, key),
            label=f"set {number}  {key.replace('_', ' ')}",
            section=section,
            stage=stage,
            kind="text",
            value=value,
            fallback=default,
            choices=(),
            help=help_text,
            origin=_origin(recipe, (*path, key), inherited=False),
            type_name=type_name,
        )


def _unknown(recipe: Recipe, shown: set[KeyPath]) -> Iterator[Setting]:
    """What the recipe sets and no row shows yet, so that nothing in it is hidden."""
    places: list[tuple[KeyPath, dict[str, Any]]] = [((), recipe.data)]
    places += [((stage,), _section(recipe, stage)) for stage in recipe.stages if recipe.staged]
    for prefix, values in places:
        for key in values:
            path = (*prefix, key)
            mixture = key == "datasets" and any(found[: len(path)] == path for found in shown)
            if path in shown or mixture or (not prefix and key in STAGES):
                continue
            stage = str(prefix[0]) if prefix else SHARED
            known = _known(str(key), str(prefix[0]) if prefix else None)
            yield _row(recipe, path, str(key), OTHERS, stage, known)

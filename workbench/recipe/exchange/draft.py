"""A recipe in the making: what each setting of a foreign file became, so that none gets lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench.base.problems import Problem
from workbench.base.secrets import redact
from workbench.recipe.check_values import check_option, check_value
from workbench.recipe.schema import OWN_KEYS, STAGES, Field, load_schema
from workbench.recipe.yaml_edit import dump
from workbench.recipe.yaml_file import Document, Path, parse

Outcome = Literal["same", "converted", "default", "dropped", "no equal"]
OUTCOMES: tuple[Outcome, ...] = ("same", "converted", "default", "dropped", "no equal")
_SHOWN_CHARACTERS = 120


@dataclass(frozen=True)
class Entry:
    """What one setting of the source became.

    Attributes:
        key: The setting as people write it, `dataset_mixture.datasets[0].id`; a TRL setting where
            the outcome is `default`.
        path: Its place in the source's data.
        where: `file:line:column`, or the file alone for what stands nowhere.
        outcome: `default` is a value that the other trainer takes by itself and TRL would not.
        becomes: The settings of the recipe that come from it, on one line; may be empty.
        note: Why, or what the person does now.
    """

    key: str
    path: Path
    where: str
    outcome: Outcome
    becomes: str = ""
    note: str = ""


@dataclass
class Draft:
    """One mapping of the source (the file, or a stage's section) and what comes of it.

    Attributes:
        stage: The stage that the settings are for; None for those that two stages share.
        prefix: Path of the mapping in the source.
        keeps_wrong: Whether a value that TRL refuses stays, for `check` to name.
        settings: The recipe's settings, in the order in which they came up.
        entries: What became of each setting of the source.
        given: Settings by the top key of the source that they come from.
        told: Places of the source of which something was said.
    """

    document: Document
    stage: str | None
    prefix: tuple[str, ...] = ()
    keeps_wrong: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    given: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: set[Path] = field(default_factory=set)

    @property
    def data(self) -> dict[str, Any]:
        """The mapping itself."""
        found: Any = self.document.data
        for key in self.prefix:
            found = found[key]
        return found if isinstance(found, dict) else {}

    def value(self, *path: str | int) -> Any:
        """A value of the mapping; None where there is none."""
        found: Any = self.data
        for key in path:
            try:
                found = found[key]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def take(self, path: Path, settings: Mapping[str, Any], note: str = "") -> bool:
        """Give the recipe the settings that a value of the source stands for.

        Returns:
            Whether TRL takes them. Otherwise the value is told as one without an equal; a draft
            that keeps wrong values leaves it in the recipe all the same.
        """
        fitted = {key: fit(value, self._field(key)) for key, value in settings.items()}
        for key in fitted:
            if key in self.settings and key != "env":
                self.drop(path, f"{key} is given already")
                return False
        fault = next((f for key, value in fitted.items() for f in self._faults(key, value)), None)
        if fault is None or self.keeps_wrong:
            self.give(path, fitted)
        if fault is not None:
            hint = _shortened(fault.next_step, fitted)
            hint += " The recipe still says so." if self.keeps_wrong else ""
            self.lack(path, f"{_sentence(fault.what)} {hint}".strip())
            return False
        raw = self.value(*path)
        same = len(fitted) == 1 and path == (next(iter(fitted)),) and _equal(raw, settings)
        becomes = _shown(fitted) if fitted else ""
        outcome: Outcome = "same" if same and fitted == settings else "converted"
        self._tell(path, outcome, becomes, note)
        return True

    def give(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Give the recipe settings without a word; the word is said of the values within."""
        given = self.given.setdefault(str(path[0]), {})
        for target in (self.settings, given):
            for key, value in settings.items():
                if key == "env" and isinstance(value, dict):
                    target["env"] = {**target.get("env", {}), **value}
                else:
                    target[key] = value

    def keep(self, path: Path) -> None:
        """Tell that a value stays as it is."""
        self._tell(path, "same", "", "")

    def tell(self, path: Path, becomes: str, note: str = "") -> None:
        """Tell what became of a value whose settings are given elsewhere."""
        self._tell(path, "converted", becomes, note)

    def drop(self, path: Path, why: str) -> None:
        """Leave out a value that is needless here."""
        self._tell(path, "dropped", "", why)

    def lack(self, path: Path, hint: str) -> None:
        """Leave out a value that has no equal, and tell what to do."""
        self._tell(path, "no equal", "", hint)

    def assume(self, key: str, value: Any, whose: str) -> None:
        """Write down a default of the other trainer where TRL has another one."""
        if key in self.settings:
            return
        self.settings[key] = value
        entry = Entry(key, (), self.document.source, "default", _shown({key: value}), whose)
        self.entries.append(entry)

    def finish(self) -> None:
        """Account for all that nobody has asked for yet."""
        for path, value in _leaves(self.data, ()):
            if self.accounted(path) or (self.stage is None and path[0] in STAGES):
                continue
            if value is None or value is False or value in ("", [], {}):
                self.drop(path, "it is empty or off")
            else:
                own = self.keeps_wrong and len(path) == 1
                near = load_schema().nearest(str(path[0]), self.stage) if own else ""
                unread = "Neither TRL nor the workbench reads it."
                self.lack(path, f"Did you mean {near}?" if near else unread)

    def accounted(self, path: Path) -> bool:
        """Whether something was said of a value, or of the mapping or list that it stands in."""
        full = (*self.prefix, *path)
        counts = range(len(self.prefix) + 1, len(full) + 1)
        return any(full[:count] in self.told for count in counts)

    def _tell(self, path: Path, outcome: Outcome, becomes: str, note: str) -> None:
        full = (*self.prefix, *path)
        self.told.add(full)
        where = self.document.where(full)
        self.entries.append(Entry(_name(full), full, where, outcome, redact(becomes), redact(note)))

    def _field(self, key: str) -> Field | None:
        schema = load_schema()
        return schema.field(key, self.stage) or schema.launch.get(key)

    def _faults(self, key: str, value: Any) -> Iterator[Problem]:
        found = self._field(key)
        if found is not None:
            faults = (check_value if found.stages else check_option)(key, value, found, "")
            yield from (fault for fault in faults if fault.severity == "error")
        elif key not in OWN_KEYS and key != "env":
            yield Problem(f"{key} is no setting of {self.stage}")


def fit(value: Any, known: Field | None) -> Any:
    """A value in the type that TRL's setting has, where it is plainly meant: "5e-6", 8.0, "a,b"."""
    if known is None:
        return value
    if isinstance(value, str):
        return _fit_text(value, known)
    if isinstance(value, bool) and known.kind == "str" and "no" in known.choices:
        return "steps" if value else "no"
    if isinstance(value, float) and known.kind == "int" and value.is_integer():
        return int(value)
    return value


def _fit_text(value: str, known: Field) -> Any:
    text = value.strip()
    if known.kind == "list" and "," in text:
        return [part.strip() for part in text.split(",") if part.strip()]
    if known.kind in ("int", "float", "bool"):
        read = parse(f"v: {text}", "").data.get("v")
        is_bool = isinstance(read, bool)
        if is_bool == (known.kind == "bool") and isinstance(read, int | float):
            return int(read) if known.kind == "int" and float(read).is_integer() else read
    return value


def _equal(raw: Any, settings: Mapping[str, Any]) -> bool:
    (value,) = settings.values()
    return type(raw) is type(value) and bool(raw == value)


def _shown(settings: Mapping[str, Any]) -> str:
    text = ", ".join(f"{key}: {dump(value)}" for key, value in settings.items())
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _name(path: Path) -> str:
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.removeprefix(".")


def _shortened(hint: str, settings: Mapping[str, Any]) -> str:
    if len(hint) <= _SHOWN_CHARACTERS:
        return hint
    return f"See `dpo-workbench schema {next(iter(settings))}`."


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value

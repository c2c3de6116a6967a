"""The words that choose and order runs: `beta>0.1 tag:baseline sort:-eval_rewards/margins`.

`dpo-workbench runs --help` describes the language. A key is, in this order, one of
`TEXTS` and `NUMBERS`, a setting of TRL, or a metric; `final:` and `best:` in front make it a metric
in any case, `dpo.` or `sft.` names the stage.
"""

from __future__ import annotations

import datetime
import difflib
import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.schema import STAGES, load_schema

TEXTS = ("state", "tag", "stage", "id", "name", "title", "note", "model")
"""Keys of texts of a run."""
BEGINNINGS = ("state", "tag", "stage", "id")
"""Those of them whose `:` wants the beginning; of the others it may stand anywhere."""
NUMBERS = ("step", "max_steps", "seconds", "created", "started", "finished")
"""Keys of numbers of a run; the last three are Unix times."""
TIMES = ("created", "started", "finished")
_TRAINED = (
    "loss", "rewards/margins", "rewards/accuracies", "rewards/chosen", "rewards/rejected",
    "logps/chosen", "logps/rejected", "mean_token_accuracy", "entropy",
)  # fmt: skip
COMMON = (*_TRAINED, *(f"eval_{name}" for name in _TRAINED), "grad_norm", "tokens_per_second")
"""Metrics that may be asked for before any run has logged them."""
MOST_TERMS = 40
Kind = Literal["text", "number", "setting", "final", "best"]
Value = float | bool | str | tuple[str, ...] | None
"""What a run has under a key; None where it has nothing."""

_TOKEN = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_TERM = re.compile(r"(-?)((?:best:|final:)?[\w./-]+)(<=|>=|!=|<|>|=|:)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Key:
    """What of a run is meant.

    Attributes:
        stage: The stage whose value it is; empty for the last one that has it.
        text: The key as it was typed.
    """

    kind: Kind
    name: str
    stage: str = ""
    text: str = field(default="", compare=False)


@dataclass(frozen=True)
class Term:
    """One condition.

    Attributes:
        key: None for a word, which is looked for in several texts.
        negated: What fulfils the condition is left out.
    """

    key: Key | None
    operator: str
    value: str
    negated: bool = False
    number: float = math.nan


@dataclass(frozen=True)
class Query:
    """Conditions that a run must all fulfil, and an order."""

    terms: tuple[Term, ...] = ()
    sort: Key | None = None
    descending: bool = False

    def keys(self) -> tuple[Key, ...]:
        """All that it looks at, none twice."""
        found = [term.key for term in self.terms if term.key is not None]
        return tuple(dict.fromkeys([*found, *([self.sort] if self.sort else [])]))


def parse_query(text: str) -> Query:
    """Read a query; an empty text chooses all runs.

    Raises:
        ProblemError: With everything that is wrong in it (exit code 2).
    """
    terms: list[Term] = []
    sort: Key | None = None
    descending = False
    problems: list[Problem] = []
    tokens = _TOKEN.findall(text)
    if len(tokens) > MOST_TERMS:
        raise refuse(f"{len(tokens)} conditions are too many", f"Use {MOST_TERMS} at most.")
    for token in tokens:
        try:
            if token.startswith("sort:"):
                sort, descending = parse_sort(token.removeprefix("sort:"))
            else:
                terms.append(_term(token))
        except ProblemError as error:
            problems += error.problems
    if problems:
        raise ProblemError(*problems, exit_code=2)
    return Query(tuple(terms), sort, descending)


def parse_sort(text: str) -> tuple[Key, bool]:
    """A key to sort by, and whether the highest value comes first (`-KEY`)."""
    if not text.removeprefix("-"):
        raise refuse("sort: names no key", "Write sort:loss, or sort:-loss for the highest first.")
    return parse_key(text.removeprefix("-")), text.startswith("-")


def parse_key(text: str) -> Key:
    """What a key means. A metric's name is any; `unknown_metrics` finds those that no run has."""
    kind, colon, rest = text.partition(":")
    wanted: Kind | None = None
    if colon:
        if kind not in ("best", "final") or not rest:
            raise refuse(f"`{text}` is no key", "Write best:NAME or final:NAME of a metric.")
        wanted, text = ("best" if kind == "best" else "final"), rest
    head, dot, name = text.partition(".")
    stage = head if dot and head in STAGES else ""
    name = name if stage else text
    shown = f"{kind}:{text}" if colon else text
    if wanted is None and not stage and name in TEXTS:
        return Key("text", name, "", shown)
    if wanted is None and not stage and name in NUMBERS:
        return Key("number", name, "", shown)
    if wanted is None and load_schema().field(name, stage or None) is not None:
        return Key("setting", name, stage, shown)
    return Key(wanted or "final", name, stage, shown)


def _term(token: str) -> Term:
    match = None if token.startswith(('"', '-"')) else _TERM.fullmatch(token)
    if match is None:
        negated = token.startswith("-") and len(token) > 1
        word = token.removeprefix("-") if negated else token
        return Term(None, ":", word.replace('"', "").casefold(), negated)
    minus, name, operator, value = match.groups()
    key, value = parse_key(name), value.replace('"', "").strip()
    if not value:
        raise refuse(f"`{token}` has no value", f"Write something behind {operator}")
    number = _number(key, operator, value)
    return Term(key, operator, value.casefold(), bool(minus), number)


def _number(key: Key, operator: str, value: str) -> float:
    """The number that a value is; NaN for a text, where a text may stand."""
    number = math.nan
    try:
        number = float(value)
    except ValueError:
        if key.name in TIMES and key.kind == "number":
            number = _moment(value)
    must = key.kind in ("number", "final", "best") or operator in ("<", "<=", ">", ">=")
    if key.kind == "text" and operator not in (":", "=", "!="):
        raise refuse(f"{key.text} is a text, which {operator} cannot compare", "Use : or = or !=.")
    if must and not math.isfinite(number):
        if key.kind in ("final", "best") and operator == ":":
            near = difflib.get_close_matches(key.name, TEXTS, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}:{value}?" if near else f"Texts are {', '.join(TEXTS)}."
            raise refuse(f"`{key.text}` is no text of a run", hint)
        such = "a day, such as 2026-02-01" if key.name in TIMES else "a number, such as 5e-5"
        raise refuse(f"`{value}` is no number for {key.text}", f"Write {such}.")
    return number


def _moment(value: str) -> float:
    try:
        return datetime.datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError, OSError):
        return math.nan


def refuse(what: str, hint: str) -> ProblemError:
    """A query that cannot be read."""
    return ProblemError(Problem(what, "", hint), exit_code=2)


def unknown_metrics(keys: Iterable[Key], known: Collection[str]) -> list[Problem]:
    """What is neither a key, nor a setting, nor a metric that any run has logged."""
    problems = []
    for key in keys:
        if key.kind not in ("final", "best") or key.name in known or key.name in COMMON:
            continue
        names = [*known, *COMMON, *TEXTS, *NUMBERS, *load_schema().names()]
        near = difflib.get_close_matches(key.name, names, n=1, cutoff=0.6)
        hint = f"Did you mean {near[0]}?" if near else "Metrics have TRL's names: eval_loss."
        problems.append(Problem(f"no run has `{key.name}`, as a setting or a metric", "", hint))
    return problems


def fulfils(term: Term, value: Value) -> bool:
    """Whether a run's value fulfils a condition; without a value it fulfils none but a negated."""
    return (value is not None and value != () and _holds(term, value)) != term.negated


def _holds(term: Term, value: Value) -> bool:
    if isinstance(value, float) and math.isfinite(term.number):
        return _compare(term.operator, value, term.number)
    if term.operator in ("<", "<=", ">", ">="):
        return False
    texts = [text.casefold() for text in as_texts(value)]
    if term.operator == "!=":
        return term.value not in texts
    if term.operator == "=" or isinstance(value, float | bool):
        return term.value in texts
    if term.key is not None and term.key.kind == "text" and term.key.name in BEGINNINGS:
        return any(text.startswith(term.value) for text in texts)
    return any(term.value in text for text in texts)


def _compare(operator: str, value: float, wanted: float) -> bool:
    same = math.isclose(value, wanted, rel_tol=1e-9)
    return {
        "<": value < wanted and not same,
        "<=": value < wanted or same,
        ">": value > wanted and not same,
        ">=": value > wanted or same,
        "!=": not same,
    }.get(operator, same)


def as_texts(value: Value) -> tuple[str, ...]:
    """A value as people type it; a list has several."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, bool):
        return ("true",) if value else ("false",)
    if isinstance(value, float):
        return (f"{value:g}",)
    return () if value is None else (value,)

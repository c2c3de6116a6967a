"""`schema`: every setting that a recipe may hold, for people and for editors."""

from __future__ import annotations

import argparse
import sys
import textwrap

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.cli.execute import report
from workbench.cli.output import columns, print_json
from workbench.recipe.guide import CHOICES, GUIDES, Guide
from workbench.recipe.json_schema import json_schema
from workbench.recipe.old_keys import old_key
from workbench.recipe.schema import OWN_KEYS, STAGES, Field, load_schema, renew_schema
from workbench.recipe.snapshot import is_outdated

MOST_COLUMNS = 100
INDENT = "    "


def know_installed_settings() -> None:
    """Before settings are read: once after an update, ask TRL for them."""
    if not is_outdated():
        return
    print("Reading the settings of the installed TRL, once. It takes a while.", file=sys.stderr)
    try:
        renew_schema()
    except ProblemError as error:
        report(error)


def print_settings(arguments: argparse.Namespace, paths: Paths) -> int:
    """Print the settings whose name, label or help holds all words; all of them without one."""
    know_installed_settings()
    if arguments.json:
        print_json(json_schema())
        return 0
    schema = load_schema()
    fields = [field for name in schema.names() if (field := schema.field(name))]
    fields += schema.launch.values()
    words = [word.lower() for word in arguments.words]
    named = [known for known in fields if _is_called(known.name, words)]
    found = named or [known for known in fields if _mentions(known, words)]
    own = {name: text for name, text in OWN_KEYS.items() if _is_called(name, words)}
    if not found and not own:
        raise ProblemError(_nothing(" ".join(arguments.words)), exit_code=2)
    for name, text in own.items():
        print("\n".join([name, *_guided(name), *_wrapped(text)]))
    for known in found:
        help_text = f"TRL: {known.help}" if known.name in GUIDES else known.help
        print("\n".join([_headline(known), *_guided(known.name), *_wrapped(help_text)]))
    return 0


def _is_called(name: str, words: list[str]) -> bool:
    label = GUIDES[name].label.lower() if name in GUIDES else ""
    return all(word in name for word in words) or all(word in label for word in words)


def _mentions(field: Field, words: list[str]) -> bool:
    text = f"{field.name} {field.help}".lower()
    return all(word in text for word in words)


def _nothing(asked: str) -> Problem:
    outdated = old_key(asked, "VALUE", "")
    if outdated is not None:
        return outdated
    near = load_schema().nearest(asked)
    hint = f"Did you mean {near}?" if near else "Ask for a part of its name, such as `lora`."
    return Problem(f"no setting is called {asked} or speaks of it", "", hint)


def _headline(field: Field) -> str:
    default = "none" if field.default in (None, "") else str(field.default)
    choices = f", one of {', '.join(field.choices)}" if field.choices else ""
    stage = "" if len(field.stages) == len(STAGES) else f" [{_of(field)}]"
    return f"{field.name}{stage}: {field.kind}, default {default}{choices}"


def _guided(name: str) -> list[str]:
    guide = GUIDES.get(name)
    if guide is None:
        return []
    lines = [*_wrapped(_label(guide)), *_wrapped(guide.effect)]
    for choice, text in CHOICES.get(name, {}).items():
        lines += _wrapped(f"- {choice}: {text}")
    return lines


def _label(guide: Guide) -> str:
    unit = f" ({guide.unit})" if guide.unit else ""
    if isinstance(guide.usual, str):
        return f"{guide.label}{unit}, usual: {guide.usual}"
    usual = "; ".join(f"{stage.upper()} {values}" for stage, values in guide.usual.items())
    return f"{guide.label}{unit}, usual: {usual}"


def _of(field: Field) -> str:
    return f"{field.stages[0]} only" if field.stages else "accelerate launch"


def _wrapped(text: str) -> list[str]:
    width = min(columns(), MOST_COLUMNS)
    return textwrap.wrap(text, width, initial_indent=INDENT, subsequent_indent=INDENT)

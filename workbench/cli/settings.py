"""`schema`: every setting that a recipe may hold, for people and for editors."""

from __future__ import annotations

import argparse
import sys
import textwrap

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.cli.execute import report
from workbench.cli.output import columns, print_json
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
    """Print the settings whose name or help holds all words; all of them without a word."""
    know_installed_settings()
    if arguments.json:
        print_json(json_schema())
        return 0
    schema = load_schema()
    fields = [field for name in schema.names() if (field := schema.field(name))]
    fields += schema.launch.values()
    words = [word.lower() for word in arguments.words]
    named = [known for known in fields if all(word in known.name for word in words)]
    found = named or [known for known in fields if _mentions(known, words)]
    own = {name: text for name, text in OWN_KEYS.items() if all(word in name for word in words)}
    if not found and not own:
        raise ProblemError(_nothing(" ".join(arguments.words)), exit_code=2)
    for name, text in own.items():
        print("\n".join([name, *_wrapped(text)]))
    for known in found:
        print("\n".join([_headline(known), *_wrapped(known.help)]))
    return 0


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


def _of(field: Field) -> str:
    return f"{field.stages[0]} only" if field.stages else "accelerate launch"


def _wrapped(text: str) -> list[str]:
    width = min(columns(), MOST_COLUMNS)
    return textwrap.wrap(text, width, initial_indent=INDENT, subsequent_indent=INDENT)

"""The user's config file: `config.yaml` in the config folder, every key optional."""

from __future__ import annotations

import difflib
import os
import stat
from dataclasses import dataclass, fields
from pathlib import Path

from workbench.base.paths import Paths
from workbench.base.problems import Problem
from workbench.recipe.yaml_file import Document, parse

NOTIFY = ("off", "osc9", "osc777", "both")
SIZE_LIMIT_BYTES = 100_000


@dataclass(frozen=True)
class Preferences:
    """What a user wants.

    Attributes:
        on_end: A command line for the shell, run when a run has ended; empty for none.
        bell: Whether the terminal's bell rings when a run ends that somebody watches.
        notify: Which desktop notification the terminal is asked for: one of `NOTIFY`.
        terminal_title: Whether the terminal's title shows the progress.
    """

    on_end: str = ""
    bell: bool = True
    notify: str = "off"
    terminal_title: bool = False


KEYS = tuple(field.name for field in fields(Preferences))


def preferences_file(paths: Paths) -> Path:
    """Where the user's preferences stand."""
    return paths.config / "config.yaml"


def load_preferences(paths: Paths) -> tuple[Preferences, list[Problem]]:
    """The user's preferences, and a warning for each line that is wrong.

    What is wrong is ignored: the default stands in its place. The file is never written.
    """
    file = preferences_file(paths)
    try:
        status = file.stat()
        if status.st_size > SIZE_LIMIT_BYTES:
            hint = f"It may hold these keys: {', '.join(KEYS)}."
            return Preferences(), [_warning("the file is far too large", str(file), hint)]
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Preferences(), []
    except OSError as error:
        what = f"the preferences cannot be read: {error.strerror or error}"
        return Preferences(), [_warning(what, str(file), "Check its permissions.")]
    except UnicodeDecodeError:
        return Preferences(), [_warning("the file is not UTF-8 text", str(file), "Write it anew.")]
    lines = (line.strip() for line in text.splitlines())
    if all(not line or line.startswith("#") for line in lines):
        return Preferences(), []
    document = parse(text, str(file))
    if document.problems:
        first = document.problems[0]
        hint = "Mend it; until then the defaults are used."
        return Preferences(), [_warning(first.what, first.where, hint)]
    return _read(document, status)


def _read(document: Document, status: os.stat_result) -> tuple[Preferences, list[Problem]]:
    values: dict[str, object] = {}
    problems = []
    for key, value in document.data.items():
        wrong = _fault(key, value)
        if key == "on_end" and not wrong and not _only_ours(status):
            wrong = (
                "on_end is ignored: others may write this file",
                f"Protect it: chmod go-w {document.source}",
            )
        if wrong:
            problems.append(_warning(wrong[0], document.where((key,)), wrong[1]))
        elif value is not None:
            # YAML reads `off` and `on` as truth values.
            values[key] = "off" if key == "notify" and value is False else value
    return Preferences(**values), problems  # type: ignore[arg-type]


def _fault(key: str, value: object) -> tuple[str, str] | None:
    """What is wrong with an entry, and what to do; None where nothing is."""
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"The keys are: {', '.join(KEYS)}."
        return f"there is no preference {key}", hint
    if value is None:
        return None
    if key == "on_end":
        return None if isinstance(value, str) else ("on_end is not a text", "Put it in quotes.")
    if key == "notify":
        if value is False or value in NOTIFY:
            return None
        return f"notify cannot be {value}", f"It is one of: {', '.join(NOTIFY)}."
    if not isinstance(value, bool):
        return f"{key} cannot be {value}", "It is true or false."
    return None


def _only_ours(status: os.stat_result) -> bool:
    """Whether nobody else may write the file: it holds a command that runs as this user."""
    others = stat.S_IWGRP | stat.S_IWOTH
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & others


def _warning(what: str, where: str, next_step: str) -> Problem:
    return Problem(what, where, next_step, "warning")

"""`runs`, `tag` and `note`: runs chosen and ordered, and what people say of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.cli.execute import BAD_USAGE, DONE
from workbench.cli.output import duration, local_time, number, one_line, print_json, table
from workbench.cli.queue import state_words, wake
from workbench.cli.settings import know_installed_settings
from workbench.run.directory import find_run, list_runs
from workbench.run.history import Facts, Found, History, check_keys, select, value_of
from workbench.run.notes import NOTE_CHARACTERS, Notes, change_notes, read_notes
from workbench.run.query import (
    TIMES,
    Key,
    Query,
    Value,
    as_texts,
    parse_key,
    parse_query,
    parse_sort,
)
from workbench.run.queue import Queue
from workbench.run.record import RunRecord, is_submitted
from workbench.run.slurm.job import ask_quietly
from workbench.run.slurm.status import short_words
from workbench.run.trust import distrust

NO_RUNS = "No runs yet. Start one: dpo-workbench quickstart"


def runs(arguments: argparse.Namespace, paths: Paths) -> int:
    """List the runs that are asked for, newest first where no other order is."""
    query, columns = _asked(arguments)
    if any(key.kind == "setting" for key in (*query.keys(), *columns)):
        know_installed_settings()
    waiting = Queue.of(paths)
    wake(waiting)
    state = waiting.read()
    ask_quietly(list_runs(paths))
    facts = History(paths).read((*query.keys(), *columns))
    check_keys(facts, columns)
    found = select(facts, query)
    if arguments.json:
        print_json([_as_json(one.facts, columns) for one in found])
        return DONE
    if not found:
        print(f"None of {len(facts)} runs fulfils this." if facts else NO_RUNS)
        return DONE
    places = {one.facts.run.id: state.position(one.facts.run.id) for one in found}
    print("\n".join(_table(found, columns, places)))
    for one in found:
        if reason := distrust(one.facts.run, one.facts.record):
            print(one_line(f"{one.facts.run.id} is only shown: {reason}."))
    return DONE


def _asked(arguments: argparse.Namespace) -> tuple[Query, tuple[Key, ...]]:
    """The query, and the columns that are wanted; what is sorted by is one of them."""
    query = parse_query(" ".join(arguments.where))
    if arguments.sort:
        key, descending = parse_sort(arguments.sort)
        query = Query(query.terms, key, descending)
    names = [name.strip() for name in arguments.columns.split(",")]
    columns = [parse_key(name) for name in names if name]
    if query.sort is not None:
        columns.append(query.sort)
    return query, tuple(dict.fromkeys(columns))


def _as_json(facts: Facts, columns: Sequence[Key]) -> dict[str, Any]:
    shown = {
        **asdict(facts.record),
        "path": facts.run.path,
        "distrust": distrust(facts.run, facts.record),
        "tags": facts.notes.tags,
        "note": facts.notes.text,
    }
    if columns:
        shown["values"] = {key.text: value_of(facts, key) for key in columns}
    return shown


def _table(found: Sequence[Found], columns: Sequence[Key], places: dict[str, int]) -> list[str]:
    tagged = any(one.facts.notes.tags for one in found)
    header = ["RUN", "STATE", "STEP", "CREATED", *(one_line(key.text) for key in columns)]
    header += [*(["TAGS"] if tagged else []), "TITLE"]
    rows = []
    for one in found:
        facts, record = one.facts, one.facts.record
        row = [facts.run.id, _state(facts, places[facts.run.id]), progress(record)]
        row += [local_time(record.created)]
        row += [shown_value(key, value_of(facts, key)) for key in columns]
        row += [" ".join(facts.notes.tags)] if tagged else []
        rows.append([*row, record.title])
    return table(header, rows)


def _state(facts: Facts, place: int) -> str:
    words = state_words(facts.record, place)
    if not is_submitted(facts.record):
        return words
    return f"{words}, {short_words(facts.run, facts.record.slurm_job)}"


def progress(record: RunRecord) -> str:
    """`dpo 12/40`."""
    steps = f"{record.step}/{record.max_steps}" if record.max_steps else ""
    return f"{record.stage} {steps}".strip()


def shown_value(key: Key, value: Value) -> str:
    """A value as a table shows it; a dash for none."""
    if value is None or value == ():
        return "-"
    if isinstance(value, float) and key.kind == "number":
        if key.name in TIMES:
            return local_time(value)
        if key.name == "seconds":
            return duration(value)
    if isinstance(value, float):
        return number(value)
    return one_line(",".join(as_texts(value)))


def tag(arguments: argparse.Namespace, paths: Paths) -> int:
    """Give a run tags and take some away; without any, print those that it has."""
    run = find_run(paths, arguments.run)
    add = [text.removeprefix("+") for text in arguments.changes if not text.startswith("-")]
    remove = [text.removeprefix("-") for text in arguments.changes if text.startswith("-")]
    notes = change_notes(run, add=add, remove=remove) if arguments.changes else read_notes(run)
    return _say(run.id, notes, arguments, " ".join(notes.tags) or "no tags")


def note(arguments: argparse.Namespace, paths: Paths) -> int:
    """Write a run's note, from stdin where the text is `-`; without a text, print it."""
    run = find_run(paths, arguments.run)
    if arguments.text is None:
        notes = read_notes(run)
    else:
        text = _read_stdin() if arguments.text == "-" else arguments.text
        notes = change_notes(run, text=text)
    return _say(run.id, notes, arguments, notes.text or "no note")


def _read_stdin() -> str:
    try:
        return sys.stdin.read(4 * NOTE_CHARACTERS)
    except UnicodeDecodeError:
        problem = Problem("the note is no UTF-8 text", "stdin", "Convert it first.")
        raise ProblemError(problem, exit_code=BAD_USAGE) from None


def _say(run_id: str, notes: Notes, arguments: argparse.Namespace, text: str) -> int:
    if arguments.json:
        print_json({"run": run_id, "tags": notes.tags, "note": notes.text})
    else:
        print(text)
    return DONE

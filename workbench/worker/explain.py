"""Errors of the libraries as one sentence with a next step.

What a message tells stands in the table of `run/advice`; here is what needs the exception itself.
"""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.base.text import clean
from workbench.run.advice import (
    advise,
    facts_of,
    find,
    free_bytes,
    is_memory_failure,
    memory_evidence,
)
from workbench.run.advice_rows import Facts
from workbench.run.advice_settings import TARGETS_KEY, target_problem
from workbench.run.directory import RunDirectory

SENTENCE_CHARACTERS = 300
MESSAGE_CHARACTERS = 16 * 1024
EARLIER_THAN_DATA = ("memory", "shared memory", "disk", "quota", "file size", "open files")
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


def explain(
    error: BaseException,
    *,
    model: str = "",
    folder: Path | None = None,
    log: str = "train.log",
    stage: str = "",
    config: Mapping[str, Any] | None = None,
) -> Problem:
    """What a failed run tells its user.

    Args:
        error: what ended the run; its causes are looked at too.
        model: model_name_or_path of the stage, to list its layers or to say which one is missing.
        folder: the run directory, whose disk may be full.
        log: where the traceback stands; empty if nowhere.
        stage: the stage that failed, whose config then says what a lack of memory can do without.
        config: the stage's resolved config; read from the run directory when not given.
    """
    if isinstance(error, ProblemError):
        return error.problems[0]
    told = advise(text_of(error), known_facts(model, folder, log, stage, config))
    if told is None:
        return other_problem(error, log)
    if told.where == TARGETS_KEY and "The model has" not in told.next_step:
        return with_layers(told, model)
    return told


def explain_memory(
    error: BaseException, *, model: str = "", folder: Path | None = None, stage: str = ""
) -> list[str]:
    """All changes against a lack of memory, best first; empty for any other error."""
    if isinstance(error, ProblemError):
        return []
    return memory_evidence(text_of(error), known_facts(model, folder, "", stage, None))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a lack of GPU or main memory is at the root of an error."""
    return is_memory_failure(text_of(error))


def explain_data(error: BaseException, name: str, where: str, folder: Path | None) -> Problem:
    """Why a stage's data cannot be loaded.

    Args:
        name: the data set or its files, for the message.
        where: the key that names it.
        folder: the run directory, whose disk may be full.
    """
    chain = list(causes(error))
    text = text_of(error)
    names = {type(cause).__name__ for cause in chain}
    return (
        machine_problem(text, folder)
        or hub_data_problem(names, text, name, where)
        or local_data_problem(names, text, name, where)
        or Problem(
            f"{name} cannot be loaded: {first_line(chain[-1])}",
            where,
            "Check that the file is whole and of the kind that the recipe says (json, csv, "
            "parquet). The full report stands at the end of train.log.",
        )
    )


def machine_problem(text: str, folder: Path | None) -> Problem | None:
    """A lack of memory or space, which is no fault of the data."""
    facts = known_facts("", folder, "", "", None)
    found = find(text, facts)
    if found is None or not found[0].name.endswith(EARLIER_THAN_DATA):
        return None
    return found[1]


def hub_data_problem(names: set[str], text: str, name: str, where: str) -> Problem | None:
    """A data set that the hub does not give."""
    told = find(text, Facts())
    kind = told[0].name if told else ""
    if "GatedRepoError" in names or "gated" in text:
        hint = "Accept its terms on its hub page, then set HF_TOKEN or run `hf auth login`."
        return Problem(f"the data set {name} is gated", where, hint)
    if kind in ("rate limit", "bad token", "token without the right", "certificates"):
        assert told is not None
        return Problem(told[1].what, where, told[1].next_step)
    if kind in ("data offline", "offline") or "Couldn't reach" in text:
        what = f"the data set {name} is not on this machine, and the hub cannot be reached"
        return Problem(what, where, "Check the network, or name a local file or folder.")
    if kind == "missing data":
        what = f"the data set {name} is neither a local file or folder nor one that the hub gives"
        hint = "Check its name and the network, or give a local file; a private one needs HF_TOKEN."
        return Problem(what, where, hint)
    if "Config name is missing" in text:
        what = f"the data set {name} has several configurations: {first_line_with('Config', text)}"
        return Problem(what, "dataset_config", "Name one of them.")
    return None


def local_data_problem(names: set[str], text: str, name: str, where: str) -> Problem | None:
    """Data that was read, but is empty or cannot be split as asked."""
    if "resulting train set will be empty" in text or "should be either positive" in text:
        what = f"{name} has too few rows to hold some out"
        hint = "Add rows, or remove test_split_size and set eval_strategy: no."
        return Problem(what, "test_split_size", hint)
    if "Unknown split" in text:
        return Problem(first_line_with("Unknown split", text), where, "Name one of these splits.")
    if "StopIteration" in names or "corresponds to no data" in text:
        # That is all that the loader says about an empty file.
        return Problem(f"{name} has no rows", where, "Put rows into the file, or name another.")
    if "column names don't match" in text:
        what = f"the files of {name} have different columns"
        return Problem(what, where, "Give them the same columns, or name fewer files.")
    return None


def known_facts(
    model: str, folder: Path | None, log: str, stage: str, config: Mapping[str, Any] | None
) -> Facts:
    """What the caller knows about the failed run."""
    phase = "generation" if log == "generate.log" else ""
    if config is None and stage and folder is not None:
        known = facts_of(RunDirectory(folder), stage, model)
        return Facts(stage, known.config, known.model, folder, known.free_bytes, phase)
    free = free_bytes(folder) if folder is not None else None
    return Facts(stage, config or {}, model, folder, free, phase)


def text_of(error: BaseException) -> str:
    """An error and its causes as a log would show them: frames, names and messages."""
    parts: list[str] = []
    for cause in causes(error):
        parts += traceback.format_tb(cause.__traceback__)
        message = str(cause)
        if isinstance(cause, OSError) and cause.errno in FULL_DISK:
            message += f" [Errno {cause.errno}]"
        # The beginning and the end: libraries put long lists between them.
        if len(message) > 2 * MESSAGE_CHARACTERS:
            message = f"{message[:MESSAGE_CHARACTERS]}\n{message[-MESSAGE_CHARACTERS:]}"
        parts.append(f"{type(cause).__name__}: {message}\n")
    return "".join(parts)


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def first_cause(error: BaseException) -> str:
    """What began it: the type and the first line of the innermost error."""
    *_, first = causes(error)
    return f"the first cause was {type(first).__name__}: {first_line(first)}"


def with_layers(told: Problem, model: str) -> Problem:
    """A message about wrong LoRA layers with those that the model has, as transformers knows."""
    from workbench.worker.model import linear_names

    named = re.search(r"no layer named (.*) for LoRA", told.what)
    try:
        known = linear_names(model)
    except (OSError, ValueError):
        known = []
    return target_problem(named.group(1), known) if named and known else told


def other_problem(error: BaseException, log: str) -> Problem:
    """Any other error: the first line of its message."""
    step = f"The full report stands at the end of {log}." if log else ""
    if isinstance(error, FileNotFoundError) and error.filename:
        hint = f"Check the path. {step}".rstrip()
        return Problem(str(error.strerror), clean(str(error.filename), newlines=False), hint)
    return Problem(f"{type(error).__name__}: {first_line(error)}", next_step=step)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, short and inert."""
    text = clean(str(error)[: 10 * SENTENCE_CHARACTERS])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:SENTENCE_CHARACTERS] if lines else "no message"


def first_line_with(word: str, text: str) -> str:
    """A text from a word on, to the end of that line."""
    found = re.search(rf"{word}[^\n]{{0,{SENTENCE_CHARACTERS}}}", text)
    return clean(found.group(0), newlines=False) if found else ""

"""Tags and a note that a person gives to a run: RUN/notes.json, theirs alone.

run.json has one writer, the worker; so what people say of a run has a file of its own, and a run
at work takes notes as one that has ended does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workbench.base.files import write_atomic
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import read_small
from workbench.base.text import clean
from workbench.run.directory import RunDirectory
from workbench.run.trust import refuse_distrusted

MOST_TAGS = 32
TAG_CHARACTERS = 40
NOTE_CHARACTERS = 10_000
FILE_BYTES = 128 * 1024
_TAG = re.compile(rf"\w[\w./-]{{0,{TAG_CHARACTERS - 1}}}")
TAG_HINT = (
    f"A tag is one word of letters, digits and . _ - /, at most {TAG_CHARACTERS} characters, and "
    "begins with a letter or digit."
)


@dataclass(frozen=True)
class Notes:
    """What somebody has said of a run.

    Attributes:
        tags: In the order in which they were given, none twice.
        text: The note, of one or several lines.
    """

    tags: tuple[str, ...] = ()
    text: str = ""


def read_notes(run: RunDirectory) -> Notes:
    """A run's tags and note, made inert; empty where there are none or the file is damaged."""
    try:
        raw = json.loads(read_small(run.notes, FILE_BYTES))
    except (OSError, ValueError, RecursionError):
        return Notes()
    if not isinstance(raw, dict):
        return Notes()
    tags, text = raw.get("tags"), raw.get("note")
    words = [_as_tag(tag) for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    kept = tuple(dict.fromkeys(word for word in words if word))[:MOST_TAGS]
    return Notes(kept, clean(text[:NOTE_CHARACTERS]).strip() if isinstance(text, str) else "")


def _as_tag(text: str) -> str:
    """A tag of a file that somebody has written by hand, as one word."""
    word = "-".join(clean(text[: 4 * TAG_CHARACTERS], newlines=False).split())
    return word[:TAG_CHARACTERS]


def check_tag(text: str) -> str:
    """A tag as it was typed, without the `#` that some put in front.

    Raises:
        ProblemError: It is none (exit code 2).
    """
    tag = text.strip().removeprefix("#")
    if _TAG.fullmatch(tag) is None:
        raise ProblemError(Problem(f"`{text}` is no tag", "", TAG_HINT), exit_code=2)
    return tag


def change_notes(
    run: RunDirectory,
    *,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    text: str | None = None,
) -> Notes:
    """Give a run tags, take some away, or write another note; what is not named stays.

    Args:
        add, remove: Tags as `check_tag` takes them; to take away one that is not there is no fault.
        text: The new note; None leaves the old one.

    Returns:
        What is kept now.

    Raises:
        ProblemError: A tag is none, there are too many, the note is too long, the run's files are
            another user's, or nothing can be written there.
    """
    refuse_distrusted(run)
    new, gone = [check_tag(tag) for tag in add], {tag.strip().removeprefix("#") for tag in remove}
    try:
        with _locked(run):
            old = read_notes(run)
            tags = tuple(dict.fromkeys([tag for tag in (*old.tags, *new) if tag not in gone]))
            notes = Notes(tags, old.text if text is None else clean(text).strip())
            _refuse_excess(notes)
            if notes != old:
                content = {"tags": list(notes.tags), "note": notes.text}
                write_atomic(run.notes, json.dumps(content, indent=1, ensure_ascii=False))
    except OSError as error:
        what = f"the notes cannot be written: {error.strerror or error}"
        hint = "Check the run directory's permissions and the free disk space."
        raise ProblemError(Problem(what, str(run.notes), hint)) from error
    return notes


def _refuse_excess(notes: Notes) -> None:
    if len(notes.tags) > MOST_TAGS:
        what = f"{len(notes.tags)} tags are too many"
        hint = f"A run has at most {MOST_TAGS}; take some away."
        raise ProblemError(Problem(what, "", hint), exit_code=2)
    if len(notes.text) > NOTE_CHARACTERS:
        what = f"the note has {len(notes.text):,} characters"
        hint = f"It may have {NOTE_CHARACTERS:,}; keep the rest in a file and name that."
        raise ProblemError(Problem(what, "", hint), exit_code=2)


@contextlib.contextmanager
def _locked(run: RunDirectory) -> Iterator[None]:
    """Hold the run directory itself, so that two who write notes at once both keep theirs."""
    handle = os.open(run.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # A network disk may have no locks of folders: then the last one to write wins.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

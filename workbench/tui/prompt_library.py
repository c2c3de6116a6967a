"""The sections of the prompts dialog: past comparisons, and the sets of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content

from workbench.base.paths import Paths, safe_name
from workbench.base.problems import ProblemError
from workbench.tui.comparing import Past
from workbench.tui.conversation import Conversation, Seat, Turn
from workbench.tui.render import ago, join, plain

if TYPE_CHECKING:
    from workbench.judge.prompts import Prompt, PromptSet
    from workbench.run.directory import RunDirectory

OWN_SET = "mine"
PAST = "Past"


@dataclass(frozen=True)
class Chosen:
    """What was taken: a past comparison, or a prompt of a set."""

    past: Past | None = None
    prompt: Prompt | None = None
    set_name: str = ""


@dataclass(frozen=True)
class Entry:
    """A line of a section, and the words that a search looks through."""

    line: Content
    words: str
    chosen: Chosen


@dataclass(frozen=True)
class Section:
    """A list to choose from.

    Attributes:
        source: The set that it shows; None for the past.
        fault: Why a set cannot be read, empty where it can.
    """

    name: str
    entries: tuple[Entry, ...]
    source: PromptSet | None = None
    fault: str = ""

    @property
    def own(self) -> bool:
        """Whether it is a set of the user's, which can be changed."""
        return (
            self.source is not None
            and not self.source.shipped
            and self.source.path.suffix == ".jsonl"
        )

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts of a set."""
        return [e.chosen.prompt for e in self.entries if e.chosen.prompt is not None]


def past_section(past: Sequence[Past], now: float) -> Section:
    """Everything that was asked, newest first."""
    entries = []
    for one in reversed(past):
        when = ago(one.time, now) if one.time and not one.sampled else "recipe"
        seats = one.talk.seats if one.talk is not None and not one.sampled else ()
        sides = plain(" | ".join(seat.label for seat in seats), newlines=False)
        count = (
            f" ({one.talk.count} answers)" if one.talk is not None and one.talk.count > 1 else ""
        )
        line = join(
            (f"{when:>9}  ", "$muted"), plain(one.prompt, newlines=False), (count, "$muted"),
            "  ", Content.styled(sides.plain, "$faint"),
        )  # fmt: skip
        entries.append(Entry(line, f"{one.prompt} {sides.plain} {when}", Chosen(past=one)))
    return Section(PAST, tuple(entries))


def read_sections(paths: Paths, run: RunDirectory) -> list[Section]:
    """The sets of the library with their prompts. Call it from a thread."""
    from workbench.judge.prompts import library, read_prompts

    sections = []
    for one in library(paths, run):
        try:
            entries = tuple(_entry(prompt, one.name) for prompt in read_prompts(one.path))
            sections.append(Section(one.name, entries, one))
        except ProblemError as error:
            sections.append(Section(one.name, (), one, str(error)))
    return sections


def _entry(prompt: Prompt, set_name: str) -> Entry:
    category = plain(prompt.category or "-", newlines=False).plain
    turns = f" (+{len(prompt.turns)} turns)" if prompt.turns else ""
    line = join(
        (f"{category[:14]:<14}  ", "$accent"), plain(prompt.text, newlines=False), (turns, "$muted")
    )
    return Entry(line, f"{category} {prompt.text}", Chosen(prompt=prompt, set_name=set_name))


def matching(section: Section, search: str) -> list[Entry]:
    """The entries that have every word that was typed."""
    words = search.casefold().split()
    return [e for e in section.entries if all(word in e.words.casefold() for word in words)]


def with_prompt(
    prompts: Sequence[Prompt], old: Prompt | None, text: str, category: str
) -> list[Prompt]:
    """A set's prompts with one of them changed, or with a new one at the end."""
    import dataclasses

    from workbench.judge.prompts import Prompt

    if old is None or old not in prompts:
        taken = {prompt.id for prompt in prompts}
        number = len(prompts) + 1
        while (name := f"p{number}") in taken:
            number += 1
        messages = ({"role": "user", "content": text},) if old is None else _replaced(old, text)
        return [*prompts, Prompt(name, category, messages)]
    changed = dataclasses.replace(old, category=category, messages=_replaced(old, text))
    return [changed if prompt is old or prompt == old else prompt for prompt in prompts]


def _replaced(prompt: Prompt, text: str) -> tuple[dict[str, str], ...]:
    at = len(prompt.opening) - 1
    return tuple(
        {**message, "content": text} if place == at else message
        for place, message in enumerate(prompt.messages)
    )


def import_prompts(paths: Paths, file: Path) -> str:
    """Copy a file's prompts into a new set of the user's and return its name.

    Raises:
        ProblemError: The file holds no prompts, or the set cannot be written.
    """
    from workbench.judge.prompts import library, read_prompts, save_prompts

    prompts = read_prompts(file)
    taken = {one.name for one in library(paths)}
    stem = name = safe_name(file.stem)
    number = 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    save_prompts(paths, name, prompts)
    return name


def conversation_with(
    prompt: Prompt, set_name: str, seats: tuple[Seat, ...], system: str
) -> Conversation:
    """A new conversation that a prompt of the library begins; its own system message goes first."""
    turns: list[Turn] = []
    for message in prompt.opening[:-1]:
        role, content = message["role"], message["content"]
        if role == "system":
            system = content
        elif role == "user":
            turns.append(Turn(content))
        elif turns:
            turns[-1].answers = {seat.spec: {0: {"text": content}} for seat in seats}
    source: Mapping[str, str] = {
        "prompt_id": prompt.id, "category": prompt.category, "prompt_set": set_name,
    }  # fmt: skip
    return Conversation(seats, system, turns, queue=list(prompt.turns), source=dict(source))

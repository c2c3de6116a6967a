"""What threads tell the app. Handlers own all state; threads only post these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.message import Message

from workbench.base.problems import Problem
from workbench.tui.board import RunRow

if TYPE_CHECKING:
    from workbench.recipe.catalog import Entry
    from workbench.run.deep import DeepReport
    from workbench.run.gpu_use import DeviceUse
    from workbench.tui.checking import Checked
    from workbench.tui.watching import RunView


@dataclass
class RunsRead(Message):
    """All runs as they stand on disk now, newest first."""

    rows: tuple[RunRow, ...]


@dataclass
class RecipesRead(Message):
    """The recipes that were found, and the text of each by its path."""

    entries: tuple[Entry, ...]
    texts: dict[str, str]


@dataclass
class RecipeChecked(Message):
    """Problems and totals of a recipe; `number` tells which edit they belong to."""

    number: int
    checked: Checked


@dataclass
class DeepLooked(Message):
    """What model, tokenizer and data say of a recipe."""

    report: DeepReport


@dataclass
class DeviceSeen(Message):
    """Who is on the device that a launch would get."""

    use: DeviceUse


@dataclass
class RunWatched(Message):
    """What a watched run's files hold now."""

    view: RunView


@dataclass
class RunStarted(Message):
    """A run was launched."""

    run_id: str


@dataclass
class Failed(Message):
    """Something that the person asked for did not work."""

    title: str
    problems: tuple[Problem, ...]


@dataclass
class Changed(Message):
    """Something on disk is another now; there is nothing to say about it."""


@dataclass
class Then(Message):
    """What comes on the event loop after slow work, such as a question about its result."""

    act: Callable[[], None]


@dataclass
class Said(Message):
    """A sentence for the person, shown for a moment."""

    text: str


@dataclass
class AnswerEvent(Message):
    """One event of the answering process; `process` tells an old process from the present one."""

    process: int
    event: dict[str, Any]

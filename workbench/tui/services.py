"""What the app is given from outside, so that tests can give it something else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workbench.base.paths import Paths

if TYPE_CHECKING:
    from workbench.judge.answers import Conversation, Sampling
    from workbench.run.data_look import DataJob
    from workbench.run.directory import RunDirectory


class Launcher(Protocol):
    """What `workbench.run.launch` offers."""

    def launch(self, run: RunDirectory) -> int: ...

    def stop(self, run: RunDirectory, *, kill: bool = False) -> str: ...

    def resume(self, run: RunDirectory, *, accept_changes: bool = False) -> int: ...

    def delete(self, run: RunDirectory) -> None: ...


class Answers(Protocol):
    """What `workbench.judge.answers.AnswerProcess` offers."""

    @property
    def alive(self) -> bool: ...

    def start(self) -> None: ...

    def generate(
        self,
        messages: Conversation | Mapping[str, Conversation],
        sampling: Sampling,
        sides: Sequence[str] = ("base", "tuned"),
        *,
        answers: int = 1,
        analyse: bool = True,
    ) -> int: ...

    def batch(
        self,
        prompts: Sequence[Conversation],
        sampling: Sampling,
        sides: Sequence[str] = ("base", "tuned"),
        *,
        analyse: bool = False,
    ) -> int: ...

    def cancel(self, request: int) -> None: ...

    def pause(self, request: int) -> None: ...

    def go_on(self, request: int) -> None: ...

    def close(self) -> None: ...


AnswersFactory = Callable[["RunDirectory", Callable[[dict[str, Any]], None]], Answers]


def real_answers(run: RunDirectory, on_event: Callable[[dict[str, Any]], None]) -> Answers:
    """The real process that answers."""
    from workbench.judge.answers import AnswerProcess

    return AnswerProcess(run, on_event)


class DataLooks(Protocol):
    """What `workbench.run.data_look.DataProcess` offers; each request returns its id."""

    @property
    def alive(self) -> bool: ...

    def scan(self) -> int: ...

    def rows(self, start: int, count: int, *, rule: str = "", search: str = "") -> int: ...

    def row(self, number: int) -> int: ...

    def tokens(self, most: int = 0) -> int: ...

    def xray(self, number: int, part: int = 0) -> int: ...

    def fix(self, out: Path, *, rules: Sequence[str] | None = None, mend: bool = True) -> int: ...

    def cancel(self, request: int) -> None: ...

    def close(self) -> None: ...


DataLooksFactory = Callable[["DataJob", Callable[[dict[str, Any]], None]], DataLooks]


def real_data_looks(job: DataJob, on_event: Callable[[dict[str, Any]], None]) -> DataLooks:
    """The real process that looks at data."""
    from workbench.run.data_look import DataProcess

    return DataProcess(job, on_event)


@dataclass(frozen=True)
class Services:
    """Collaborators of the app.

    Attributes:
        given_launcher: Starts and stops runs; None = `workbench.run.launch`, imported when used.
        clock: Seconds since the epoch.
        cwd: Folder in which `./recipes` is looked for.
    """

    paths: Paths
    given_launcher: Launcher | None = None
    clock: Callable[[], float] = time.time
    answers: AnswersFactory = real_answers
    cwd: Path = field(default_factory=Path.cwd)
    data_looks: DataLooksFactory = real_data_looks

    @property
    def launcher(self) -> Launcher:
        """Starts, stops, resumes and deletes runs."""
        if self.given_launcher is not None:
            return self.given_launcher
        from workbench.run import launch

        return launch

    def recipe_taken(self, name: str) -> str:
        """Why a new recipe cannot have a name, empty where it can."""
        stem = name.removesuffix(".yml").removesuffix(".yaml")
        if not (self.paths.recipes / f"{stem}.yaml").exists():
            return ""
        return f"There is a recipe {stem} already. Choose another name."

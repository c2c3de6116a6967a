"""Looks at data, each in a process of its own, kept with what they found while the app lives."""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.message import Message
from textual.signal import Signal

from workbench.base.problems import Problem
from workbench.tui.data_pages import RowPages
from workbench.tui.messages import Then
from workbench.tui.render import plain
from workbench.tui.services import DataLooks, DataLooksFactory

if TYPE_CHECKING:
    from workbench.run.data_look import DataJob
    from workbench.tui.app import WorkbenchApp

LOOKS_KEPT = 2
"""A recipe has two stages at most; each look has a process."""
FEW_PAIRS = 5_000
"""So many are tokenised without being asked, and in the first go where there are more."""
DETAILS_KEPT = 32

Event = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """What is looked at.

    Attributes:
        title: In a few words: the file, or the recipe.
        job: What the process is given.
        recipe: Whose data these are; None for a file that somebody named.
        stages: Stages of the recipe, of which `job.stage` is one.
        version: Path, size and time of each file: another version is another look.
        model_here: Whether the recipe's model need not be fetched for its tokenizer.
    """

    title: str
    job: DataJob
    recipe: Path | None = None
    stages: tuple[str, ...] = ()
    version: tuple[tuple[str, int, int], ...] = ()
    model_here: bool = False


@dataclass(frozen=True)
class Asked:
    """What an event answers: the request's name and what it was about."""

    kind: str
    about: Any = None


@dataclass
class LookEvent(Message):
    """One event of a look's process."""

    look: Look
    asked: Asked
    event: Event


@dataclass(eq=False)
class Look:
    """One data set, what is known of it, and its process. Ask on the event loop only.

    Attributes:
        sources: What each file is, in the order in which they were opened.
        progress: The last word of what takes long, empty when nothing does.
        report: What the whole set comes to; empty until it was read.
        tokens: Its lengths in tokens; empty until they were measured.
        measuring: Whether that is being done.
        failure: Why the set could not be read.
        token_failure: Why its lengths could not be measured.
        fixed: What the last cleaned copy came to.
    """

    subject: Subject
    make: DataLooksFactory
    post: Callable[[LookEvent], object]
    sources: dict[str, Event] = field(default_factory=dict)
    progress: Event = field(default_factory=dict)
    first: list[Event] = field(default_factory=list)
    report: Event = field(default_factory=dict)
    tokens: Event = field(default_factory=dict)
    measuring: bool = False
    failure: Problem | None = None
    token_failure: Problem | None = None
    fixed: Event = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._process: DataLooks | None = None
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._asked: dict[int, Asked] = {}
        self._details: OrderedDict[Any, Event] = OrderedDict()
        self._closed = False
        self.pages = self.rows()
        self._of_rules: dict[str, RowPages] = {}

    @property
    def pairs(self) -> int | None:
        """How many pairs there are, once that is known."""
        pairs = self.report.get("pairs")
        return pairs if isinstance(pairs, int) else None

    def start(self) -> None:
        """Begin to read; everything else is asked for when it is looked at."""
        threading.Thread(target=self._serve, daemon=True).start()
        self._ask("scan", lambda process: process.scan())

    def _serve(self) -> None:
        # One thread, so that requests reach the process in the order in which they were made.
        for call in iter(self._calls.get, None):
            call()

    def _ask(self, kind: str, call: Callable[[DataLooks], int], about: Any = None) -> None:
        asked = Asked(kind, about)

        def work() -> None:
            try:
                # An answer may be there before the request's number is known: it waits for that.
                with self._lock:
                    if self._process is None:
                        self._process = self.make(self.subject.job, self._told)
                    elif not self._process.alive and kind != "scan":
                        # It has died, or rested for too long: a new one knows no row yet.
                        self._asked[self._process.scan()] = Asked("scan")
                    self._asked[call(self._process)] = asked
            except OSError as error:
                what = f"the process that reads data cannot be started: {error}"
                self.post(LookEvent(self, asked, {"event": "error", "what": what}))

        self._calls.put(work)

    def _told(self, event: Event) -> None:
        """Take an event from the process, on its reader thread."""
        with self._lock:
            number = event.get("id")
            asked = self._asked.get(number) if isinstance(number, int) else None
            if isinstance(number, int) and event.get("event") in ("done", "error"):
                self._asked.pop(number, None)
        if not self._closed:
            self.post(LookEvent(self, asked or Asked("scan"), event))

    def rows(self, rule: str = "", title: str = "", search: str = "") -> RowPages:
        """A list of rows, nothing of which is here yet."""
        return RowPages(self._ask_rows, rule, title, search)

    def of_rule(self, rule: str, title: str) -> RowPages:
        """The rows that a rule has found; their first page was asked for already."""
        if rule not in self._of_rules:
            self._of_rules[rule] = self.rows(rule, title)
        return self._of_rules[rule]

    def _take_report(self, report: Event) -> None:
        self.report, self.progress = report, {}
        self._forget_rows()
        # To count tokens takes the process some seconds; what people look at next is here by then.
        self.pages.want(0, 1)
        for name, rule in (report.get("rules") or {}).items():
            self.of_rule(name, str(rule.get("title") or name)).want(0, 1)
        if self.subject.model_here and 0 < (self.pairs or 0) <= FEW_PAIRS:
            self.measure()

    def _forget_rows(self) -> None:
        for pages in (self.pages, *self._of_rules.values()):
            pages.forget()

    def _ask_rows(self, pages: RowPages, start: int, count: int) -> None:
        rule, search = pages.rule, pages.search
        self._ask(
            "rows",
            lambda process: process.rows(start, count, rule=rule, search=search),
            (pages, start),
        )

    def row(self, number: int) -> Event | None:
        """A row with all that is known of it, or None: then it was asked for."""
        return self._detail(("row", number), lambda process: process.row(number))

    def xray(self, number: int, part: int) -> Event | None:
        """The tokens of a pair, or None: then they were asked for."""
        return self._detail(("xray", number, part), lambda process: process.xray(number, part))

    def _detail(self, key: tuple[Any, ...], call: Callable[[DataLooks], int]) -> Event | None:
        found = self._details.get(key)
        if found is None:
            self._details[key] = {}
            self._ask(key[0], call, key)
        return found or None

    def measure(self, most: int = 0) -> None:
        """Count tokens: of at most so many pairs, of all for 0."""
        if not self.measuring:
            self.measuring, self.token_failure = True, None
            self._ask("tokens", lambda process: process.tokens(most))

    def fix(self, out: Path, rules: list[str]) -> None:
        """Write a cleaned copy."""
        self.fixed = {}
        self._ask("fix", lambda process: process.fix(out, rules=rules))

    def take(self, asked: Asked, event: Event) -> None:
        """Keep what an event says."""
        kind = event.get("event")
        if kind == "error":
            self._take_error(asked, event)
        elif kind == "progress":
            self.progress = event
        elif kind == "source":
            self.sources[str(event.get("path"))] = event
        elif kind == "first":
            self.first = list(event.get("rows") or [])
            self.pages.seed(self.first)
        elif kind == "report":
            self._take_report(event)
        elif kind == "rows" and asked.kind == "rows":
            pages, start = asked.about
            pages.take(start, list(event.get("rows") or []), event.get("total"))
        elif kind in ("row", "xray") and asked.kind == kind:
            self._details[asked.about] = event
            while len(self._details) > DETAILS_KEPT:
                self._details.popitem(last=False)
        elif kind == "tokens":
            self.tokens = event
            self._forget_rows()
            self._details.clear()
        elif kind == "fixed":
            self.fixed = event
        elif kind == "done":
            # The process does one thing at a time.
            self.progress = {}
            self.measuring = self.measuring and asked.kind != "tokens"

    def _take_error(self, asked: Asked, event: Event) -> None:
        problem = problem_of(event)
        self.progress = {}
        if asked.kind == "scan":
            self.failure = problem
        elif asked.kind == "tokens":
            self.measuring, self.token_failure = False, problem
        elif asked.kind == "rows":
            pages, start = asked.about
            pages.give_up(start)
        elif asked.about is not None:
            self._details.pop(asked.about, None)

    def close(self) -> None:
        """Let the process go; waiting for its end is left to its thread."""
        self._closed = True

        def end() -> None:
            if self._process is not None:
                self._process.close()

        self._calls.put(end)
        self._calls.put(None)


def problem_of(event: Event) -> Problem:
    """What an error event says."""
    told = [str(event.get(name) or "") for name in ("what", "where", "next_step")]
    return Problem(told[0] or "the data could not be read", told[1], told[2])


class Looking:
    """The app's looks at data, the newest last.

    Attributes:
        heard: Tells screens what a look's process said, after the look has taken it.
    """

    def __init__(self, app: WorkbenchApp) -> None:
        self._app = app
        self._looks: OrderedDict[Any, Look] = OrderedDict()
        self.heard: Signal[LookEvent] = Signal(app, "look-heard")

    def at(self, subject: Subject) -> Look:
        """The look at a data set: the one that there is already, or a new one."""
        key = (subject.title, str(subject.job), subject.version)
        look = self._looks.pop(key, None)
        if look is not None and look.failure is not None:
            look.close()
            look = None
        if look is None:
            look = Look(subject, self._app.services.data_looks, self._app.post_message)
            look.start()
        self._looks[key] = look
        while len(self._looks) > LOOKS_KEPT:
            self._looks.popitem(last=False)[1].close()
        return look

    def again(self, look: Look) -> Look:
        """Read a data set anew."""
        for key, kept in list(self._looks.items()):
            if kept is look:
                self._looks.pop(key).close()
        return self.at(look.subject)

    def of_recipe(self, recipe: Path) -> dict[str, Look]:
        """The looks at a recipe's data that are there already, by stage."""
        found = [look for look in self._looks.values() if look.subject.recipe == recipe]
        return {look.subject.job.stage: look for look in found}

    def take(self, event: LookEvent) -> None:
        """Keep what a process said and tell the screens."""
        event.look.take(event.asked, event.event)
        self.heard.publish(event)

    def rest(self) -> None:
        """Let the processes go whose data are on no screen: they hold memory."""
        shown = [getattr(screen, "look", None) for screen in self._app.all_screens()]
        for key, look in list(self._looks.items()):
            if not any(look is one for one in shown):
                self._looks.pop(key).close()

    def close(self) -> None:
        """Let all processes go."""
        for look in self._looks.values():
            look.close()
        self._looks.clear()

    def open_recipe(self, path: Path, stage: str = "") -> None:
        """Show the data of a recipe's stage, of its last one if none is named."""
        from workbench.tui.data_subjects import of_recipe

        self._open("The recipe's data cannot be shown",
                   lambda: of_recipe(path, self._app.services.paths, stage))  # fmt: skip

    def ask_for_file(self) -> None:
        """Ask for the path of a file, and show its data."""
        from workbench.tui.data_subjects import of_file
        from workbench.tui.dialogs.line import LineDialog

        cwd = self._app.services.cwd

        def fault(typed: str) -> str:
            path = full_path(typed, cwd)
            return "" if path.exists() else "There is no such file."

        def named(typed: str | None) -> None:
            if typed:
                path = full_path(typed, cwd)
                self._open("The file cannot be shown", lambda: of_file(path))

        text = plain(
            "A file of preferences or instructions: JSON, JSON lines, CSV, TSV, parquet, arrow, "
            "or a folder that datasets has saved."
        )
        self._app.push_screen(LineDialog("Look at data", text, fault=fault, yes="Look"), named)

    def _open(self, title: str, find: Callable[[], Subject]) -> None:
        app = self._app

        def show(subject: Subject) -> None:
            from workbench.tui.screens.data import DataScreen

            app.push_screen(DataScreen(subject))

        def work() -> Message:
            subject = find()
            return Then(lambda: show(subject))

        app.actions.in_thread(title, work)


def full_path(typed: str, folder: Path) -> Path:
    """A typed path, from a folder."""
    path = Path(typed).expanduser()
    return path if path.is_absolute() else folder / path

"""`data`: what a file of preference or instruction data holds, before it is trained on."""

from __future__ import annotations

import argparse
import queue
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.base.text import clean
from workbench.cli.data_text import report_lines, row_lines, rows_lines, xray_lines
from workbench.cli.execute import BAD_USAGE, FAILED
from workbench.cli.output import print_json, redrawable, table
from workbench.cli.parser_data import ALL_PAIRS, SAMPLE_PAIRS
from workbench.cli.recipes import load
from workbench.data.formats.catalogue import shapes
from workbench.data.formats.model import Wish
from workbench.data.readers.source import is_saved_folder
from workbench.data.sources import split_files
from workbench.run.data_look import DataJob, DataProcess, job_of_recipe

CLEAR_LINE = "\r\x1b[K"
PROBLEM = ("what", "where", "next_step")

Event = dict[str, Any]


def data(arguments: argparse.Namespace, paths: Paths) -> int:
    """Look at data files, or at the data of a recipe."""
    if arguments.formats:
        print("\n".join(table(("NAME", "SHAPE"), [*shapes().items()])))
        return 0
    job = _job(arguments, paths)
    with looking(job) as look:
        told = Told()
        look.wait(look.process.scan(), told.take)
        told.finish(look, arguments, has_tokens=bool(job.config))
    if arguments.json:
        print_json(told.record())
    else:
        print("\n".join(told.lines(arguments)))
    return told.exit_code()


class Look:
    """A process that looks at data, asked one thing at a time."""

    def __init__(self, job: DataJob) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.process = DataProcess(job, self._events.put)

    def wait(self, request: int, take: Callable[[Event], object]) -> None:
        """Hand over a request's events until it is done.

        Raises:
            ProblemError: It has failed.
        """
        while True:
            event = self._events.get()
            if event.get("id") != request:
                continue
            if event["event"] in ("done", "error"):
                self._clear()
            if event["event"] == "done":
                return
            if event["event"] == "error":
                what, where, hint = (str(event.get(name) or "") for name in PROBLEM)
                raise ProblemError(Problem(what, where, hint))
            if event["event"] == "progress":
                self._progress(event)
            else:
                take(event)

    def ask(self, request: int, name: str) -> Event:
        """The one event of that name which a request is answered by."""
        found: list[Event] = []
        self.wait(request, lambda event: found.append(event) if event["event"] == name else None)
        return found[-1]

    def _progress(self, event: Event) -> None:
        if redrawable():
            share = f" {event['done'] / event['of']:.0%}" if event.get("of") else ""
            rows = f", {event['rows']} rows" if event.get("rows") else ""
            line = clean(f"{event['message']}{share}{rows}", newlines=False)
            print(f"{CLEAR_LINE}{line}", end="", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if redrawable():
            print(CLEAR_LINE, end="", file=sys.stderr, flush=True)


@contextmanager
def looking(job: DataJob) -> Iterator[Look]:
    """A process that ends with the block."""
    look = Look(job)
    try:
        yield look
    finally:
        look.process.close()


class Told:
    """All that the process has said."""

    def __init__(self) -> None:
        self.sources: list[Event] = []
        self.report: Event = {}
        self.tokens: Event = {}
        self.asked: dict[str, Event] = {}

    def take(self, event: Event) -> None:
        """Keep an event of a scan."""
        if event["event"] == "source":
            self.sources.append(event)
        elif event["event"] == "report":
            self.report = event

    def finish(self, look: Look, arguments: argparse.Namespace, *, has_tokens: bool) -> None:
        """Ask for what the arguments want beyond the scan."""
        process = look.process
        if has_tokens and self.report.get("pairs") and not arguments.no_tokens:
            most = arguments.sample
            if most is None:
                most = 0 if self.report["pairs"] <= ALL_PAIRS else SAMPLE_PAIRS
            self.tokens = look.ask(process.tokens(most), "tokens")
        if arguments.row:
            self.asked["row"] = look.ask(process.row(arguments.row), "row")
        if arguments.xray:
            self.asked["xray"] = look.ask(process.xray(arguments.xray), "xray")
        if arguments.rule or arguments.search:
            words = {"rule": arguments.rule, "search": arguments.search}
            page = process.rows(0, arguments.most, **words)
            self.asked["rows_shown"] = look.ask(page, "rows")
        out = arguments.fix or arguments.convert
        if out:
            rules = [] if arguments.convert else arguments.rules
            request = process.fix(
                Path(out), rules=rules, mend=not arguments.convert, force=arguments.force
            )
            self.asked["fixed"] = look.ask(request, "fixed")

    def record(self) -> dict[str, Any]:
        """The same for scripts."""
        hidden = ("event", "id")
        parts: dict[str, Any] = {**self.report, "sources": self.sources, "tokens": self.tokens}
        parts |= self.asked
        plain = {name: _without(value, hidden) for name, value in parts.items()}
        plain["sources"] = [_without(source, hidden) for source in self.sources]
        return {"ok": self.exit_code() == 0, **_without(plain, hidden)}

    def lines(self, arguments: argparse.Namespace) -> list[str]:
        """The same for people: what was asked for alone, else the whole report."""
        if "xray" in self.asked:
            return xray_lines(self.asked["xray"], ids=arguments.ids)
        if "row" in self.asked:
            return row_lines(self.asked["row"])
        if "rows_shown" in self.asked:
            return rows_lines(self.asked["rows_shown"])
        return report_lines(self.sources, self.report, self.tokens, self.asked.get("fixed"))

    def exit_code(self) -> int:
        """1 where a trainer would get nothing."""
        lost = bool(self.tokens) and not self.tokens["kept"]
        fit = all(source["stage"] for source in self.sources)
        return 0 if self.report.get("pairs") and fit and not lost else FAILED


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: inner for name, inner in value.items() if name not in names}


def _job(arguments: argparse.Namespace, paths: Paths) -> DataJob:
    """What the arguments name.

    Raises:
        ProblemError: Nothing, or what is not there (exit code 2).
    """
    wish = _wish(arguments)
    local = [Path(name).expanduser() for name in arguments.files]
    hub = [name for name, path in zip(arguments.files, local, strict=True) if _is_hub(path)]
    named = [path for path in local if str(path) not in hub]
    files = tuple(file for path in named for file in _files_of(path, "train"))
    test = tuple(Path(name).expanduser() for name in arguments.test)
    test = test or tuple(
        file for path in named if path.is_dir() for file in _files_of(path, "test")
    )
    if not arguments.recipe:
        if not local:
            hint = "Name a file, or --recipe RECIPE for the data of a recipe."
            problem = Problem("there is no data to look at", "data", hint)
            raise ProblemError(problem, exit_code=BAD_USAGE)
        return DataJob(
            stage=arguments.stage or "",
            files=files,
            hub=tuple({"path": name} for name in hub),
            test_files=test,
            wish=wish,
            models=paths.models,
        )
    recipe = load(paths, arguments.recipe)
    stage = arguments.stage or recipe.stages[-1]
    job = job_of_recipe(recipe, stage, paths, files=files, trusted=arguments.trust_remote_code)
    config = dict(job.config)
    if arguments.max_length:
        config["max_length"] = arguments.max_length
    said = Wish(
        wish.data_format or job.wish.data_format,
        wish.columns or job.wish.columns,
        arguments.pairs or job.wish.pairs,
    )
    return replace(job, config=config, wish=said, test_files=test or job.test_files)


def _files_of(path: Path, split: str) -> list[Path]:
    """A file, what `save_to_disk` has written, or the files of a split in a folder of them."""
    if not path.is_dir():
        return [path]
    if is_saved_folder(path):
        return [path] if split == "train" else []
    return split_files(path, split) or ([path] if split == "train" else [])


def _is_hub(path: Path) -> bool:
    """Whether a name can only be one of the hub's: OWNER/NAME that is not there."""
    name = str(path)
    return (
        name.count("/") == 1
        and not name.startswith((".", "/", "~"))
        and not path.exists()
        and not path.suffix
        and not path.parent.exists()
    )


def _wish(arguments: argparse.Namespace) -> Wish:
    columns = {}
    for one in arguments.columns:
        role, equals, name = one.partition("=")
        if not equals or not name:
            hint = "Write --columns prompt=question."
            problem = Problem(f"cannot read `{one}`", "--columns", hint)
            raise ProblemError(problem, exit_code=BAD_USAGE)
        columns[role.strip()] = name.strip()
    return Wish(arguments.data_format or "", columns, arguments.pairs or "all")

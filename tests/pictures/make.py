"""Make the pictures of the README from a real run.

    python tests/pictures/make.py [RUN] OUT_FOLDER [--beside N] [--only NAME ...]

RUN is a run directory, an id, a name or `last`; the newest finished run if not given. The real app
is started without a terminal on a copy of the run, for which a few minutes have passed since its
end, and each screen that exists is written as an SVG. All texts are the run's own: answers in
Compare are those that stand in its `comparisons.jsonl`, or else in its `samples.jsonl`. The run
itself is not touched. Up to N finished runs beside it (3) come along, for the list and for
what lays runs over one another.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.judge.comparisons import load_comparisons
from workbench.run.directory import RunDirectory, find_run, list_runs
from workbench.run.record import RunRecord, has_ended, read_record
from workbench.run.samples import BASE, read_samples
from workbench.tui.app import WorkbenchApp

NARROW, WIDE = (80, 24), (120, 40)
LATER_SECONDS = 120.0
LARGE_BYTES = 1024 * 1024
STILL_SECONDS, PATIENCE_SECONDS, LOOK_SECONDS = 1.5, 60.0, 0.25
WEB_FONTS = re.compile(r"@font-face\s*{[^}]*}\s*")
IDENTITY = re.compile(r"terminal-\d+-")
TITLE = "dpo-workbench"


@dataclass(frozen=True)
class Scene:
    """What the pictures are of.

    Attributes:
        paths: A home that holds copies of the runs alone.
        run: The copy of the run.
        beside: Ids of the others, the newest first.
    """

    paths: Paths
    run: RunDirectory
    record: RunRecord
    beside: tuple[str, ...]

    def app(self) -> WorkbenchApp:
        """The app on the run, some minutes after its end."""
        now = (self.record.finished or self.record.heartbeat) + LATER_SECONDS
        return WorkbenchApp(
            self.paths,
            clock=lambda: now,
            answers=lambda run, on_event: Replay(run, on_event),
            cwd=self.paths.data,
            open_run=self.run.id,
        )


Acts = Callable[[Pilot[Any], Scene], Awaitable[None]]


@dataclass(frozen=True)
class Shot:
    """One picture: its file's name, its size in cells, how the screen is reached, what it shows."""

    name: str
    size: tuple[int, int]
    act: Acts
    sign: str = ""


class LeftOutError(Exception):
    """The run has nothing for this picture, or the app has no such screen."""


class Replay:
    """Answers with what the run has kept, for the prompt that is asked."""

    def __init__(self, run: RunDirectory, on_event: Callable[[dict[str, Any]], None]) -> None:
        self._kept = kept_answers(run)
        self._emit = on_event
        self._number = 0
        self.alive = False

    def start(self) -> None:
        """Ready at once."""
        self.alive = True

    def generate(
        self, messages: Any, sampling: Any, sides: Sequence[str] = ("base", "tuned"), **_: Any
    ) -> int:
        """Tell both sides' answers as the answering process would."""
        self.alive = True
        self._number += 1
        conversation = next(iter(messages.values())) if isinstance(messages, Mapping) else messages
        answers = self._kept.get(str(conversation[-1]["content"]), {})
        for side in sides:
            known = answers.get(side, {})
            event = {"id": self._number, "side": side, "index": 0, "text": known.get("text") or ""}
            self._emit({"event": "text", **event})
            told = {name: known[name] for name in ("tokens", "seconds", "finish") if name in known}
            self._emit({"event": "answer", **event, **told})
        self._emit({"event": "done", "id": self._number})
        return self._number

    def batch(self, prompts: Any, sampling: Any, sides: Any = (), **_: Any) -> int:
        """Nothing is asked ahead."""
        return 0

    def cancel(self, request: int) -> None:
        """Nothing to do."""

    def pause(self, request: int) -> None:
        """Nothing to do."""

    def go_on(self, request: int) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


def kept_answers(run: RunDirectory) -> dict[str, dict[str, dict[str, Any]]]:
    """By prompt, the answer of each side; prompts that all sides have answered, the newest first.

    Sides are `base`, the stages and `tuned`, which is the last stage.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for record in reversed(load_comparisons(run)):
        if len(record["messages"]) == 1:
            known = found.setdefault(str(record["messages"][0].get("content")), {})
            for side, answer in record["answers"].items():
                if isinstance(answer, dict) and answer.get("text"):
                    known.setdefault(side, answer)
    for sample in read_samples(run):
        if not sample.checkpoint:
            answer = {"text": sample.answer, "tokens": sample.tokens}
            answer["finish"] = "length" if sample.cut else "eos"
            found.setdefault(sample.prompt, {}).setdefault(sample.side, answer)
    if not (stages := read_record(run).stages):
        return {}
    for known in found.values():
        for name, other in (("tuned", stages[-1]), (stages[-1], "tuned")):
            if other in known:
                known.setdefault(name, known[other])
    wanted = {BASE, "tuned", *stages}
    return {prompt: known for prompt, known in found.items() if wanted <= set(known)}


async def monitor(pilot: Pilot[Any], scene: Scene) -> None:
    """The Monitor opens by itself."""


async def health(pilot: Pilot[Any], scene: Scene) -> None:
    """What the rules on its metrics have found."""
    with optional():
        from workbench.run.health import examine_run
        from workbench.tui.dialogs.health import HealthDialog
    findings = examine_run(scene.run)
    pilot.app.push_screen(HealthDialog(scene.record.name, findings, ended=True))


async def runs(pilot: Pilot[Any], scene: Scene) -> None:
    """The list of runs."""
    await pilot.press("2")


async def overlay(pilot: Pilot[Any], scene: Scene) -> None:
    """The run and those beside it in one chart."""
    if not scene.beside:
        raise LeftOutError("there is no other finished run beside it")
    with optional():
        from workbench.tui.screens.overlay import OverlayScreen
    await pilot.press("2")
    await pilot.pause()
    pilot.app.push_screen(OverlayScreen((scene.run.id, *scene.beside)))


async def timeline(pilot: Pilot[Any], scene: Scene) -> None:
    """What each checkpoint has answered."""
    if not read_samples(scene.run):
        raise LeftOutError("the run has answered no probe prompts")
    pilot.app.show_timeline(scene.run.id)  # type: ignore[attr-defined]


async def compare(pilot: Pilot[Any], scene: Scene) -> None:
    """A prompt of the run, answered by both sides as it was then."""
    prompts = list(kept_answers(scene.run))
    if not prompts:
        raise LeftOutError("no prompt was answered by all sides")
    await pilot.press("4")
    await pilot.pause()
    for letter in prompts[0]:
        await pilot.press("space" if letter == " " else letter)
    await pilot.press("enter")


SHOTS = (
    Shot("monitor-80x24", NARROW, monitor, "step"),
    Shot("monitor-120x40", WIDE, monitor, "step"),
    Shot("health-80x24", NARROW, health, "Health"),
    Shot("runs-120x40", WIDE, runs, "started"),
    Shot("overlay-120x40", WIDE, overlay),
    Shot("timeline-80x24", NARROW, timeline),
    Shot("compare-120x40", WIDE, compare, "tokens"),
)


@contextlib.contextmanager
def optional() -> Iterator[None]:
    """Imports of a screen that an app may not have."""
    try:
        yield
    except ImportError as error:
        raise LeftOutError(f"the app has no such screen ({error})") from error


async def take(shot: Shot, scene: Scene) -> str:
    """The SVG of one shot."""
    app = scene.app()
    async with app.run_test(size=shot.size) as pilot:
        await still(pilot)
        await shot.act(pilot, scene)
        picture = await still(pilot, shot.sign)
    # A picture loads nothing from elsewhere, and two of the same screen are the same file.
    picture = IDENTITY.sub("terminal-", WEB_FONTS.sub("", picture))
    return "\n".join(line.rstrip() for line in picture.splitlines()) + "\n"


async def still(pilot: Pilot[Any], sign: str = "") -> str:
    """The picture once nothing has changed for a while and it shows a word."""
    loop = asyncio.get_running_loop()
    deadline, since, last = loop.time() + PATIENCE_SECONDS, loop.time(), ""
    while True:
        await pilot.pause(LOOK_SECONDS)
        picture = pilot.app.export_screenshot(title=TITLE)
        if picture != last:
            last, since = picture, loop.time()
        if loop.time() - since >= STILL_SECONDS and sign in picture:
            return picture
        if loop.time() > deadline:
            reason = f"it never showed {sign!r}" if sign not in picture else "it never stood still"
            raise LeftOutError(reason)


def set_scene(wanted: RunDirectory, beside: Sequence[RunDirectory], home: Path) -> Scene:
    """Copy the runs into a home of their own."""
    paths = Paths(home / "data", home / "config", home / "cache")
    paths.runs.mkdir(parents=True)
    for run in (wanted, *beside):
        shutil.copytree(run.path, paths.runs / run.id, copy_function=_copy, symlinks=True)
    copy = RunDirectory(paths.runs / wanted.id)
    return Scene(paths, copy, read_record(copy), tuple(run.id for run in beside))


def _copy(source: str, target: str) -> None:
    """Large files (weights, which no screen writes) are linked, all others copied."""
    if Path(source).stat().st_size > LARGE_BYTES and source.endswith((".safetensors", ".pt")):
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)


def choose(key: str | None, most: int) -> tuple[RunDirectory, list[RunDirectory]]:
    """The run that is asked for, and the newest finished ones in the same folder."""
    paths = Paths.from_environment()
    if key and (Path(key) / "run.json").is_file():
        folder = Path(key).resolve()
        paths = Paths(folder.parent.parent, paths.config, paths.cache)
        run = RunDirectory(folder)
    elif key:
        run = find_run(paths, key)
    else:
        done = (one for one in list_runs(paths) if read_record(one).state == "finished")
        run = next(done, RunDirectory(Path("-")))
        if run.id == "-":
            raise SystemExit("There is no finished run. Make one: dpo-workbench quickstart")
    if not has_ended(read_record(run)):
        raise SystemExit(f"{run.id} still trains; pictures of it would not stand still.")
    siblings = [RunDirectory(file.parent) for file in run.path.parent.glob("*/run.json")]
    others = sorted((one for one in siblings if one != run), key=lambda one: one.id, reverse=True)
    return run, [one for one in others if read_record(one).state == "finished"][:most]


def prepare_environment() -> None:
    """Full colours and all letters, whatever terminal this is started from."""
    for name in ("NO_COLOR", "DPO_WORKBENCH_ASCII", "TEXTUAL_DRIVER"):
        os.environ.pop(name, None)
    os.environ |= {"COLORTERM": "truecolor", "TERM": "xterm-256color", "TZ": "UTC"}


def main() -> int:
    """Write the pictures; 1 where not a single one could be made."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", help="directory, id, name or 'last'")
    parser.add_argument("out", type=Path, help="folder of the pictures")
    parser.add_argument("--beside", type=int, default=3, metavar="N")
    parser.add_argument("--only", nargs="+", choices=[shot.name for shot in SHOTS], default=[])
    options = parser.parse_args()
    prepare_environment()
    try:
        run, beside = choose(options.run, options.beside)
    except ProblemError as error:
        raise SystemExit(str(error)) from error
    options.out.mkdir(parents=True, exist_ok=True)
    made = 0
    for shot in SHOTS:
        if options.only and shot.name not in options.only:
            continue
        with tempfile.TemporaryDirectory() as home:
            scene = set_scene(run, beside, Path(home))
            try:
                picture = asyncio.run(take(shot, scene))
            except LeftOutError as reason:
                print(f"{shot.name:<16} left out: {reason}", file=sys.stderr)
                continue
        target = options.out / f"{shot.name}.svg"
        target.write_text(picture, encoding="utf-8")
        made += 1
        print(f"{shot.name:<16} {target} ({len(picture) / 1000:.0f} kB)", flush=True)
    return 0 if made else 1


if __name__ == "__main__":
    raise SystemExit(main())

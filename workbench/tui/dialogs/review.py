"""The last look before a launch: what will be trained, with what effort, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Input, Static

from workbench.base.paths import safe_name
from workbench.base.problems import ProblemError
from workbench.tui.checking import (
    Checked,
    check_text,
    memory_line,
    time_line,
    totals_lines,
    with_start,
)
from workbench.tui.data_facts import Looks, data_line, nothing_left
from workbench.tui.data_subjects import is_current, of_recipe
from workbench.tui.dialogs.base import Dialog
from workbench.tui.messages import DeviceSeen
from workbench.tui.queueing import busy_with, next_device
from workbench.tui.render import join, lines, plain, problem_line
from workbench.tui.widgets.steady_input import SteadyInput

if TYPE_CHECKING:
    from workbench.recipe.recipe import Recipe
    from workbench.run.directory import RunDirectory
    from workbench.run.gpu_use import DeviceUse
    from workbench.tui.looking import Look, LookEvent, Subject


@dataclass(frozen=True)
class ReviewAnswer:
    """Under which name a run shall start, now or when its turn comes.

    Attributes:
        code_of: The model whose own code would run; that takes another question.
    """

    name: str
    queued: bool = False
    code_of: str = ""


@dataclass
class DataFound(Message):
    """The recipe's data are files of this machine, which can be looked at."""

    subject: Subject


@dataclass
class Reviewed(Message):
    """What the check says, and the looks at the recipe's data that still hold."""

    checked: Checked
    looks: Looks


class ReviewDialog(Dialog[ReviewAnswer]):
    """Answers with the new run's name, or None when nothing shall be started.

    Where another run has the device, the queue is offered first.

    Args:
        path: The recipe.
        name: Name that the run gets unless another is typed.
        parent: The run whose weights it starts from; None for the base model's.

    Attributes:
        use: Who is on the device that the run would get; None until it is known.
        look: What is known of the data of the recipe's last stage; read while the dialog is open.
    """

    DEFAULT_CSS = """
    ReviewDialog > #frame { width: 76; }
    ReviewDialog #summary { height: auto; }
    ReviewDialog #device { height: auto; display: none; }
    ReviewDialog VerticalScroll { height: auto; max-height: 8; margin-top: 1; }
    ReviewDialog.-told VerticalScroll { max-height: 4; }
    ReviewDialog.-timed.-told VerticalScroll { max-height: 2; }
    ReviewDialog #naming { height: 1; margin-top: 1; }
    ReviewDialog #naming > Static { width: 6; color: $muted; }
    ReviewDialog #naming > Input { width: 1fr; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "data", "Data", show=False, id="review.data"),
    ]

    def __init__(self, path: Path, name: str, parent: RunDirectory | None = None) -> None:
        super().__init__("Start this run?")
        self._path, self._start_run = path, parent
        self._run_name = safe_name(name)
        self._may_start = False
        self._busy_with = ""
        self._code_of = ""
        self._checked_once = False
        self.look: Look | None = None
        self.use: DeviceUse | None = None

    def compose_body(self) -> ComposeResult:
        """Summary, problems, name, buttons."""
        yield Static("Checking the recipe ...", id="summary", markup=False)
        yield Static("", id="device", markup=False)
        with VerticalScroll(can_focus=False):
            yield Static("", id="problems", markup=False)
        with Horizontal(id="naming"):
            yield Static("name", markup=False)
            yield SteadyInput(self._run_name, id="name")
        yield Static("", id="busy", classes="hint", markup=False)
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="no", compact=True)
            yield Button("Put in the queue", id="queue", compact=True, disabled=True)
            yield Button("Start training", id="yes", compact=True, disabled=True)

    def on_mount(self) -> None:
        """Check in a thread; the dialog fills when it is done."""
        self.query_one("#no").focus()
        self._tell_busy(None)
        self.action_check()

    def _tell_busy(self, recipe: Recipe | None) -> None:
        """Offer the queue where a run would have to share a device."""
        self._busy_with = busy_with(self.bench.rows, recipe)
        for offer in self.query("#queue, #busy"):
            offer.display = bool(self._busy_with)
        if self._busy_with:
            hint = f"{self._busy_with} is training; two at once share time and memory."
            self.query_one("#busy", Static).update(hint)
            self.query_one("#yes", Button).label = "Start now"

    def action_check(self) -> None:
        """Check the recipe in a thread, with what is known of its data."""
        looks = self.bench.looking.of_recipe(self._path)
        self.run_worker(partial(self._check, looks), thread=True, exit_on_error=False)

    def on_screen_resume(self) -> None:
        """The data may have been looked at meanwhile."""
        if self._checked_once:
            self.action_check()

    def action_data(self) -> None:
        """Look at the recipe's data; escape comes back here."""
        self.bench.looking.open_recipe(self._path)

    def _check(self, looks: Looks) -> None:
        current = {stage: look for stage, look in looks.items() if is_current(look.subject)}
        device = next_device(self.bench.rows)
        checked = check_text(self._path, None, self.bench.services.paths, device)
        if self._start_run is not None:
            checked = with_start(checked, self._start_run)
        problems = (*checked.problems, *nothing_left(checked, current))
        checked = replace(checked, problems=problems)
        self.post_message(Reviewed(checked, current))

    def _find_data(self) -> None:
        try:
            subject = of_recipe(self._path, self.bench.services.paths)
        except ProblemError:
            return  # the check has said so
        if subject.job.files and not subject.job.hub:
            self.post_message(DataFound(subject))

    @on(DataFound)
    def _data_found(self, event: DataFound) -> None:
        event.stop()
        self.look = self.bench.looking.at(event.subject)
        self.bench.looking.heard.subscribe(self, self._heard)
        if self.look.report:
            self.action_check()

    def _heard(self, event: LookEvent) -> None:
        if event.look is self.look and event.event.get("event") in ("report", "tokens"):
            self.action_check()

    @on(Reviewed)
    def _checked(self, event: Reviewed) -> None:
        event.stop()
        checked = event.checked
        first, self._checked_once = not self._checked_once, True
        if first and not checked.errors:
            self.run_worker(self._find_data, thread=True, exit_on_error=False)
        self.query_one("#summary", Static).update(_summary(checked, event.looks))
        self.set_class(bool(checked.paces), "-timed")
        if checked.recipe is not None:
            self._tell_busy(checked.recipe)
            look = partial(self._look, checked.recipe, next_device(self.bench.rows, checked.recipe))
            self.run_worker(look, thread=True, exit_on_error=False)
        problems = [problem_line(problem) for problem in checked.problems]
        self.query_one("#problems", Static).update(lines(*problems))
        self.query_one(VerticalScroll).display = bool(problems)
        self._may_start = not checked.errors
        for button in self.query("#queue, #yes").results(Button):
            button.disabled = not self._may_start
        if checked.errors:
            self.query_one("#frame").border_subtitle = "fix the errors first; escape goes back"
            return
        self._code_of = checked.code_of
        if first:  # later somebody may be typing the name
            self.query_one("#queue" if self._busy_with else "#yes").focus()

    def _look(self, recipe: Recipe, device: str) -> None:
        from workbench.run.devices import slot_of_recipe
        from workbench.run.gpu_use import use_of

        slot = slot_of_recipe(recipe) or device
        self.post_message(DeviceSeen(use_of(slot)))

    @on(DeviceSeen)
    def _device_seen(self, event: DeviceSeen) -> None:
        event.stop()
        use = self.use = event.use
        facts = [join(("! ", "$warning"), plain(use.others))] if use.others else []
        if use.unknown:
            facts.append(plain(use.unknown, style="$muted"))
        device = self.query_one("#device", Static)
        device.update(lines(*facts))
        device.display = bool(facts)
        self.set_class(bool(facts), "-told")

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self._start(queued=bool(self._busy_with))

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id in ("yes", "queue"):
            self._start(queued=event.button.id == "queue")
        else:
            self.dismiss(None)

    def _start(self, *, queued: bool) -> None:
        if self._may_start:
            name = safe_name(self.query_one(Input).value.strip() or self._run_name)
            self.dismiss(ReviewAnswer(name, queued, self._code_of))


def _summary(checked: Checked, looks: Looks) -> Content:
    recipe = checked.recipe
    if recipe is None:
        return plain("This recipe cannot be read.", style="$error")
    from workbench.recipe.slurm_section import section_words

    job = section_words(recipe)
    rows = [
        plain(recipe.title, style="bold"),
        join(("model  ", "$muted"), plain(recipe.model or "none given")),
        *([plain(f"starts from {checked.start}")] if checked.start else []),
        *([join(("slurm  ", "$muted"), plain(f"a job: {job}"))] if job else []),
        *totals_lines(checked),
        data_line(checked, looks),
        *(line for line in (memory_line(checked.totals), time_line(checked)) if line),
    ]
    return lines(*rows)

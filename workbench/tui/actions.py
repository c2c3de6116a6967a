"""What a person does to runs, the same from every screen: launch, stop, resume, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content
from textual.message import Message

from workbench.base.problems import Problem, ProblemError
from workbench.run.states import label
from workbench.tui.board import RunRow
from workbench.tui.dialogs.confirm import ConfirmDialog
from workbench.tui.messages import Changed, Failed, RunStarted, Said, Then
from workbench.tui.queueing import enqueue
from workbench.tui.render import lines, plain

if TYPE_CHECKING:
    from workbench.recipe.recipe import Recipe
    from workbench.recipe.slurm_section import SlurmWish
    from workbench.run.directory import RunDirectory
    from workbench.tui.app import WorkbenchApp


class RunActions:
    """Asks where it should, works in threads, reports by message."""

    def __init__(self, app: WorkbenchApp) -> None:
        self._app = app
        self._services = app.services

    def directory(self, run_id: str) -> RunDirectory:
        """The run directory of an id."""
        from workbench.run.directory import RunDirectory

        return RunDirectory(self._services.paths.runs / run_id)

    def review(self, path: Path, name: str, *, parent: str = "") -> None:
        """Show what a launch would do; start it when the person says so.

        Args:
            parent: Id of a run whose adapter is trained further.
        """
        from workbench.tui.dialogs.review import ReviewAnswer, ReviewDialog

        def answered(answer: ReviewAnswer | None) -> None:
            if answer is None:
                return
            start = partial(self._launch, path, answer.name, queued=answer.queued, parent=parent)
            if answer.code_of:
                self._ask_for_trust(answer.code_of, start)
            else:
                start()

        source = self.directory(parent) if parent else None
        self._app.push_screen(ReviewDialog(path, name, source), answered)

    def _ask_for_trust(self, model: str, start: Callable[..., None]) -> None:
        text = lines(
            plain(model, style="bold"),
            plain(
                "brings Python code of its own, and the recipe asks to run it: on this machine, "
                "with your rights. Do so only if you trust its author."
            ),
        )
        dialog = ConfirmDialog("Run this model's code?", text, yes="Run its code")
        self._app.push_screen(dialog, lambda yes: start(trusted_model=model) if yes else None)

    def _launch(
        self, path: Path, name: str, *, queued: bool, parent: str = "", trusted_model: str = ""
    ) -> None:
        services = self._services

        def work() -> Message:
            from workbench.recipe.recipe import load_recipe
            from workbench.run.directory import create_run
            from workbench.run.dispatcher import take_free_device
            from workbench.run.launch import submit_new
            from workbench.run.launch_check import refuse_launch
            from workbench.run.lineage import find_origin
            from workbench.run.record import trust_model

            source = self.directory(parent) if parent else None
            origin = find_origin(source, keep_reference=False) if source else None
            recipe, wish = _fit_to_slurm(load_recipe(path))
            if wish is None:
                # Before there is a run, or it would stay as one that nobody has started.
                refuse_launch(recipe)
            run = create_run(services.paths, recipe, name=name, origin=origin)
            trust_model(run, trusted_model)
            if wish is not None:
                submit_new(run, wish)
                return RunStarted(run.id)
            if queued:
                place = enqueue(services, run)
                return Said(f"{name} is number {place} in the queue. Press 2 to see it.")
            take_free_device(run)
            services.launcher.launch(run)
            return RunStarted(run.id)

        if not queued:
            self._app.say("Starting the run ...")
        self.in_thread("The run could not be started", work)

    def queue(self, row: RunRow) -> None:
        """Put a run that could be started into the queue, or take it out."""
        if not row.place and not row.resumable:
            self._app.say(f"This run is {label(row.state)}; it cannot wait in the queue.")
            return
        services, run = self._services, self.directory(row.id)

        def work() -> Message:
            from workbench.run.queue import Queue

            if row.place:
                Queue.of(services.paths).remove(row.id)
                return Said("Out of the queue. Q puts it back, R starts it now.")
            return Said(f"Number {enqueue(services, run)} in the queue.")

        self.in_thread("The queue could not be changed", work)

    def move(self, row: RunRow, by: int) -> None:
        """Let a waiting run start earlier (`by` < 0) or later."""
        paths = self._services.paths

        def work() -> Message:
            from workbench.run.queue import Queue

            Queue.of(paths).move(row.id, by)
            return Changed()

        self.in_thread("The queue could not be changed", work)

    def stop(self, row: RunRow) -> None:
        """Stop a live run after a question; take one that waits out of the queue."""
        if row.place:
            self.queue(row)
            return
        if not row.active and not row.submitted:
            self._app.say(f"This run is {label(row.state)}; there is nothing to stop.")
            return
        kill = row.state in ("stopping", "stalled")
        text = _stop_words(row, kill=kill)

        def answered(yes: bool | None) -> None:
            if yes:
                launcher = self._services.launcher
                run = self.directory(row.id)
                self.in_thread(
                    "The run could not be stopped", lambda: Said(launcher.stop(run, kill=kill))
                )

        self._app.push_screen(
            ConfirmDialog(
                "Kill this run?" if kill else "Stop this run?",
                _about(row, text),
                yes="Kill" if kill else "Stop",
            ),
            answered,
        )

    def resume(self, row: RunRow) -> None:
        """Start a stopped, failed or lost run again from its last checkpoint."""
        if not row.resumable:
            self._app.say(f"This run is {label(row.state)}; there is nothing to resume.")
            return
        launcher, run = self._services.launcher, self.directory(row.id)

        def work() -> Message:
            from workbench.run.changes import changed_settings

            changes = changed_settings(run)
            if changes and not any(change.refused for change in changes):
                return Then(lambda: self._confirm_changes(row, [str(c) for c in changes]))
            launcher.resume(run)
            return RunStarted(run.id)

        self.in_thread("The run could not be resumed", work)

    def _confirm_changes(self, row: RunRow, changes: list[str]) -> None:
        launcher, run = self._services.launcher, self.directory(row.id)

        def work() -> Message:
            launcher.resume(run, accept_changes=True)
            return RunStarted(run.id)

        def answered(yes: bool | None) -> None:
            if yes:
                self.in_thread("The run could not be resumed", work)

        text = "\n".join(["Since its last checkpoint this has changed:", *changes])
        dialog = ConfirmDialog("Resume with these changes?", _about(row, text), yes="Resume")
        self._app.push_screen(dialog, answered)

    def fork(self, row: RunRow) -> None:
        """Train the weights of a run's checkpoint further in a new run."""
        run = self.directory(row.id)

        def work() -> Message:
            from workbench.run.lineage import fork_places

            places = fork_places(run)
            return Then(lambda: self._choose_fork(row, places))

        self.in_thread("The run cannot be forked", work)

    def _choose_fork(self, row: RunRow, places: Sequence[tuple[str, str]]) -> None:
        from workbench.tui.dialogs.fork import ForkAnswer, ForkDialog

        services, run = self._services, self.directory(row.id)

        def answered(answer: ForkAnswer | None) -> None:
            if answer is None:
                return

            def work() -> Message:
                from workbench.recipe.recipe import load_recipe
                from workbench.run.dispatcher import take_free_device
                from workbench.run.launch import submit_new
                from workbench.run.lineage import fork_run

                _, wish = _fit_to_slurm(load_recipe(run.recipe))
                forked = fork_run(services.paths, run, answer.place, answer.settings, answer.name)
                if wish is not None:
                    submit_new(forked, wish)
                    return RunStarted(forked.id)
                take_free_device(forked)
                services.launcher.launch(forked)
                return RunStarted(forked.id)

            self.in_thread("The run could not be forked", work)

        self._app.push_screen(ForkDialog(f"{row.label}-fork", places), answered)

    def delete(self, row: RunRow) -> None:
        """Delete an ended run after a question."""
        if row.active or row.submitted:
            doing = "training" if row.active else "waiting in Slurm's queue"
            self._app.say(f"This run is {doing}. Stop it first.")
            return
        text = "Its adapters, checkpoints, metrics and comparisons are deleted for good."

        def answered(yes: bool | None) -> None:
            if yes:
                launcher, run = self._services.launcher, self.directory(row.id)

                def work() -> Message:
                    launcher.delete(run)
                    return Said("The run is deleted.")

                self.in_thread("The run could not be deleted", work)

        dialog = ConfirmDialog("Delete this run?", _about(row, text), yes="Delete")
        self._app.push_screen(dialog, answered)

    def in_thread(self, title: str, work: Callable[[], Message]) -> None:
        """Do slow work in a thread; its message, or what went wrong, reaches the app."""
        app = self._app

        def run() -> None:
            try:
                message = work()
            except ProblemError as error:
                message = Failed(title, error.problems)
            except OSError as error:
                message = Failed(title, (Problem(error.strerror or str(error), error.filename),))
            app.post_message(message)

        app.run_worker(run, thread=True, exit_on_error=False, group="actions")


def _about(row: RunRow, text: str) -> Content:
    head = [plain(row.label, style="bold")]
    head += [plain(row.id, style="$muted")] if row.name else []
    return lines(*head, plain("\n" + text, newlines=True))


def _fit_to_slurm(recipe: Recipe) -> tuple[Recipe, SlurmWish | None]:
    """A recipe and what it asks of Slurm, None where it is trained here.

    Raises:
        ProblemError: It cannot be submitted, or not from here.
    """
    from workbench.recipe.slurm_section import fit_together, refuse_setup, slurm_wish
    from workbench.run.slurm.client import require_slurm

    wish = slurm_wish(recipe)
    if wish is None:
        return recipe, None
    refuse_setup(wish)
    require_slurm()
    return fit_together(recipe, wish)


def _stop_words(row: RunRow, *, kill: bool) -> str:
    """What a stop does to a run."""
    if row.submitted:
        return "It is taken out of Slurm's queue."
    if kill:
        return (
            f"It is {row.state}. Kill it now? What was trained since its last checkpoint would be "
            "lost; a checkpoint that is being written is waited for."
        )
    return "It finishes its step and saves a checkpoint, so that it can be resumed."

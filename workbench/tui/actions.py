"""What a person does to runs, the same from every screen: launch, stop, resume, delete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content
from textual.message import Message

from workbench.base.problems import Problem, ProblemError
from workbench.tui.board import RESUMABLE, RunRow
from workbench.tui.dialogs.confirm import ConfirmDialog
from workbench.tui.messages import Failed, RunStarted, Said
from workbench.tui.render import join, lines, plain

if TYPE_CHECKING:
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

    def review(self, path: Path, name: str) -> None:
        """Show what a launch would do; start it when the person says so."""
        from workbench.tui.dialogs.review import ReviewDialog

        def answered(run_name: str | None) -> None:
            if run_name is not None:
                self._launch(path, run_name)

        self._app.push_screen(ReviewDialog(path, name), answered)

    def _launch(self, path: Path, name: str) -> None:
        services = self._services

        def work() -> Message:
            from workbench.recipe.recipe import load_recipe
            from workbench.run.directory import create_run

            run = create_run(services.paths, load_recipe(path), name=name)
            services.launcher.launch(run)
            return RunStarted(run.id)

        self._app.say("Starting the run ...")
        self.in_thread("The run could not be started", work)

    def stop(self, row: RunRow) -> None:
        """Stop a live run after a question."""
        if not row.active:
            self._app.say(f"This run is {row.state}; there is nothing to stop.")
            return
        again = row.state == "stopping"
        text = (
            "It is already stopping. Kill it now? What was trained since its last checkpoint "
            "would be lost."
            if again
            else "It finishes its step and saves a checkpoint, so that it can be resumed."
        )

        def answered(yes: bool | None) -> None:
            if yes:
                launcher = self._services.launcher
                run = self.directory(row.id)
                self.in_thread(
                    "The run could not be stopped", lambda: Said(launcher.stop(run, kill=again))
                )

        self._app.push_screen(
            ConfirmDialog(
                "Kill this run?" if again else "Stop this run?",
                _about(row, text),
                yes="Kill" if again else "Stop",
            ),
            answered,
        )

    def resume(self, row: RunRow) -> None:
        """Start a stopped, failed or lost run again from its last checkpoint."""
        if row.state not in RESUMABLE:
            self._app.say(f"This run is {row.state}; there is nothing to resume.")
            return
        launcher, run = self._services.launcher, self.directory(row.id)

        def work() -> Message:
            launcher.resume(run)
            return RunStarted(run.id)

        self.in_thread("The run could not be resumed", work)

    def delete(self, row: RunRow) -> None:
        """Delete an ended run after a question."""
        if row.active:
            self._app.say("This run is training. Stop it first.")
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
    return lines(*head, join("\n" + text))

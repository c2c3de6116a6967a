"""The screens by name, imported when they are first shown, and the command palette."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from textual.app import SystemCommand
from textual.binding import Binding
from textual.screen import Screen

if TYPE_CHECKING:
    from workbench.tui.app import WorkbenchApp


def _recipes() -> Screen[Any]:
    from workbench.tui.screens.recipes import RecipesScreen

    return RecipesScreen()


def _runs() -> Screen[Any]:
    from workbench.tui.screens.runs import RunsScreen

    return RunsScreen()


def _monitor() -> Screen[Any]:
    from workbench.tui.screens.monitor import MonitorScreen

    return MonitorScreen()


def _compare() -> Screen[Any]:
    from workbench.tui.screens.compare import CompareScreen

    return CompareScreen()


MODES: dict[str, str | Callable[[], Screen[Any]]] = {
    "recipes": _recipes,
    "runs": _runs,
    "monitor": _monitor,
    "compare": _compare,
}


def commands(app: WorkbenchApp, screen: Screen[Any]) -> Iterable[SystemCommand]:
    """Every action of the present screen, then screens, theme, help and quit."""
    for binding in screen.BINDINGS:
        if isinstance(binding, Binding) and binding.tooltip and _offered(screen, binding.action):
            yield SystemCommand(
                binding.description or binding.tooltip,
                f"{binding.tooltip} ({binding.key})",
                lambda action=binding.action: app.call_later(_perform, screen, action),
            )
    for number, mode in enumerate(MODES, start=1):
        yield SystemCommand(
            f"Go to {mode.capitalize()}",
            f"Show the {mode} screen ({number})",
            lambda mode=mode: app.action_show(mode),
        )
    yield SystemCommand(
        "Data: look at a file ...",
        "What a file of preferences or instructions holds, before it is trained on",
        app.looking.ask_for_file,
    )
    yield SystemCommand(
        "Machine", "GPUs, CPU, memory and disk: what is free, who uses it", lambda: _machine(app)
    )
    yield SystemCommand("Theme", "Change the colours", app.action_change_theme)
    yield SystemCommand("Help", "Keys of this screen (?)", app.action_help)
    yield SystemCommand("Quit", "Leave; runs go on (ctrl+q)", app.action_quit)


def _machine(app: WorkbenchApp) -> None:
    from workbench.tui.machine import show_machine

    show_machine(app)


def _offered(screen: Screen[Any], action: str) -> bool:
    """Whether an action does something now, be it to say why it cannot be done."""
    name = action.partition("(")[0]
    return bool(screen.check_action(name, ())) or name in getattr(screen, "SPEAKING", ())


async def _perform(screen: Screen[Any], action: str) -> None:
    if screen.check_action(action.partition("(")[0], ()):
        await screen.run_action(action)
    else:
        getattr(screen, f"action_{action}")()

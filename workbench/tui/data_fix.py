"""The questions before a cleaned copy of a data set is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content

from workbench.tui.data_view import rules_of, thousands
from workbench.tui.looking import Look, full_path
from workbench.tui.render import lines, plain

if TYPE_CHECKING:
    from workbench.tui.screens.base import WorkbenchScreen

WORDS = {"drop": "leaves {} out", "mend": "mends {}"}
COMPRESSIONS = (".gz", ".zst")


def fixable(look: Look) -> dict[str, str]:
    """Of each rule that a cleaned copy can do something about, what it would do."""
    return {
        name: WORDS[fix].format(_rows(rule.get("count"))) + f": {rule.get('title')}"
        for name, rule in rules_of(look).items()
        if (fix := str(rule.get("fix") or "")) in WORDS
    }


def _rows(count: object) -> str:
    return f"{thousands(count)} row{'' if count == 1 else 's'}"


def out_path(look: Look, cwd: Path) -> Path:
    """Where the copy goes unless another path is typed: beside the first file."""
    first = Path(next(iter(look.sources), "data"))
    name = first.name
    for suffix in (*COMPRESSIONS, Path(name.removesuffix(".gz").removesuffix(".zst")).suffix):
        name = name.removesuffix(suffix) if suffix else name
    folder = first.parent if first.parent.is_dir() else cwd
    return folder / f"{name}.clean.jsonl"


def ask(screen: WorkbenchScreen, look: Look) -> None:
    """Ask which rules shall apply, then where the copy goes; write it when both are answered."""
    from workbench.tui.dialogs.checklist import ChecklistDialog

    found = fixable(look)
    if not found:
        screen.bench.say("A cleaned copy would be the same: no finding has a row to drop or mend.")
        return
    dialog = ChecklistDialog("A cleaned copy", list(found.items()), dict.fromkeys(found, 1.0))

    def chosen(rules: dict[str, float] | None) -> None:
        if rules:
            _ask_where(screen, look, [name for name in found if name in rules])

    screen.app.push_screen(dialog, chosen)


def _ask_where(screen: WorkbenchScreen, look: Look, rules: list[str]) -> None:
    from workbench.tui.dialogs.line import LineDialog

    cwd = screen.bench.services.cwd
    sources = [Path(path) for path in look.sources]

    def fault(typed: str) -> str:
        path = full_path(typed, cwd)
        if path.is_dir():
            return "That is a folder: name a file."
        if path.exists() or path in sources:
            return "There is such a file already, and nothing is overwritten."
        return "" if path.parent.is_dir() else f"There is no folder {path.parent}."

    def named(typed: str | None) -> None:
        if typed:
            look.fix(full_path(typed, cwd), rules)
            screen.bench.say("Writing the cleaned copy ...")

    value = str(out_path(look, cwd))
    dialog = LineDialog("Write a cleaned copy to", _about(look, rules), value=value, fault=fault,
                        yes="Write")  # fmt: skip
    screen.app.push_screen(dialog, named)


def _about(look: Look, rules: list[str]) -> Content:
    words = fixable(look)
    shown = [plain(f"- {words[name]}", style="$muted") for name in rules[:6]]
    if len(rules) > 6:
        shown.append(plain(f"- and {len(rules) - 6} more", style="$muted"))
    end = plain("The data themselves stay as they are; a report is written beside the copy.")
    return lines(*shown, end)

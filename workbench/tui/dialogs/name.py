"""Asks for a name, such as that of a new recipe."""

from __future__ import annotations

from collections.abc import Callable

from textual.content import Content

from workbench.base.paths import is_safe_name
from workbench.tui.dialogs.line import LineDialog

COMPLAINT = (
    "Use letters, digits, dot, dash and underscore, at most 64, the first a letter or digit."
)


class NameDialog(LineDialog):
    """Asks for a file name that is safe as it stands.

    Args:
        title: What the name is for.
        text: What will happen.
        value: Name to begin with.
        taken: Why a name cannot be had, empty where it can.
        yes: What the confirming button says.
    """

    def __init__(
        self,
        title: str,
        text: Content,
        *,
        value: str,
        taken: Callable[[str], str] = lambda name: "",
        yes: str = "Save",
    ) -> None:
        def fault(name: str) -> str:
            return taken(name) if is_safe_name(name) else COMPLAINT

        super().__init__(title, text, value=value, fault=fault, yes=yes)

"""How a screen names a key: for its footer, the help and the palette at once."""

from __future__ import annotations

from textual.binding import Binding


def key(
    screen: str,
    keys: str,
    action: str,
    label: str,
    tooltip: str,
    *,
    shown: str = "",
    priority: bool = False,
) -> Binding:
    """A key of the help and the palette, and of the footer where it says how it is `shown`.

    Args:
        screen: Its name, the first part of the binding's id.
        priority: Whether it counts before what the widget in the focus does with it.
    """
    return Binding(
        keys,
        action,
        label,
        show=bool(shown),
        key_display=shown or None,
        id=f"{screen}.{label.lower().replace(' ', '-')}",
        tooltip=tooltip,
        priority=priority,
    )

"""Waiting for what the app does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot


async def until(pilot: Pilot[Any], condition: Callable[[], object], what: str = "") -> None:
    """Let the app work until a condition holds; fail after ten seconds of its time."""
    for _ in range(400):
        await pilot.pause()
        if condition():
            return
        await pilot.pause(0.025)
    raise AssertionError(f"never happened: {what or condition}")

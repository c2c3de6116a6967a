"""The queue as the app shows it, and the process that works it off."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from workbench.base.problems import ProblemError
from workbench.base.text import clean
from workbench.tui.board import RunRow

if TYPE_CHECKING:
    from workbench.recipe.recipe import Recipe
    from workbench.run.directory import RunDirectory
    from workbench.tui.services import Services

WAKE_SECONDS = 10.0
"""A dispatcher that cannot live is not started more often than this."""


class QueueWatch:
    """Gives the rows of waiting runs their places, and sees that somebody starts them.

    Its methods look at files: call them from a thread.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._woken = 0.0
        self.faults: set[str] = set()

    def look(self, rows: tuple[RunRow, ...]) -> tuple[RunRow, ...]:
        """The rows with their places; what is wrong with the queue comes into `faults`."""
        from workbench.run.queue import Queue

        queue = Queue.of(self._services.paths)
        state = queue.read()
        self.faults = {clean(str(state.fault), newlines=False)} if state.fault else set()
        if state.entries and not state.paused and time.monotonic() - self._woken > WAKE_SECONDS:
            try:
                if self._services.given_launcher is None and queue.wake():
                    self._woken = time.monotonic()
            except ProblemError as error:
                self._woken = time.monotonic()
                self.faults.add(clean(str(error), newlines=False))
        places = {entry.run: place for place, entry in enumerate(state.entries, start=1)}
        return tuple(
            dataclasses.replace(row, place=places[row.id]) if row.id in places else row
            for row in rows
        )


def enqueue(services: Services, run: RunDirectory) -> int:
    """Put a run at the end of the queue, for any device, and return its place."""
    from workbench.run.devices import visible_slots
    from workbench.run.queue import Queue

    queue = Queue.of(services.paths)
    place = queue.add(run, visible_slots())
    if services.given_launcher is None:
        queue.wake()
    return place


def busy_with(rows: tuple[RunRow, ...], recipe: Recipe | None = None) -> str:
    """Name of a run that a new one would have to share a device with; empty where enough are free.

    Args:
        recipe: What the new one trains; without it, it takes one device.
    """
    from workbench.run.devices import slots_needed, visible_slots

    slots = visible_slots()
    taken = _taken(rows, slots)
    if sum(slot not in taken for slot in slots) >= (slots_needed(recipe, slots) if recipe else 1):
        return ""
    # Of more devices than there are, no run has one.
    holder = next((taken[slot] for slot in slots if slot in taken), None)
    return clean(holder.label, newlines=False) if holder else ""


def next_device(rows: tuple[RunRow, ...], recipe: Recipe | None = None) -> str:
    """The devices that a new run would get, where its recipe names none."""
    from workbench.run.devices import choose_slots, join_slots, slots_needed, visible_slots

    slots = visible_slots()
    count = slots_needed(recipe, slots) if recipe else 1
    return join_slots(choose_slots(slots, _taken(rows, slots), count))


def _taken(rows: tuple[RunRow, ...], slots: list[str]) -> dict[str, RunRow]:
    """The run on each device of this machine; a cluster's jobs have none of them."""
    from workbench.run.devices import split_device

    here = [row for row in rows if row.active and not row.job]
    held = [(slot, row) for row in here for slot in split_device(row.device) or [""]]
    return {slot or slots[0]: row for slot, row in held}

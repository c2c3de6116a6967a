"""The states of a run; every room that asks for a state asks here."""

from __future__ import annotations

WRITTEN_STATES = (
    "queued",
    "starting",
    "running",
    "stopping",
    "finished",
    "stopped",
    "failed",
    "diverged",
    "out_of_memory",
    "killed",
)
CONCLUDED_STATES = ("stalled", "lost")
"""Never written to run.json: whoever reads a record concludes them."""

STATES = WRITTEN_STATES + CONCLUDED_STATES
ACTIVE_STATES = ("starting", "running", "stopping", "stalled")
END_STATES = ("finished", "stopped", "failed", "diverged", "out_of_memory", "killed", "lost")
RESUMABLE_STATES = ("stopped", "failed", "diverged", "out_of_memory", "killed", "lost")


def label(state: str) -> str:
    """A state as people read it."""
    return "OOM" if state == "out_of_memory" else state

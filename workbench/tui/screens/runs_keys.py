"""The keys of the list of runs; the footer shows as many as its width takes, in this order."""

from __future__ import annotations

import functools

from textual.binding import BindingType

from workbench.tui.screens.keys import key

_key = functools.partial(key, "runs")

KEYS: list[BindingType] = [
    _key("enter", "monitor", "Monitor", "Watch the run", shown="enter"),
    _key("c", "compare", "Compare", "Ask the base and the tuned model side by side", shown="c"),
    _key("e", "score", "Score", "Measure whether the tuned model is better, and what it lost"),
    _key("x,s", "stop", "Stop", "Stop the run after its present step; asks first", shown="x"),
    _key("R", "resume", "Resume", "Go on from the last checkpoint", shown="R"),
    _key("K", "move(-1)", "Earlier", "Let a waiting run start one place earlier", shown="K"),
    _key("J", "move(1)", "Later", "Let a waiting run start one place later", shown="J"),
    _key("Q", "queue", "Queue", "Put the run into the queue, or take it out", shown="Q"),
    _key(
        "slash",
        "filter",
        "Find",
        "Choose and sort runs by words, tags, settings and metrics",
        shown="/",
    ),
    _key(
        "o",
        "overlay",
        "Overlay",
        "Lay marked runs over one another: curves, outcomes, differences",
        shown="o",
    ),
    _key("space", "mark", "Mark", "Mark the run for the overlay, or not", shown="space"),
    _key("t", "notes", "Tags", "Give the run tags and write a note", shown="t"),
    _key(
        "f",
        "fork",
        "Fork",
        "Train the weights of one of its checkpoints further in a new run",
        shown="f",
    ),
    _key("d", "delete", "Delete", "Delete the run; asks first", shown="d"),
    _key("b", "vote", "Vote blind", "Vote blind on its answers"),
    _key("i", "import", "Import", "Import the curves of a run from its trainer_state.json"),
    _key("y", "copy", "Copy path", "Copy the path of the run directory"),
    _key("escape", "clear", "All runs", "Show all runs again; then forget the marks"),
]

"""The keys of the monitor; the footer shows as many as its width takes, in this order."""

from __future__ import annotations

import functools

from textual.binding import BindingType

from workbench.tui.screens.keys import key

_key = functools.partial(key, "monitor")

RUN_KEYS: list[BindingType] = [
    _key("c", "compare", "Compare", "Ask the base and the tuned model side by side", shown="c"),
    _key("x", "stop", "Stop", "Stop the run after its present step; asks first", shown="x"),
    _key("l", "log", "Log", "The whole screen for the log", shown="l"),
    _key("h", "health", "Health", "What is wrong with the run, why, and what to change", shown="h"),
    _key("e", "score", "Score", "Measure whether the tuned model is better, and what it lost"),
    _key("g", "machine", "Machine", "GPUs, CPU, memory and disk, and what the run takes of them"),
    _key("o", "overlay", "Overlay", "This run over its parent, or the newest other of its recipe"),
    _key("R", "resume", "Resume", "Go on from the last checkpoint"),
    _key("T", "timeline", "Timeline", "What each checkpoint answered to the recipe's prompts"),
    _key("y", "copy", "Copy path", "Copy the path of the run directory"),
]
CHART_KEYS: list[BindingType] = [
    _key("m", "page(1)", "More charts", "Show the next charts", shown="m"),
    _key("z", "zoom", "Large", "The chosen chart alone, and back", shown="z"),
    _key("slash", "filter", "Find", "Only charts whose name has the words, or fits *", shown="/"),
    _key("M", "page(-1)", "Charts before", "Show the previous charts"),
    _key("up", "choose(-1)", "Chart before", "Choose the chart before"),
    _key("down", "choose(1)", "Next chart", "Choose the next chart"),
    _key("plus,equals_sign", "closer(True)", "Zoom in", "Half as many steps in all charts"),
    _key("minus", "closer(False)", "Zoom out", "Twice as many steps"),
    _key("0", "whole", "Whole run", "All steps again"),
    _key("left", "move(-1)", "Left", "Earlier steps; another chart, or the cursor's point before"),
    _key("right", "move(1)", "Right", "Later steps; another chart, or the cursor's next point"),
    _key("shift+left", "move(-10)", "Far left", "Ten times as far"),
    _key("shift+right", "move(10)", "Far right", "Ten times as far"),
    _key("home", "edge(False)", "Start", "The first steps"),
    _key("end", "edge(True)", "End", "The last steps, and those that come"),
    _key("space,i", "cursor", "Cursor", "A cursor that tells exact values; arrows move it"),
    _key("s", "smooth", "Smoothing", "Smooth: EMA 0.6, 0.9, mean of 10, of 50, off"),
    _key("X", "axis", "X axis", "Steps, epochs, tokens or time along the x axis"),
    _key("L", "log_axis", "Log axis", "Logarithmic y axes, and back"),
    _key("t", "stage", "Stage", "Show the curves of another stage, or of all in a row"),
]
BACK_KEYS: list[BindingType] = [
    _key(
        "escape",
        "back",
        "Back",
        "One thing back: cursor, filter, large chart, log; then to the runs",
    ),
]
KEYS: list[BindingType] = [*CHART_KEYS[:3], *RUN_KEYS[:4], *CHART_KEYS[3:], *RUN_KEYS[4:],
                           *BACK_KEYS]  # fmt: skip

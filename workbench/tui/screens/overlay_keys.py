"""The keys of the overlay; the footer shows as many as its width takes, in this order."""

from __future__ import annotations

import functools

from textual.binding import BindingType

from workbench.tui.screens.keys import key

_key = functools.partial(key, "overlay")

KEYS: list[BindingType] = [
    _key("tab", "turn(1)", "Next page", "Chart, table of outcomes, what differs", shown="tab"),
    _key("m", "metric(1)", "Metric", "Show the next metric", shown="m"),
    _key("slash", "filter", "Find", "Only metrics whose name has some words", shown="/"),
    _key("X", "axis", "X axis", "Align by steps, epochs, tokens or time", shown="X"),
    _key("enter", "monitor", "Monitor", "Watch the run under the cursor", shown="enter"),
    _key("escape", "back", "Back", "One thing back; then to the runs", shown="esc"),
    _key("space", "hide", "Hide", "Hide the curve of a run, or show it", shown="space"),
    _key("s", "smooth", "Smoothing", "Smooth: EMA 0.6, 0.9, mean of 10, of 50, off", shown="s"),
    _key("plus,equals_sign", "closer(True)", "Zoom in", "Half as much of the x axis", shown="+"),
    _key("minus", "closer(False)", "Zoom out", "Twice as much of the x axis"),
    _key("0", "whole", "Whole run", "All of the x axis again"),
    _key("left", "pan(-1)", "Left", "Move what is shown of the x axis to the left"),
    _key("right", "pan(1)", "Right", "Move what is shown of the x axis to the right"),
    _key("L", "log", "Log axis", "A logarithmic y axis, and back"),
    _key("t", "stage", "Stage", "Show the curves of another stage"),
    _key("M", "metric(-1)", "Metric before", "Show the metric before"),
    _key("shift+tab", "turn(-1)", "Page before", "Show the page before"),
    _key("pagedown", "scroll(1)", "Scroll down", "Scroll the page down", priority=True),
    _key("pageup", "scroll(-1)", "Scroll up", "Scroll the page up", priority=True),
    _key("y", "copy", "Copy command", "Copy the command that prints the same"),
]

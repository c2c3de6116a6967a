"""A run's health on the screen: one line, and the whole story."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from workbench.tui.render import join, lines, plain

if TYPE_CHECKING:
    from workbench.run.health import Finding
    from workbench.tui.watching import RunView

MARKS = {"alarm": ("✗", "$error"), "warning": ("!", "$warning"), "hint": ("·", "$muted")}
ASCII_SIGNS = {"✗": "x", "·": "-", "✓": "+"}
WELL = ("✓", "$success")
NOTHING = "Nothing is wrong with the metrics so far."


def health_line(
    findings: Sequence[Finding], width: int, *, ended: bool = False, ascii_only: bool = False
) -> Content:
    """The summary in one line of at most `width` cells, with a sign beside its colour.

    Args:
        findings: Worst first.
        ended: The run is over.
    """
    from workbench.run.health import summary_line

    worst = findings[0].severity if findings else "hint"
    sign, style = WELL if worst == "hint" else MARKS[worst]
    text = plain(summary_line(findings, ended=ended), style="" if sign == WELL[0] else style)
    return join((f"{_sign(sign, ascii_only)} ", style), text).truncate(width, ellipsis=True)


def health_words(view: RunView, width: int, *, ascii_only: bool = False) -> Content:
    """The health of a watched run in a line; empty before it has logged anything.

    A run that has failed is not called healthy because its metrics were.
    """
    fine = all(finding.severity == "hint" for finding in view.findings)
    if view.more or not any(view.points.values()) or (fine and view.row.error is not None):
        return Content("")
    name = "health  "
    line = health_line(
        view.findings, width - len(name), ended=not view.row.active, ascii_only=ascii_only
    )
    return join((name, "$muted"), line)


def health_story(findings: Sequence[Finding], *, ascii_only: bool = False) -> Content:
    """Each finding with its evidence, what it means and what to change."""
    if not findings:
        return plain(NOTHING)
    parts: list[Content] = []
    for finding in findings:
        if parts:
            parts.append(Content(""))
        parts += _finding(finding, ascii_only)
    return lines(*parts)


def _finding(finding: Finding, ascii_only: bool) -> list[Content]:
    sign, style = MARKS[finding.severity]
    head = join(
        (f"{_sign(sign, ascii_only)} {finding.severity}  ", style),
        plain(finding.title, style="bold"),
        plain(f"  {finding.since}", style="$muted"),
    )
    if finding.key:
        advice = join(
            ("change  ", "$muted"),
            plain(finding.key, style="bold $primary"),
            plain(f"  {finding.change}", style="$primary"),
        )
    else:
        advice = join(("do  ", "$muted"), plain(finding.change, style="$primary"))
    return [head, plain(finding.evidence), plain(finding.explanation, style="$muted"), advice]


def _sign(sign: str, ascii_only: bool) -> str:
    return ASCII_SIGNS.get(sign, sign) if ascii_only else sign

"""How a run's health reads in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from workbench.cli.output import columns, one_line
from workbench.run.health import Finding, summary_line

INDENT = 11
LEAST_WIDTH = 40


def lines(
    findings: Sequence[Finding], *, ended: bool = False, width: int | None = None
) -> list[str]:
    """The summary, then each finding with its evidence, what it means and what to change.

    Args:
        findings: Worst first.
        ended: The run is over.
        width: Of the text, in cells; that of the terminal where it is not given.
    """
    room = max(LEAST_WIDTH, width or columns())
    shown = [f"{'health':<8} {one_line(summary_line(findings, ended=ended))}"]
    for finding in findings:
        shown += _paragraph(f"  {finding.severity:<8} {finding.title} ({finding.since})", room)
        if finding.severity != "hint":
            shown += _paragraph(finding.evidence, room)
            shown += _paragraph(finding.explanation, room)
        shown += _paragraph(f"-> {finding.advice}", room)
    return shown


def _paragraph(text: str, width: int) -> list[str]:
    text = one_line(text)
    first = "" if text.startswith("  ") else " " * INDENT
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=" " * INDENT,
        drop_whitespace=True, break_on_hyphens=False,
    )  # fmt: skip

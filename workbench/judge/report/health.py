"""What the rules on a run's metrics found, as a part of its report."""

from __future__ import annotations

from workbench.base.secrets import redact
from workbench.judge.report.blocks import Block, Paragraph, Table
from workbench.judge.report.collect import Facts
from workbench.run.health import summary_line
from workbench.run.health.registry import RULES
from workbench.run.record import has_ended

HEADER = ("Kind", "What", "Since", "What to change")


def health_blocks(facts: Facts) -> list[Block]:
    """A summary, a table of all findings, and the numbers behind those that are no hints.

    Empty where nothing was logged.
    """
    if not facts.curves:
        return []
    summary = redact(summary_line(facts.findings, ended=has_ended(facts.record)))
    told = f"{summary[:1].upper()}{summary[1:]}."
    blocks: list[Block] = [Paragraph(f"{told} {len(RULES)} rules looked at the metrics.")]
    rows = [
        [one.severity, one.title, one.since.partition(" ")[2], redact(one.advice)]
        for one in facts.findings
    ]
    if rows:
        blocks.append(Table(HEADER, rows, numbers=False))
    blocks += [
        Paragraph(
            redact(f"{one.title[:1].upper()}{one.title[1:]}: {one.evidence} {one.explanation}")
        )
        for one in facts.findings
        if one.severity != "hint"
    ]
    return blocks

"""A report as Markdown that is also read with `cat`: aligned tables, answers as plain text."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Sequence

from workbench.base.text import cells, clean, pad
from workbench.judge.differences import Piece
from workbench.judge.report.blocks import (
    Answers,
    Block,
    Charts,
    Code,
    Document,
    Missing,
    Paragraph,
    Section,
    Table,
)
from workbench.judge.report.html import MARK
from workbench.judge.report.svg import Chart, Series

WIDTH = 96
_SPECIAL = re.compile(r"([\\`*_\[\]|~#])")
_LIST = re.compile(r"^(\d*)([-+>.)])(?=\s|$)")
_FENCES = re.compile(r"`{3,}|~{3,}")
_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|www)(:|\.)")


def as_markdown(document: Document) -> str:
    """The whole file; outside text in it cannot become markup."""
    facts = [[name, value] for name, value in document.facts]
    parts = [
        f"<!-- {MARK} -->",
        f"# {text(document.title)}",
        _wrapped(text(" ".join(document.verdict))),
        _table(Table(("What", "Which"), facts, numbers=False)),
        *(_section(section) for section in document.sections),
    ]
    return "\n\n".join(parts) + "\n"


def text(value: str) -> str:
    """Outside text as one line of ordinary text."""
    shown = html.escape(" ".join(clean(value).split()), quote=False)
    shown = _SPECIAL.sub(r"\\\1", shown)
    # An entity keeps an address from becoming a link.
    return _LINK.sub(lambda match: f"{match[1]}{'&#58;' if match[2] == ':' else '&#46;'}", shown)


def fenced(value: str) -> str:
    """Outside text as it is, within a fence that it cannot close."""
    shown = clean(value).rstrip()
    longest = max((len(fence) for fence in _FENCES.findall(shown)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def _section(section: Section) -> str:
    blocks = [_block(block) for block in section.blocks]
    return "\n\n".join([f"## {text(section.title)}", *blocks])


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return _wrapped(text(block.text))
        case Missing():
            command = f" `{clean(block.command, newlines=False)}`" if block.command else ""
            return _wrapped(text(block.text)) + command
        case Table():
            return _table(block)
        case Code():
            return fenced(block.text)
        case Charts():
            return _table(_ends(block.charts))
        case Answers():
            return _answers(block)


def _wrapped(line: str) -> str:
    """Lines of a paragraph, none of which begins a list."""
    lines = textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(_LIST.sub(r"\1\\\2", one) for one in lines)


def _table(table: Table) -> str:
    rows = [[text(cell) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(3, *(cells(row[place]) for row in rows)) for place in range(len(table.header))]
    lines = []
    for number, row in enumerate(rows):
        shown = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            right = table.numbers and place > 0
            shown.append(" " * (width - cells(cell)) + cell if right else pad(cell, width))
        lines.append(f"| {' | '.join(shown)} |")
        if number == 0:
            rules = [
                f"{'-' * (width - 1)}:" if table.numbers and place else "-" * width
                for place, width in enumerate(widths)
            ]
            lines.append(f"| {' | '.join(rules)} |")
    title = f"**{text(table.title)}**\n\n" if table.title else ""
    return title + "\n".join(lines)


def _ends(charts: Sequence[Chart]) -> Table:
    """Curves in numbers: where each began, its range and where it ended."""
    rows = [
        [f"{chart.title}, {one.name}", *_range(one)] for chart in charts for one in chart.series
    ]
    return Table(("Curve", "First", "Lowest", "Highest", "Last"), rows)


def _range(one: Series) -> list[str]:
    values = [value for _, value in one.points]
    return [f"{value:.4g}" for value in (values[0], min(values), max(values), values[-1])]


def _answers(block: Answers) -> str:
    parts = [f"### {text(block.prompt)}"]
    for answer in block.answers:
        parts.append(f"**{text(answer.title)}** ({text(answer.facts)})")
        parts.append(fenced(_marked(answer.pieces) or "(nothing)"))
    return "\n\n".join(parts)


def _marked(pieces: Sequence[Piece]) -> str:
    """What only one answer has within `[-gone-]` and `{+new+}`, lines no wider than a screen."""
    signs = {"same": ("", ""), "first": ("[-", "-]"), "second": ("{+", "+}")}
    shown = []
    for kind, piece in pieces:
        inner = piece.strip()
        if kind == "same" or not inner:
            shown.append(piece)
            continue
        start = piece.index(inner)
        before, after = signs[kind]
        shown.append(f"{piece[:start]}{before}{inner}{after}{piece[start + len(inner) :]}")
    lines = clean("".join(shown)).split("\n")
    return "\n".join(
        textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False) for line in lines
    )

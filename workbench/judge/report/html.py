"""A report as one HTML file: no scripts, nothing fetched, light and dark."""

from __future__ import annotations

import html
from collections.abc import Sequence

from workbench.base.text import clean
from workbench.judge.differences import Piece
from workbench.judge.log_ratios import strength
from workbench.judge.report.blocks import (
    Answer,
    Answers,
    Block,
    Charts,
    Code,
    Document,
    Missing,
    Paragraph,
    Section,
    Shade,
    Table,
)
from workbench.judge.report.style import STYLE
from workbench.judge.report.svg import draw

MARK = "dpo-workbench report"
"""What tells a report of ours from a file of somebody else's."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def as_html(document: Document) -> str:
    """The whole file; every text in it is escaped and inert."""
    title = text(document.title, newlines=False)
    links = " ".join(
        f'<a href="#{section.name}">{text(section.title)}</a>' for section in document.sections
    )
    facts = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value, newlines=False)}</dd></div>"
        for name, value in document.facts
    )
    verdict = " ".join(text(sentence) for sentence in document.verdict)
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f'<meta name="generator" content="{MARK}">',
            f"<title>{title}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            f"<header><h1>{title}</h1>",
            f'<p class="verdict">{verdict}</p>',
            f"<dl>{facts}</dl>",
            f"<nav>{links}</nav></header>",
            "<main>",
            *(_section(section) for section in document.sections),
            "</main>",
            "</body>",
            "</html>",
            "",
        )
    )


def text(value: str, *, newlines: bool = True) -> str:
    """Outside text for any place between tags or in a quoted attribute."""
    return html.escape(clean(value, newlines=newlines)).replace(" %", "&nbsp;%")


def _section(section: Section) -> str:
    blocks = "\n".join(_block(block) for block in section.blocks)
    return f'<section id="{section.name}"><h2>{text(section.title)}</h2>\n{blocks}\n</section>'


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return f"<p>{text(block.text)}</p>"
        case Missing():
            command = f" <code>{text(block.command)}</code>" if block.command else ""
            return f'<p class="missing">{text(block.text)}{command}</p>'
        case Table():
            return _table(block)
        case Code():
            return f'<pre class="code">{text(block.text)}</pre>'
        case Charts():
            figures = (
                f"<figure><figcaption>{text(chart.title)}</figcaption>{draw(chart)}</figure>"
                for chart in block.charts
            )
            return f'<div class="charts">{"".join(figures)}</div>'
        case Answers():
            return _answers(block)


def _table(table: Table) -> str:
    kind = ' class="numbers"' if table.numbers else ""
    title = f"<caption>{text(table.title)}</caption>" if table.title else ""
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in table.header)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    return (
        f'<div class="wide"><table{kind}>{title}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _answers(block: Answers) -> str:
    panes = "\n".join(_answer(answer) for answer in block.answers)
    return f'<article><h3>{text(block.prompt)}</h3>\n<div class="panes">{panes}</div></article>'


def _answer(answer: Answer) -> str:
    shown = _pieces(answer.pieces) or '<span class="missing">(nothing)</span>'
    shaded = ""
    if answer.shades:
        legend = (
            "Each token's log p(tuned) − log p(first): underlined where training made it likelier, "  # noqa: RUF001
            "dotted where it made it less likely."
        )
        shaded = (
            f"<details><summary>what training changed, token by token</summary>"
            f'<p class="hint">{legend}</p><p class="answer">{_shades(answer.shades)}</p></details>'
        )
    return (
        f'<div class="pane"><h4>{text(answer.title)} <small>{text(answer.facts)}</small></h4>'
        f'<p class="answer">{shown}</p>{shaded}</div>'
    )


def _pieces(pieces: Sequence[Piece]) -> str:
    tags = {"same": ("", ""), "first": ("<del>", "</del>"), "second": ("<ins>", "</ins>")}
    return "".join(f"{tags[kind][0]}{text(piece)}{tags[kind][1]}" for kind, piece in pieces)


def _shades(shades: Sequence[Shade]) -> str:
    return "".join(
        f'<span class="{kind}" title="{delta:+.2f}">{text(token)}</span>' if kind else text(token)
        for token, delta in shades
        for kind in (_shade(delta),)
    )


def _shade(delta: float) -> str:
    changed = strength(delta)
    return f"{'up' if delta > 0 else 'down'} d{changed}" if changed else ""

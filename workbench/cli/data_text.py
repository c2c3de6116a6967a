"""What is found in a data set, as lines for people."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.base.text import clean
from workbench.cli.output import columns, cut, one_line, size, table

Event = Mapping[str, Any]

MARKS = {"error": "x", "warning": "!", "note": "-"}
SEVERITIES = tuple(MARKS)
BLOCKS, ASCII_BLOCKS = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
FIRST_ROWS = 8
SPREADS = ("p50", "p95", "p99", "max", "mean")


def report_lines(
    sources: Sequence[Event], report: Event, tokens: Event, fixed: Event | None
) -> list[str]:
    """The whole report."""
    lines = [line for source in sources for line in _source_lines(source)]
    lines += _count_lines(report)
    if report["pairs"]:
        lines += _finding_lines(report, tokens)
    if tokens:
        lines += ["", *token_lines(tokens)]
    if fixed:
        lines += ["", *fixed_lines(fixed)]
    return lines


def _source_lines(source: Event) -> list[str]:
    kind = " ".join(part for part in (source["compression"], source["kind"]) if part)
    lines = [f"{one_line(source['path'])}  ({kind}, {size(source['size'])})"]
    if not source["stage"]:
        lines += _said(f"{source['title']}: {source['missing']}")
        lines += _said(source["next_step"])
    else:
        as_it_stands = source["shape_as_is"] and source["as_is"]
        how = "TRL reads it as it stands" if as_it_stands else "mapped to TRL's columns"
        sure = f"{source['confidence']:.0%} sure"
        name = f"{source['title']} [{source['shape']}]"
        lines += _said(f"{name}, for {source['stage']}; {how}; {sure}")
        made = [f"{role} <- {name}" for role, name in source["columns"].items() if role != name]
        if made:
            lines += _said(", ".join(made))
    for note in (*source["notes"], *source["shape_notes"]):
        lines += _said(note)
    return lines


def _said(text: str, first: str = "  ") -> list[str]:
    """A sentence in lines of the terminal's width."""
    return textwrap.wrap(
        one_line(text), columns(), initial_indent=first, subsequent_indent=" " * len(first)
    )


def _count_lines(report: Event) -> list[str]:
    pairs = "pairs" if report["stage"] == "dpo" else "examples"
    counts = [f"{report['rows']} rows", f"{report['pairs']} {pairs}"]
    counts += [f"{report[name]} {name}" for name in ("unusable", "broken") if report[name]]
    if report["without_pair"]:
        counts.append(f"{report['without_pair']} without a pair (ties and the like)")
    if report["taken"] < report["pairs"]:
        counts.append(f"{report['taken']} {pairs} taken by the mixture's fractions")
    lines = ["", f"{', '.join(counts)}; read in {report['seconds']:.1f} s"]
    if report["stage"] == "dpo" and report["pairs"]:
        share = report["chosen_longer"] / report["pairs"]
        means = [report[f"letters_{side}"] / report["pairs"] for side in ("chosen", "rejected")]
        lines.append(
            f"chosen is the longer answer in {share:.0%} "
            f"(on average {means[0]:.0f} letters, rejected {means[1]:.0f})"
        )
    return lines


def _finding_lines(report: Event, tokens: Event) -> list[str]:
    rules: dict[str, Any] = {**report["rules"], **tokens.get("rules", {})}
    if not rules:
        return ["", "No findings."]
    ordered = sorted(rules.values(), key=lambda r: (SEVERITIES.index(r["severity"]), -r["count"]))
    rows = [
        (MARKS[r["severity"]], r["name"], str(r["count"]), r["title"], _numbers(r["rows"]))
        for r in ordered
    ]
    lines = ["", *table(("", "RULE", "COUNT", "FINDING", "ROWS"), rows)]
    for one in report["about_all"][:FIRST_ROWS]:
        place = f"line {one['line']}: " if one["line"] else ""
        lines += _said(place + one["detail"])
    grave = [rule for rule in ordered if rule["severity"] == "error"]
    for rule in grave:
        lines += _said(f"{rule['name']}: {rule['why']} {rule['next_step']}", "x ")
    return [
        *lines,
        *_said("--rule NAME shows the rows of a rule, --row N a row, --xray N its tokens"),
    ]


def _numbers(rows: Sequence[int]) -> str:
    more = ", ..." if len(rows) > FIRST_ROWS else ""
    return ", ".join(str(row) for row in rows[:FIRST_ROWS]) + more


def token_lines(tokens: Event) -> list[str]:
    """Lengths in tokens, and what `max_length` does."""
    most = tokens["max_length"]
    limit = f"max_length {most}" if most else "no max_length"
    spread = f", of a spread of {tokens['measured']} pairs (--sample 0 counts all)"
    whole = "" if tokens["exact"] else spread
    counts = [f"{tokens[name]} {name}" for name in ("kept", "dropped", "truncated")]
    steps = f"; {tokens['steps']} steps" if tokens["steps"] is not None else ""
    rows = [
        (name, *(f"{part[spread]:g}" for spread in SPREADS))
        for name, part in tokens["parts"].items()
    ]
    padding = tokens["padding"]
    lines = [
        f"Tokens by {one_line(tokens['tokenizer'])}{whole}",
        f"{limit} ({tokens['truncation_mode']}): {', '.join(counts)}{steps}",
        *table(("", *SPREADS), rows),
        *_histogram_lines(tokens["histogram"], most),
        *_said(
            f"padding in batches of {padding['batch']}: {padding['waste']:.0%} of what TRL "
            f"computes, {padding['bucketed_waste']:.0%} where rows are grouped by length, none on "
            "the workbench's own path",
            "",
        ),
    ]
    return [*lines, *(line for one in tokens["advice"] for line in _said(one, ""))]


def _histogram_lines(histogram: Event, most: int | None) -> list[str]:
    edges = histogram["edges"]
    names = [name for name in ("prompt", "chosen", "rejected") if name in histogram]
    greatest = max((max(histogram[name]) for name in names), default=0)
    if not greatest:
        return []
    blocks = BLOCKS if "utf" in (sys.stdout.encoding or "").lower() else ASCII_BLOCKS
    lines = []
    for name in names:
        heights = [-(-count * (len(blocks) - 1) // greatest) for count in histogram[name]]
        lines.append(f"{name:<9} |{''.join(blocks[height] for height in heights)}|")
    scale = f"{'':<9} 0{edges[-1]:>{len(edges) - 1}}"
    if most and most < edges[-1]:
        place = most * (len(edges) - 1) // edges[-1]
        lines.append(f"{'':<10}{' ' * (place + 1)}^ max_length {most}")
    return [*lines, scale]


def fixed_lines(fixed: Event) -> list[str]:
    """What a cleaned copy has kept."""
    lines = [
        f"Written: {one_line(fixed['out'])}: {fixed['kept']} of {fixed['rows']} kept, "
        f"{fixed['dropped']} left out, {fixed['mended']} mended",
        f"Report:  {one_line(fixed['report'])}",
    ]
    by_rule = ", ".join(f"{count} {rule}" for rule, count in fixed["by_rule"].items())
    return [*lines, *([f"Left out: {by_rule}"] if by_rule else [])]


def rows_lines(page: Event) -> list[str]:
    """Some rows, a line each."""
    total = page["total"]
    rows = [
        (str(r["number"]), *(cut(one_line(r[n]), 40) for n in ("prompt", "chosen", "rejected")))
        for r in page["rows"]
    ]
    head = f"{total} rows" if total is not None else f"{len(rows)} rows or more"
    return [head, *table(("ROW", "PROMPT", "CHOSEN", "REJECTED"), rows)]


def row_lines(row: Event) -> list[str]:
    """One row, whole."""
    place = f", line {row['line']}" if row["line"] else ""
    lines = [f"row {row['number']} of {one_line(row['file'])}{place}"]
    for number, pair in enumerate(row["pairs"], 1):
        if len(row["pairs"]) > 1:
            lines += ["", f"pair {number} of {len(row['pairs'])}"]
        names = ("chosen", "rejected") if len(pair["answers"]) == 2 else ("answer",)
        for name, text in (("prompt", pair["prompt"]), *zip(names, pair["answers"], strict=True)):
            lines += ["", f"-- {name}", *clean(text).split("\n")]
    if row["findings"]:
        lines += ["", "-- findings"]
        lines += [f"{one['rule']}: {one_line(one['detail'])}" for one in row["findings"]]
    return lines


def xray_lines(xray: Event, *, ids: bool) -> list[str]:
    """The tokens of a pair; `·` parts them, special ones stand in ⟨⟩, trained ones are marked."""
    lines = [f"row {xray['number']}, pair {xray['part'] + 1} of {xray['pairs']}"]
    prompt = len(xray["pieces"]["prompt"])
    for name, pieces in xray["pieces"].items():
        scored = xray["scored"].get(name)
        trained = f", {sum(scored)} of them trained on" if scored else ", not trained on"
        lines += ["", f"-- {name}: {len(pieces)} tokens{trained}"]
        most = xray["cut"].get(name)
        if most is not None:
            left = max(0, most - prompt) if xray["keeps_start"] else most
            lines.append(f"   cut at max_length {most}: {left} of {len(pieces)} tokens are left")
        lines += _wrapped([_piece(piece, ids=ids) for piece in pieces])
    if xray["first_difference"] is not None:
        lines += ["", f"the answers differ from token {xray['first_difference'] + 1} on"]
    if xray["dropped"]:
        lines.append(f"TRL drops this row: its prompt fills max_length ({xray['max_length']})")
    return [*lines, *map(one_line, xray["notes"])]


def _piece(piece: Event, *, ids: bool) -> str:
    text = one_line(repr(piece["text"])[1:-1]) if piece["text"] else "…"
    text = f"<<{text}>>" if piece["special"] else text
    return f"{text}({piece['id']})" if ids else text


def _wrapped(pieces: Sequence[str]) -> list[str]:
    lines, line = [], ""
    for piece in pieces:
        if line and len(line) + len(piece) + 1 > columns() - 3:
            lines.append(f"   {line}")
            line = ""
        line = f"{line}|{piece}" if line else piece
    return [*lines, f"   {line}"] if line else lines

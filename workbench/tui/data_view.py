"""What is known of a data set, as the screen shows it: what it is, counts, findings, tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textual.content import Content

from workbench.base.problems import Problem
from workbench.tui.histogram import bars, place
from workbench.tui.looking import Look
from workbench.tui.render import join, lines, path_text, plain, problem_line, size
from workbench.tui.widgets.row_table import Row

Event = Mapping[str, Any]

SEVERITIES = ("error", "warning", "note")
MARKS = {"error": ("✗", "$error"), "warning": ("!", "$warning"), "note": ("·", "$muted")}
ASCII_MARKS = {"error": "x", "warning": "!", "note": "-"}
PARTS = ("prompt", "chosen", "rejected")
KINDS = {"jsonl": "JSON lines", "json": "JSON", "csv": "CSV", "tsv": "TSV", "saved": "saved folder"}
PART_COLORS = {"prompt": "$primary", "chosen": "$success", "rejected": "$accent"}
FIRST_ROWS = 4
DETAILS_SHOWN = 200
SPREAD_CELLS = 31
GAUGE_CELLS = 20
TALL_LINES = 34
DOT = ("  ·  ", "$faint")


def mark(severity: str, *, signs: bool) -> Content:
    """The sign of a severity."""
    sign, style = MARKS.get(severity, MARKS["note"])
    return join((ASCII_MARKS.get(severity, "-") if signs else sign, style))


def thousands(value: object) -> str:
    """A count with its thousands apart."""
    return f"{value:,}" if isinstance(value, int) else "?"


def counted(value: object, word: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{thousands(value)} {word}{'' if value == 1 else 's'}"


def rules_of(look: Look) -> dict[str, Event]:
    """The rules that have found something, those about tokens among them; worst first."""
    found: dict[str, Event] = {
        **(look.report.get("rules") or {}),
        **(look.tokens.get("rules") or {}),
    }

    def order(name: str) -> tuple[int, int]:
        severity, amount = found[name].get("severity"), found[name].get("count")
        known = SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
        return known, -(amount if isinstance(amount, int) else 0)

    return {name: found[name] for name in sorted(found, key=order)}


def findings_in_words(look: Look) -> str:
    """`2 findings (1 error)`, for a line elsewhere."""
    worst = [str(rule.get("severity")) for rule in rules_of(look).values()]
    errors = worst.count("error")
    if not worst:
        return "no findings"
    return counted(len(worst), "finding") + (f" ({counted(errors, 'error')})" if errors else "")


def head(look: Look) -> Content:
    """Name, stage, kind and size of what is looked at."""
    subject, job = look.subject, look.subject.job
    parts: list[Content | tuple[str, str]] = [plain(subject.title, style="bold")]
    if subject.recipe is not None:
        parts += [("   ", ""), plain(job.stage, style="bold $accent"), (" data", "$muted")]
    sources = list(look.sources.values())
    if sources:
        first = sources[0]
        words = [str(first.get("compression") or ""), KINDS.get(str(first.get("kind")), "")]
        words[1] = words[1] or str(first.get("kind") or "")
        name = Path(str(first.get("path"))).name
        more = f" and {counted(len(sources) - 1, 'other file')}" if len(sources) > 1 else ""
        total = sum(s for one in sources if isinstance(s := one.get("size"), int))
        if name != subject.title:
            parts += [DOT, plain(name)]
        kind = " ".join(word for word in words if word)
        parts += [plain(more, style="$muted"), DOT, plain(kind), DOT, (_bytes(total), "")]
    return join(*parts)


def _bytes(count: int) -> str:
    if count < 1_000_000:
        return f"{count / 1000:.0f} kB" if count >= 1000 else f"{count} bytes"
    return size(count)


def shape_line(source: Event) -> Content:
    """What the rows are, and how they come to TRL's columns."""
    if not source.get("stage"):
        title, missing = str(source.get("title") or ""), str(source.get("missing") or "")
        what = missing if missing.startswith(title) else f"{title}: {missing}"
        return problem_line(Problem(what, "", str(source.get("next_step") or "")))
    parts: list[Content | tuple[str, str]] = [plain(source.get("title") or "?")]
    made = [f"{one} <- {old}" for one, old in (source.get("columns") or {}).items() if one != old]
    if source.get("shape_as_is") and source.get("as_is"):
        parts += [DOT, ("as it stands", "$success")]
    elif source.get("shape_as_is"):
        parts += [DOT, ("rows as they stand, read by the workbench", "$muted")]
    elif made:
        parts += [DOT, ("mapped: ", "$muted"), plain(", ".join(made))]
    else:
        parts += [DOT, ("mapped to TRL's columns", "$muted")]
    sure = source.get("confidence")
    if isinstance(sure, int | float) and sure < 1:
        parts += [DOT, (f"{sure:.0%} sure", "$warning" if sure < 0.8 else "$muted")]
    return join(*parts)


def counts_line(look: Look, *, signs: bool) -> Content:
    """Rows and what they come to; while they are read, how far that is."""
    if look.failure is not None:
        return problem_line(look.failure)
    report = look.report
    if not report:
        return progress_line(look.progress, signs=signs)
    noun = "pair" if report.get("stage") != "sft" else "example"
    arrow = " -> " if signs else " → "
    parts: list[Content | tuple[str, str]] = [
        (counted(report.get("rows"), "row"), "bold"),
        (arrow, "$muted"),
        (counted(report.get("pairs"), noun), "bold"),
    ]
    lost = (("unusable", "$error"), ("broken", "$error"), ("without_pair", "$muted"))
    for name, style in lost:
        if report.get(name):
            parts += [DOT, (f"{thousands(report[name])} {name.replace('_', ' ')}", style)]
    seconds = report.get("seconds")
    if isinstance(seconds, int | float):
        parts += [DOT, (f"read in {seconds:.1f} s", "$muted")]
    return join(*parts)


def progress_line(progress: Event, *, signs: bool) -> Content:
    """How far something is: words, rows, a bar."""
    done, whole = progress.get("done"), progress.get("of")
    words = str(progress.get("message") or "starting to read")
    parts: list[Content | tuple[str, str]] = [plain(words, style="$muted")]
    if progress.get("rows"):
        parts.append((f"  {counted(progress['rows'], 'row')}", "bold"))
    if isinstance(done, int) and isinstance(whole, int) and whole > 0:
        share = min(1.0, done / whole)
        full = round(share * GAUGE_CELLS)
        on, off = ("#", ".") if signs else ("█", "░")
        bar = (on * full, "$primary"), (off * (GAUGE_CELLS - full), "$line")
        parts += [("  ", ""), *bar, (f" {share:.0%}", "")]
    return join(*parts)


def length_line(report: Event) -> Content:
    """Whether the longer answers are the chosen ones."""
    pairs = report.get("pairs") or 0
    longer, shorter = report.get("chosen_longer") or 0, report.get("rejected_longer") or 0
    if not pairs or not (longer or shorter):
        return Content("")
    means = [(report.get(f"letters_{side}") or 0) / pairs for side in ("chosen", "rejected")]
    mean = f" (mean {means[0]:,.0f} letters, rejected {means[1]:,.0f})"
    return join((f"chosen is longer in {longer / pairs:.0%} of pairs", ""), (mean, "$muted"))


def note_lines(look: Look) -> list[Content]:
    """What else is said of the files."""
    notes: dict[str, None] = {}
    for source in look.sources.values():
        for name in ("notes", "shape_notes"):
            notes.update(dict.fromkeys(str(note) for note in source.get(name) or ()))
    notes.update(dict.fromkeys(str(note) for note in look.report.get("notes") or ()))
    return [plain(note, style="$muted") for note in notes]


def all_lines(look: Look) -> Content:
    """All that is known of the files, to be read at leisure."""
    parts: list[Content] = []
    for path, source in look.sources.items():
        parts += [path_text(Path(path), style="bold"), shape_line(source)]
        columns = source.get("columns") or {}
        parts += [plain(f"  {one} <- {old}", style="$muted") for one, old in columns.items()]
        parts.append(Content(""))
    parts += note_lines(look)
    parts += [plain(one, style="$warning") for one in look.tokens.get("advice") or ()]
    for name, rule in rules_of(look).items():
        parts += [Content(""), plain(f"{rule.get('title')} ({name})", style="bold")]
        parts += [
            plain(rule.get("why") or ""),
            plain(rule.get("next_step") or "", style="$primary"),
        ]
    return lines(*parts) if parts else plain("Nothing is known yet.", style="$muted")


def finding_rows(look: Look, *, signs: bool) -> list[Row]:
    """A row of the table for each rule that has found something."""
    return [
        Row(
            name,
            (
                mark(str(rule.get("severity")), signs=signs),
                plain(rule.get("title") or name),
                join((thousands(rule.get("count")), "bold")),
                plain(_numbers(rule.get("rows") or ()), style="$muted"),
            ),
        )
        for name, rule in rules_of(look).items()
    ]


def _numbers(rows: Sequence[object]) -> str:
    more = " ..." if len(rows) > FIRST_ROWS else ""
    return ", ".join(str(row) for row in rows[:FIRST_ROWS]) + more


def why_lines(look: Look, name: str) -> Content:
    """What a rule says of the set as a whole, what it is about, and what to do."""
    rule = rules_of(look).get(name, {})
    step = plain(rule.get("next_step") or "", style="$primary")
    why = plain(rule.get("why") or "", style="$muted")
    details = [plain(f"{detail}. ") for detail in about_all(look, name)[:1]]
    return join(*details, why, " ", step)


def about_all(look: Look, name: str) -> list[str]:
    """What a rule says of the set as a whole, or of lines that are no rows."""
    found = [one for one in look.report.get("about_all") or () if one.get("rule") == name]
    return [
        (f"line {one['line']}: " if one.get("line") else "") + str(one.get("detail"))
        for one in found[:DETAILS_SHOWN]
    ]


def token_lines(look: Look, width: int, height: int, *, signs: bool) -> Content:
    """Lengths in tokens, and what becomes of the pairs at max_length.

    Args:
        width: Cells that there are.
        height: Lines of the terminal: on a tall one the bars are three lines high.
    """
    tokens = look.tokens
    limit = tokens.get("max_length")
    parts = [_kept_line(tokens, limit)]
    spreads = tokens.get("parts") or {}
    titles = "".join(f"{name:>7}" for name in ("p50", "p95", "max"))
    parts.append(join((f"{'tokens':<9}{titles}", "$faint")))
    room = max(10, width - SPREAD_CELLS)
    tall = 3 if height >= TALL_LINES else 1
    histogram = tokens.get("histogram") or {}
    edges = [edge for edge in histogram.get("edges") or () if isinstance(edge, int | float)]
    column = place(edges, limit, room) if isinstance(limit, int) else None
    for name in PARTS:
        if name in spreads:
            drawn = bars(histogram.get(name) or [], room, tall, signs=signs)
            parts += _part_lines(name, spreads[name], drawn, column, signs=signs)
    if len(edges) > 1:
        parts.append(_axis(edges, limit, column, room))
    parts.append(_padding_line(tokens.get("padding") or {}))
    parts += [plain(one, style="$warning") for one in tokens.get("advice") or ()]
    return lines(*(part for part in parts if part.plain))


def _kept_line(tokens: Event, limit: object) -> Content:
    parts: list[Content | tuple[str, str]] = [
        (thousands(tokens.get("kept")), "bold"),
        (" kept", ""),
        DOT,
        (f"{thousands(tokens.get('dropped'))} dropped", "$error" if tokens.get("dropped") else ""),
        DOT,
        (
            f"{thousands(tokens.get('truncated'))} truncated",
            "$warning" if tokens.get("truncated") else "",
        ),
        (f" at {limit} tokens" if limit else " (no max_length)", "$muted"),
    ]
    if tokens.get("steps") is not None:
        parts += [DOT, (counted(tokens["steps"], "step"), "")]
    if not tokens.get("exact"):
        measured = counted(tokens.get("measured"), "pair")
        parts += [DOT, (f"of {measured} measured", "$warning")]
    return join(*parts)


def _part_lines(
    name: str, spread: Event, drawn: Sequence[str], column: int | None, *, signs: bool
) -> list[Content]:
    numbers = "".join(f"{_whole(spread.get(key)):>7}" for key in ("p50", "p95", "max"))
    found = []
    for index, row in enumerate(drawn):
        lead = f"{name:<9}{numbers} " if index == len(drawn) - 1 else ""
        found.append(join((f"{lead:<{SPREAD_CELLS}}", ""), *_ruled(row, name, column, signs)))
    return found


def _ruled(row: str, name: str, column: int | None, signs: bool) -> list[tuple[str, str]]:
    """A line of bars with the mark of max_length in it."""
    style = PART_COLORS[name]
    if column is None:
        return [(row, style)]
    return [(row[:column], style), ("|" if signs else "│", "$error"), (row[column + 1 :], style)]


def _axis(edges: Sequence[float], limit: object, column: int | None, room: int) -> Content:
    """The first and the last length, and max_length where it stands."""
    low, high = f"{edges[0]:g}", f"{edges[-1]:g}"
    line = low + " " * max(1, room - len(low) - len(high)) + high
    if column is not None:
        words = f"max_length {limit}"
        at = min(max(len(low) + 1, column - len(words) // 2), room - len(words) - len(high) - 1)
        if at > len(low):
            line = line[:at] + words + line[at + len(words) :]
    return join((" " * SPREAD_CELLS + line, "$faint"))


def _padding_line(padding: Event) -> Content:
    waste, bucketed = padding.get("waste"), padding.get("bucketed_waste")
    if not isinstance(waste, int | float) or not isinstance(bucketed, int | float):
        return Content("")
    words = f"{waste:.0%} of TRL's batches of {padding.get('batch')}"
    grouped = f"{bucketed:.0%} where rows are grouped by length"
    return join(("padding  ", "$faint"), (f"{words}, {grouped}", "$muted"))


def _whole(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else "-"

"""One row of a data set as the screen shows it: texts with their differences, and findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.content import Content

from workbench.base.text import clean
from workbench.tui.data_view import mark
from workbench.tui.render import join, lines, plain

if TYPE_CHECKING:
    from workbench.judge.differences import Piece

LETTERS_SHOWN = 20_000
LIKE_SHARE = 0.25
"""Answers that share less than this part of their letters are not marked by themselves: all would
be."""
SIGNS = {"first": ("{+", "+}"), "second": ("[-", "-]")}
STYLES = {"first": "underline $success", "second": "underline $error"}
BLANKS = {"\n": "↵\n", " ": "·"}


@dataclass(frozen=True)
class Pair:
    """A pair, ready to be shown.

    Attributes:
        pieces: Both answers, word by word; empty for a single answer.
        share: The part of their letters that they share.
        more: Letters of prompt, chosen and rejected that are not shown.
    """

    prompt: str
    answers: tuple[str, ...]
    pieces: tuple[Piece, ...] = ()
    share: float = 0.0
    more: tuple[int, ...] = ()

    @property
    def alike(self) -> bool:
        """Whether marks help."""
        return self.share >= LIKE_SHARE


def pair_of(raw: Mapping[str, Any]) -> Pair:
    """A pair of a `row` event with its differences. Slow for long texts: call it in a thread."""
    from workbench.judge.differences import word_differences

    answers = [str(answer) for answer in raw.get("answers") or ()][:2]
    prompt = str(raw.get("prompt") or "")
    more = tuple(max(0, len(text) - LETTERS_SHOWN) for text in (prompt, *answers))
    cut = [clean(text[:LETTERS_SHOWN]) for text in answers]
    pieces = tuple(word_differences(*cut)) if len(cut) == 2 else ()
    whole = sum(map(len, cut))
    same = sum(len(text) for kind, text in pieces if kind == "same")
    share = 2 * same / whole if whole else 1.0
    return Pair(clean(prompt[:LETTERS_SHOWN]), tuple(cut), pieces, share, more)


def prompt_text(pair: Pair) -> Content:
    """The prompt; turns of a conversation begin with their role."""
    return _or_nothing(Content(pair.prompt), pair.more[:1])


def answer_text(pair: Pair, number: int, *, marked: bool, signs: bool) -> Content:
    """One answer, what the other one has not marked if wanted.

    Args:
        number: 0 for chosen, 1 for rejected.
        signs: Put signs around it too, where there is no colour.
    """
    kind = ("first", "second")[number]
    if not marked or not pair.pieces:
        shown = Content(pair.answers[number])
    else:
        mine = [(k, text) for k, text in pair.pieces if k in ("same", kind)]
        shown = join(*(part for k, text in mine for part in _piece(k, text, signs)))
    return _or_nothing(shown, pair.more[number + 1 : number + 2])


def _piece(kind: str, text: str, signs: bool) -> list[Content]:
    if kind == "same":
        return [Content(text)]
    inner = text.strip()
    if not inner:
        # Blanks differ too, and would not be seen.
        seen = text if signs else "".join(BLANKS.get(letter, letter) for letter in text)
        inner, before, after = seen, "", ""
    else:
        before, after = text[: text.index(inner)], text[text.index(inner) + len(inner) :]
    opening, closing = SIGNS[kind] if signs else ("", "")
    shown = Content.styled(f"{opening}{inner}{closing}", STYLES[kind])
    return [Content(before), shown, Content(after)]


def _or_nothing(shown: Content, more: Sequence[int]) -> Content:
    if more and more[0]:
        return lines(shown, plain(f"... {more[0]:,} more letters", style="$warning"))
    return shown if shown.plain.strip() else plain("(nothing)", style="$faint")


def row_title(row: Mapping[str, Any], place: str) -> Content:
    """`row 17  line 17 of prefs.jsonl  3 of 12`."""
    line = f"line {row['line']} of " if row.get("line") else "in "
    return join(
        (f"row {row.get('number')}", "bold"),
        ("   ", ""),
        plain(f"{line}{row.get('file') or '?'}", style="$muted"),
        plain(f"   {place}" if place else "", style="$muted"),
    )


def finding_lines(
    found: Sequence[Mapping[str, Any]], rules: Mapping[str, Mapping[str, Any]], *, signs: bool
) -> Content:
    """What the rules say of a row, worst first, a line each."""
    order = list(rules)
    known = sorted(found, key=lambda one: order.index(r) if (r := one.get("rule")) in order else 99)
    return lines(*(_finding(one, rules.get(str(one.get("rule")), {}), signs) for one in known))


def _finding(found: Mapping[str, Any], rule: Mapping[str, Any], signs: bool) -> Content:
    detail = str(found.get("detail") or "")
    others = [str(number) for number in found.get("others") or ()][:5]
    parts = [
        mark(str(rule.get("severity")), signs=signs),
        Content(" "),
        plain(rule.get("title") or found.get("rule") or ""),
    ]
    if detail:
        parts.append(plain(f": {detail}", style="$muted"))
    if others:
        parts.append(plain(f" (row {', '.join(others)} too)", style="$muted"))
    return join(*parts)

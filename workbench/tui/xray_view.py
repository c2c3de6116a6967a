"""The tokens of a pair as the screen shows them: pieces, what is scored, where they are cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.content import Content

from workbench.base.text import clean
from workbench.tui.render import join, lines, plain

Xray = Mapping[str, Any]

PIECES_SHOWN = 4000
NAMES = ("prompt", "chosen", "rejected")
SPECIAL_STYLE, DIFFERENT_STYLE = "bold $accent", "bold reverse"
LOST_STYLE, PROMPT_STYLE = "strike $faint", "$muted"


def names_of(xray: Xray) -> list[str]:
    """The parts that a pair has, prompt first."""
    return [name for name in NAMES if name in (xray.get("pieces") or {})]


def part_title(xray: Xray, name: str) -> Content:
    """`chosen  56 tokens, scored`."""
    pieces = xray["pieces"][name]
    mask = (xray.get("scored") or {}).get(name)
    if name == "prompt":
        words = "not scored"
    elif not mask or all(mask):
        words = "scored"
    else:
        words = f"{sum(map(bool, mask))} scored, underlined"
    title = "answer" if name == "chosen" and "rejected" not in xray["pieces"] else name
    count = f"{len(pieces)} token{'' if len(pieces) == 1 else 's'}"
    return join((title, "bold"), (f"  {count}, {words}", ""))


def verdict_lines(xray: Xray, *, signs: bool) -> Content:
    """What becomes of the pair: kept, cut or dropped, where its answers part, and notes."""
    most, prompt = xray.get("max_length"), len(xray["pieces"].get("prompt") or ())
    cut = {name: _lost(xray, name) for name in names_of(xray)[1:]}
    if xray.get("dropped"):
        cross = "x " if signs else "✗ "
        words = f"dropped: the prompt alone has {prompt} tokens, max_length is {most}"
        first = join((cross, "$error"), (words, "$error"))
    elif any(cut.values()):
        lost = ", ".join(f"{name} loses {count}" for name, count in cut.items() if count)
        first = join(("! ", "$warning"), (f"cut at max_length {most}: {lost}", ""))
    else:
        sizes = [prompt + len(xray["pieces"][name]) for name in cut] or [prompt]
        limit = f" of {most}" if most else ""
        first = join(("kept whole", "$success"), (f"  {max(sizes)}{limit} tokens", "$muted"))
    at = xray.get("first_difference")
    if isinstance(at, int):
        first = join(first, ("   they differ from token ", "$muted"), (f"{at + 1}", "bold"))
    # What is lost stands in the first line already.
    notes = [str(note) for note in xray.get("notes") or () if " loses " not in str(note)]
    return lines(first, *(plain(note, style="$muted") for note in notes))


def _lost(xray: Xray, name: str) -> int:
    """How many tokens of prompt and answer do not fit."""
    most = (xray.get("cut") or {}).get(name)
    if not isinstance(most, int):
        return 0
    pieces = xray["pieces"]
    return max(0, len(pieces.get("prompt") or ()) + len(pieces[name]) - most)


def part_text(xray: Xray, name: str, *, ids: bool, signs: bool) -> Content:
    """The pieces of a part, each parted from the next, the cut as a line of its own."""
    pieces = xray["pieces"][name]
    if not pieces:
        return plain("(no token)", style="$faint")
    mask = (xray.get("scored") or {}).get(name) or []
    first, last, words = _kept(xray, name)
    at = xray.get("first_difference") if name != "prompt" else None
    parts: list[Content | tuple[str, str]] = []
    for index, piece in enumerate(pieces[:PIECES_SHOWN]):
        if words and index == (last if first == 0 else first):
            parts.append(_cut_line(words, signs))
        kept = first <= index < last
        scored = bool(mask[index]) if index < len(mask) else name != "prompt"
        style = _style(piece, name, kept=kept, scored=scored, mixed=not all(mask))
        parts += _piece(piece, style, differs=index == at, ids=ids, signs=signs)
    if words and last == len(pieces) and first == 0:
        parts.append(_cut_line(words, signs))
    if len(pieces) > PIECES_SHOWN:
        more = f"\n... {len(pieces) - PIECES_SHOWN:,} more tokens"
        parts.append(plain(more, newlines=True, style="$warning"))
    return join(*parts)


def _kept(xray: Xray, name: str) -> tuple[int, int, str]:
    """The tokens of a part that are trained with: first, last (exclusive), words for the cut."""
    pieces = xray["pieces"]
    prompt, count = len(pieces.get("prompt") or ()), len(pieces[name])
    if name == "prompt":
        if xray.get("dropped"):
            most = int(xray.get("max_length") or 0)
            return 0, min(count, most), f"max_length {most}: no token of an answer is left"
        return 0, count, ""
    lost = _lost(xray, name)
    if not lost:
        return 0, count, ""
    if not xray.get("keeps_start", True):
        # The beginning goes first, and that is the prompt.
        words = f"cut here: {lost} tokens before this are lost, the prompt's first"
        return max(0, lost - prompt), count, words
    here = min(lost, count)
    return 0, count - here, f"cut here: {here} token{'' if here == 1 else 's'} are lost"


def _cut_line(words: str, signs: bool) -> Content:
    rule = "--" if signs else "──"
    return Content.styled(f"\n{rule} {words} {rule}\n", "bold $error")


def _style(piece: Xray, name: str, *, kept: bool, scored: bool, mixed: bool) -> str:
    if not kept:
        return LOST_STYLE
    if piece.get("special"):
        return SPECIAL_STYLE
    if name == "prompt" or not scored:
        return PROMPT_STYLE
    return "underline" if mixed else ""


def _piece(
    piece: Xray, style: str, *, differs: bool, ids: bool, signs: bool
) -> list[Content | tuple[str, str]]:
    """One token with the bar behind it; a line end is seen, and ends the line."""
    text = clean(str(piece.get("text") or ""))
    body = text.replace("\n", "\\n" if signs else "↵") or ("~" if signs else "…")
    if piece.get("special") and signs:
        body = f"{{{body}}}"
    parts: list[Content | tuple[str, str]] = []
    if differs:
        parts.append((">>" if signs else "▶", "bold $warning"))
    parts.append(Content.styled(body, DIFFERENT_STYLE if differs else style))
    if ids:
        parts.append((f":{piece.get('id')}", "$faint"))
    parts.append(("|" if signs else "│", "$faint"))
    return [*parts, Content("\n")] if "\n" in text else parts

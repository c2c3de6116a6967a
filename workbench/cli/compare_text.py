"""Comparisons as `compare` prints them: panes, what differs first, what tuning changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.base.text import clean
from workbench.cli.output import columns, number, one_line
from workbench.cli.panes import side_by_side
from workbench.judge.log_ratios import change_of, first_difference, strength, tokens_of

FIRST_SIGN = "»"
SHA_LETTERS = 8
LEGEND = "[+word] likelier for {last} than for {first}, [-word] less likely; +++ is strongest."


def print_comparison(comparison: Mapping[str, Any], *, shade: bool = False) -> None:
    """Print one prompt and its answers, a title over each with its length and time."""
    count = comparison.get("count") or 1
    which = f"  (answer {comparison['index'] + 1} of {count})" if count > 1 else ""
    print(f"> {one_line(comparison['prompt'])}{which}")
    answers = comparison["answers"]
    panes = [
        (_title(_label(comparison, side), answer), marked(answer, shade=shade))
        for side, answer in answers.items()
    ]
    print("\n".join(side_by_side(panes, columns())))
    for line in _changes(comparison, shade=shade):
        print(line)
    print(flush=True)


def _label(comparison: Mapping[str, Any], side: str) -> str:
    facts = (comparison.get("sides") or {}).get(side) or {}
    return str(facts.get("label") or side)


def _title(label: str, answer: Mapping[str, Any]) -> str:
    parts = [f"{answer['tokens']} tokens" if answer.get("tokens") is not None else ""]
    if answer.get("seconds") is not None:
        parts.append(f"{answer['seconds']:.1f} s")
    if answer.get("finish") == "length":
        parts.append("cut")
    return f"{one_line(label)} ({', '.join(part for part in parts if part)})"


def marked(answer: Mapping[str, Any], *, shade: bool) -> str:
    """An answer's text with a sign before its first token that differs, and shaded tokens.

    Args:
        shade: Put changed tokens into brackets with a sign for each step of strength.
    """
    shown, tokens = tokens_of(answer)
    turn = first_difference(answer, tokens)
    if not tokens or (turn < 0 and not shade):
        return clean(str(answer.get("text") or ""))
    parts = [shown[: tokens[0].begin]]
    for place, token in enumerate(tokens):
        text = shown[token.begin : token.end]
        word = text.lstrip()
        blank, tail = text[: len(text) - len(word)], word[len(word.rstrip()) :]
        word = word.rstrip()
        level = strength(token.delta) if shade and word else 0
        if level:
            word = f"[{('+' if token.delta > 0 else '-') * level}{word}]"
        parts.append(f"{blank}{FIRST_SIGN if place == turn else ''}{word}{tail}")
    return "".join(parts) + shown[tokens[-1].end :]


def _changes(comparison: Mapping[str, Any], *, shade: bool) -> list[str]:
    """What the sides after the first changed, in numbers; nothing where nothing is known."""
    first, *others = comparison["answers"]
    lines = []
    for side in others:
        answer = comparison["answers"][side]
        change = change_of(answer)
        if change is None:
            continue
        turn = answer.get("first_difference")
        where = "equal" if turn == -1 else ""
        if isinstance(turn, int) and turn >= 0:
            where = f"differs from token {turn + 1} on ({FIRST_SIGN})"
        words = f"{change.share:.0%} of tokens changed, mean |log-ratio| {change.mean:.2f}"
        label = one_line(_label(comparison, side))
        lines.append(f"{label}: {', '.join(part for part in (where, words) if part)}")
    if shade and lines:
        names = {"first": one_line(_label(comparison, first))}
        lines.append(LEGEND.format(last=one_line(_label(comparison, others[-1])), **names))
    return lines


def weights_lines(weights: Mapping[str, Any], sides: Sequence[str]) -> list[str]:
    """Which weights answer, and a warning where two sides are the same."""
    facts = weights.get("sides") or {}
    deltas = weights.get("max_delta_logit") or {}
    parts, warnings = [], []
    for side in sides:
        known = facts.get(side) or {}
        words = [one_line(known.get("label") or side), one_line(known.get("sha256") or "")]
        words[1] = words[1][:SHA_LETTERS]
        if side != sides[0] and isinstance(deltas.get(side), int | float):
            words.append(f"(max |delta logit| {number(deltas[side])})")
        parts.append(" ".join(word for word in words if word))
        if known.get("same_as"):
            warnings.append(
                f"Warning: {words[0]} equals {one_line(known['same_as'])}: its adapter changes "
                "nothing, so the answers cannot differ."
            )
    return [f"Weights: {'; '.join(parts)}", *warnings]


def as_json(comparison: Mapping[str, Any], *, pieces: bool) -> dict[str, Any]:
    """A comparison for scripts; the tokens themselves only where they are asked for."""
    answers = {}
    for side, answer in comparison["answers"].items():
        change = change_of(answer)
        kept = {key: value for key, value in answer.items() if pieces or key != "pieces"}
        if change is not None:
            kept["mean_log_ratio"], kept["changed_share"] = change.mean, change.share
        answers[side] = kept
    return {**comparison, "answers": answers}

"""A score in words and columns, 80 cells wide, for the command line and the app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from workbench.base.text import clean
from workbench.judge import figures
from workbench.judge.figures import number

WIDTH = 80
LABEL, CELL = 25, 26
BAR = 30
SHOWN_SLICES, SHOWN_WORST, SHOWN_ROSE = 12, 5, 3
CLOSE = 1e-3
"""Differences to what training measured up to which the two are called equal."""

Row = Mapping[str, Any]


def score_lines(summary: Row) -> list[str]:
    """The lines of a summary as `scores.score` makes it."""
    first, second = summary["sides"]
    parts = [
        _head(summary),
        _held_out(summary, first, second),
        _between(summary, first, second),
        _histogram(summary, second),
        _slices(summary["rewards"][second]["slices"], second),
        _length(summary["rewards"][second]["length"], second),
        _answers(summary, first, second),
        _sft(summary, first, second),
        _judge(summary.get("judge")),
        _lm_eval(summary.get("lm_eval")),
    ]
    # What got worse is what a person must not overlook.
    worst = [_worst(summary, first, second), _rose(summary.get("sft"), first, second)]
    lines = [line for part in (parts[0], *worst, *parts[1:]) if part for line in (*part, "")]
    return [cut(line) for line in lines[:-1]]


def cut(text: str, width: int = WIDTH) -> str:
    """A line as outside text may be shown, of `width` letters at most."""
    inert = clean(text, newlines=False)
    return inert if len(inert) <= width else inert[: width - 1] + "…"


def estimate(found: Row | None, *, share: bool = False) -> str:
    """`0.736 [0.6, 0.87]`: a value and its 95 % interval, for a column."""
    return figures.estimate(found, share=share, narrow=True)


def _columns(label: str, *cells: str) -> str:
    return (f"{label:<{LABEL}}" + "  ".join(f"{cell:<{CELL}}" for cell in cells)).rstrip()


def _head(summary: Row) -> list[str]:
    first, second = (summary["labels"][side] for side in summary["sides"])
    data = summary["data"]
    used = data["used"] - data["dropped"]
    lines = [f"Score of {summary['run']}: {first} and {second}"]
    left_out = f", {data['dropped']} too long" if data["dropped"] else ""
    lines.append(f"{used} of {data['rows']} pairs: {data['source']}{left_out}")
    hashes = [
        f"{side} {summary['weights'][side]['sha256'] or 'no adapter'}" for side in summary["sides"]
    ]
    lines.append(f"Weights: {', '.join(hashes)}; {summary['dtype']} on {summary['device']}")
    if summary["equal"]:
        lines += ["", f"{second} equals {first}: not one log-probability differs."]
    return lines + [f"Note: {note}" for note in summary.get("notes") or []]


def _held_out(summary: Row, first: str, second: str) -> list[str]:
    rewards, of = summary["rewards"], summary["reference"]["of"]
    what = "DPO's reference" if of == "dpo" else "the base model (there was no DPO)"
    lines = [f"Held-out pairs, rewards against {what}, beta {number(summary['beta'])}:"]
    lines.append(_columns("", first, second))
    shown = [rewards[side] for side in (first, second)]
    lines.append(_columns("reward accuracy", *map(_accuracy, shown)))
    lines.append(_columns("reward margin", *(estimate(one["margin"]) for one in shown)))
    for name in ("chosen", "rejected"):
        logps = (number(one["trl"][f"eval_logps/{name}"], 4) for one in shown)
        lines += [
            _columns(f"reward of the {name}", *(number(one[name]) for one in shown)),
            _columns(f"log p of the {name}", *logps),
        ]
    return lines + _training(summary.get("training"))


def _accuracy(one: Row) -> str:
    n = one["accuracy"]["n"]
    return "is the reference" if one["ties"] == n else estimate(one["accuracy"], share=True)


def _training(recorded: Row | None) -> list[str]:
    if not recorded:
        return []
    most = max(recorded["differences"].values())
    margin = recorded["recorded"].get("eval_rewards/margins")
    where = f"As training measured {recorded['side']} at its end (margin {number(margin)})"
    if most <= CLOSE:
        return [f"{where}: the same numbers."]
    return [f"{where}: they differ by {number(most, 2)} at most."]


def _between(summary: Row, first: str, second: str) -> list[str]:
    one = summary["between"]
    if summary["equal"]:
        return []
    return [
        f"{second} against {first}, the first as the reference:",
        _columns("prefers the chosen", estimate(one["accuracy"], share=True)),
        _columns("margin", estimate(one["margin"])),
    ]


def _histogram(summary: Row, side: str) -> list[str]:
    found = summary["rewards"][side]["histogram"]
    edges, counts = found["edges"], found["counts"]
    names = [f"below {edges[0]:g}"]
    names += [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    names.append(f"{edges[-1]:g} and above")
    used = [place for place, count in enumerate(counts) if count]
    if not used:
        return []
    most = max(counts)
    lines = [f"Margins of {side}:"]
    for place in range(used[0], used[-1] + 1):
        bar = "#" * round(BAR * counts[place] / most)
        lines.append(f"{names[place]:>{LABEL - 4}}  {counts[place]:>5}  {bar}".rstrip())
    return lines


def _slices(slices: Sequence[Row], side: str) -> list[str]:
    if not slices:
        return []
    lines = [f"Accuracy of {side} by slice, the worst first:"]
    for one in slices[:SHOWN_SLICES]:
        name = cut(f"{one['by']}: {one['value']}", 40)
        count = f"{one['accuracy']['n']:>5}"
        shown = estimate(one["accuracy"], share=True)
        lines.append(f"{name:<40}{count}  {shown:<20} {number(one['margin'])}")
    return lines


def _length(view: Row, side: str) -> list[str]:
    both = view["longer"]["n"] and view["shorter"]["n"]
    reason = "" if both else ", for no pair lies on the other side of equal length"
    lines = [f"Is it length? {side}: {view['verdict']}{reason}."]
    longer, shorter = (
        f"{estimate(view[name], share=True)} of {view[name]['n']}" for name in ("longer", "shorter")
    )
    lines.append(_columns("right, chosen is longer", longer))
    lines.append(_columns("right, chosen is shorter", shorter))
    if "equal_margin" in view and both:
        correlation = f"{number(view['correlation'], 2)}, {number(view['slope'], 2)} a token"
        lines.append(_columns("margin with length", correlation))
        lines.append(_columns("margin at equal length", estimate(view["equal_margin"])))
        equal = estimate(view["equal_accuracy"], share=True)
        lines.append(_columns("right at equal length", equal))
    return lines


def _answers(summary: Row, first: str, second: str) -> list[str]:
    answers = summary.get("answers")
    if not answers:
        return []
    how = summary["sampling"]
    one, other = answers[first], answers[second]
    head = f"{one['answers']} sampled answers a side, temperature {how['temperature']:g}, "
    lines = [head + f"at most {how['max_new_tokens']} tokens:", _columns("", first, second)]
    for label, name in (("tokens", "tokens"), ("words", "words"), ("repetition", "repetition")):
        lines.append(_columns(label, estimate(one[name]), estimate(other[name])))
    for label, name in (
        ("loops", "loops"),
        ("cut, no end token", "no_eos"),
        ("empty", "empty"),
        ("refusals (heuristic)", "refused"),
    ):
        cells = (estimate(side[name], share=True) for side in (one, other))
        lines.append(_columns(label, *cells))
    kl = (estimate(side["kl"]["k3"]) for side in (one, other))
    lines.append(_columns("KL to base a token, k3", *kl))
    k1 = (estimate(side["kl"]["k1"]) for side in (one, other))
    lines.append(_columns("KL to base a token, k1", *k1))
    return lines


def _sft(summary: Row, first: str, second: str) -> list[str]:
    sft = summary.get("sft")
    if not sft:
        return []
    what = "answers" if sft["answers_only"] else "whole texts"
    before, after = (number(sft["perplexity"][side]) for side in (first, second))
    return [
        f"Perplexity of {sft['rows']} rows, {what} only: {sft['source']}",
        _columns("", first, second),
        _columns("perplexity", before, f"{after}, x {estimate(sft['ratio'])}"),
    ]


def _worst(summary: Row, first: str, second: str) -> list[str]:
    rows = [row for row in summary["worst"] if row["change"] < 0][:SHOWN_WORST]
    if not rows:
        return []
    lines = [f"Pairs that got worse from {first} to {second}, by reward margin:"]
    lines.append("  row   before    after   change  prompt")
    for row in rows:
        cells = " ".join(f"{number(row[name]):>8}" for name in ("before", "after", "change"))
        lines.append(f"{row['row']:>5} {cells}  {row['prompt']}")
    return lines


def _rose(sft: Row | None, first: str, second: str) -> list[str]:
    if not sft or not sft["rose"]:
        return []
    count = f"{sft['rose_rows']} of {sft['rows']}"
    lines = [f"SFT rows that became less likely from {first} to {second}: {count}"]
    lines.append("  row   before    after  prompt")
    for row in sft["rose"][:SHOWN_ROSE]:
        cells = f"{number(row['before']):>8} {number(row['after']):>8}"
        lines.append(f"{row['row']:>5} {cells}  {row['prompt']}")
    return lines


def _judge(judge: Row | None) -> list[str]:
    if not judge:
        return []
    wins = f"{judge['wins']} won, {judge['losses']} lost, {judge['ties']} ties"
    lines = [
        f"Judge {judge['model']}, both orders: {judge['first']} and {judge['second']}",
        _columns("win rate", f"{estimate(judge['win_rate'], share=True)}  {wins}"),
        _columns(
            "orders disagreed", f"{judge['disagreed']} of {judge['judged']} (counted as ties)"
        ),
    ]
    if judge["failed"]:
        lines.append(_columns("not judged", f"{judge['failed']}: {judge['failure']}"))
    return lines


def _lm_eval(found: Row | None) -> list[str]:
    if not found:
        return []
    lines = ["lm-eval:", _columns("", *found["sides"])]
    for row in found["table"]:
        cells = [
            f"{number(one['value'])} +- {number(one['stderr'], 2)}" if one else "-"
            for one in (row["values"].get(side) for side in found["sides"])
        ]
        lines.append(_columns(cut(f"{row['task']} {row['metric']}", LABEL - 1), *cells))
    return lines

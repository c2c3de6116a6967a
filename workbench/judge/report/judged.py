"""The parts of a report that say which answers are better, and what got worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.base.files import is_number
from workbench.base.repetition import repetition
from workbench.judge.differences import word_differences
from workbench.judge.figures import MISSING, estimate, number, percent
from workbench.judge.report.blocks import (
    Answer,
    Answers,
    Block,
    Missing,
    Paragraph,
    Section,
    Shade,
    Table,
)
from workbench.judge.report.collect import Facts
from workbench.judge.report.words import inner
from workbench.judge.timeline import Mark, changes
from workbench.judge.vote_results import PairResult, remarks
from workbench.judge.vote_results import headline as vote_headline
from workbench.judge.vote_results import verdict as vote_verdict
from workbench.run.sides import BASE

MOST_COMPARISONS = 24
MOST_MARKS = 10
MOST_WORST = 10
PROMPT_LETTERS = 160
RATES = (("no_eos", "cut, no end"), ("empty", "empty"), ("refused", "refusals"), ("loops", "loops"))


def judged_sections(facts: Facts) -> list[Section]:
    """Scores, votes, what got worse, answers, checkpoints; what is missing says how to get it."""
    run = facts.run
    asked = [_comparison(record) for record in facts.comparisons[:MOST_COMPARISONS]]
    answers: list[Block] = [block for block in asked if block is not None]
    more = len(facts.comparisons) - MOST_COMPARISONS
    if answers:
        told = "Words that only one of the answers has are marked."
        answers.insert(0, Paragraph(told))
        if more > 0:
            answers.append(Paragraph(f"{more} earlier comparisons are left out."))
    else:
        answers = [Missing("No answers have been compared yet.", f"dpo-workbench compare {run}")]
    return [
        Section("score", "Scores", _scores(facts)),
        Section("votes", "Votes", _votes(facts)),
        Section("worse", "What got worse", _worse(facts)),
        Section("answers", "Answers side by side", answers),
        Section("checkpoints", "Checkpoints", _timeline(facts)),
    ]


def _scores(facts: Facts) -> list[Block]:
    if facts.scores:
        return [block for score in facts.scores for block in _score(score)]
    blocks: list[Block] = []
    measured = [
        (name, facts.trained.get(key))
        for name, key in (
            ("Reward accuracy", "eval_rewards/accuracies"),
            ("Reward margin", "eval_rewards/margins"),
            ("Reward of the chosen", "eval_rewards/chosen"),
            ("Reward of the rejected", "eval_rewards/rejected"),
            ("Held-out loss", "eval_loss"),
            ("Held-out rows", "pairs"),
        )
    ]
    rows = [[name, number(value)] for name, value in measured if is_number(value)]
    if rows:
        title = "As training measured it at its end, without intervals"
        blocks.append(Table(("Held-out rows", "Value"), rows, title))
    command = f"dpo-workbench score {facts.run}"
    told = "No score yet: intervals, KL to the base, lengths and losses are not known."
    return [*blocks, Missing(told, command)]


def _score(score: Mapping[str, Any]) -> list[Block]:
    sides = [str(side) for side in score["sides"]]
    names = [str(inner(score, "labels", side) or side) for side in sides]
    rows = []
    for name, key, share in (
        ("Reward accuracy", "accuracy", True),
        ("Reward margin", "margin", False),
    ):
        cells = [estimate(inner(score, "rewards", side, key), share=share) for side in sides]
        rows.append([name, *cells])
    for name, key in (("Answer length, tokens", "tokens"), ("Repetition", "repetition")):
        rows.append([name, *(estimate(inner(score, "answers", side, key)) for side in sides)])
    for key, name in RATES:
        cells = [estimate(inner(score, "answers", side, key), share=True) for side in sides]
        rows.append([f"Answers: {name}", *cells])
    kl = [estimate(inner(score, "answers", side, "kl", "k3")) for side in sides]
    rows.append(["KL to the base, nats a token", *kl])
    rows.append(
        ["Perplexity on SFT rows", *(number(inner(score, "sft", "perplexity", s)) for s in sides)]
    )
    rows = [row for row in rows if set(row[1:]) != {MISSING}]
    pairs = number(inner(score, "data", "used"))
    title = f"{' and '.join(names)}: {pairs} held-out pairs, 95 % intervals"
    blocks: list[Block] = [Table(("Measure", *names), rows, title)]
    between = inner(score, "between")
    if between and not score.get("equal"):
        blocks.append(
            Paragraph(
                f"{names[-1]} measured against {names[0]}: prefers the chosen answer in "
                f"{estimate(inner(between, 'accuracy'), share=True)} of the pairs, margin "
                f"{estimate(inner(between, 'margin'))}."
            )
        )
    if score.get("equal"):
        blocks.append(Paragraph(f"{names[-1]} equals {names[0]}: no log-probability differs."))
    view = inner(score, "rewards", sides[-1], "length", "verdict")
    if view:
        blocks.append(Paragraph(f"Is it length? {view}."))
    return [*blocks, *_slices(score, sides[-1], names[-1])]


def _slices(score: Mapping[str, Any], side: str, name: str) -> list[Block]:
    slices = inner(score, "rewards", side, "slices")
    rows = [
        [
            f"{one.get('by')}: {one.get('value')}",
            number(inner(one, "accuracy", "n")),
            estimate(one.get("accuracy"), share=True),
            number(one.get("margin")),
        ]
        for one in (slices if isinstance(slices, list) else [])
        if isinstance(one, Mapping)
    ]
    header = ("Slice", "Pairs", "Accuracy", "Margin")
    return [Table(header, rows, f"{name} by slice, the worst first")] if rows else []


def _votes(facts: Facts) -> list[Block]:
    found = facts.votes
    if not found.pairs:
        return [Missing("Nobody has voted yet.", f"dpo-workbench votes cast {facts.run}")]
    blocks: list[Block] = []
    for pair in found.pairs:
        agreed = found.agreement.get((pair.first, pair.second))
        said = [vote_headline(pair), vote_verdict(pair), *remarks(pair, agreed)]
        blocks.append(Paragraph(" ".join(text for text in said if text)))
        if len(pair.by_category) > 1:
            blocks.append(_categories(pair))
    return blocks


def _categories(pair: PairResult) -> Table:
    rows = []
    for name, tally in pair.by_category.items():
        low, high = tally.interval
        rate = percent(tally.rate) if tally.rate is not None else MISSING
        counts = [tally.wins, tally.losses, tally.ties, tally.both_bad]
        rows.append([name, *map(str, counts), f"{rate} ({percent(low)} to {percent(high)})"])
    header = ("Category", "Wins", "Losses", "Ties", "Both bad", "Win rate (95 %)")
    return Table(header, rows, f"{pair.second} against {pair.first}, by category")


def _worse(facts: Facts) -> list[Block]:
    if not facts.scores:
        told = "Not known without a score."
        return [Missing(told, f"dpo-workbench score {facts.run}"), *_looping(facts)]
    score = facts.scores[0]
    sides = [str(side) for side in score["sides"]]
    blocks: list[Block] = []
    worst = inner(score, "worst")
    rows = [
        [_short(row.get("prompt")), *(number(row.get(n)) for n in ("before", "after", "change"))]
        for row in (worst if isinstance(worst, list) else [])
        if isinstance(row, Mapping) and is_number(row.get("change")) and row["change"] < 0
    ][:MOST_WORST]
    if rows:
        header = ("Prompt", sides[0], sides[-1], "Change")
        blocks.append(Table(header, rows, "Held-out pairs whose margin fell most"))
    else:
        blocks.append(Paragraph("No held-out pair's margin fell."))
    ratio = inner(score, "sft", "ratio")
    if is_number(inner(ratio, "value")):
        blocks.append(
            Paragraph(f"Perplexity on SFT rows, {sides[-1]} to {sides[0]}: {estimate(ratio)}.")
        )
    rose = inner(score, "sft", "rose")
    rows = [
        [_short(row.get("prompt")), number(row.get("before")), number(row.get("after"))]
        for row in (rose if isinstance(rose, list) else [])
        if isinstance(row, Mapping)
    ][:MOST_WORST]
    if rows:
        lost = ("Prompt", f"Perplexity, {sides[0]}", sides[-1])
        blocks.append(Table(lost, rows, "SFT rows that became less likely"))
    return [*blocks, *_behaviour(score, sides), *_looping(facts)]


def _behaviour(score: Mapping[str, Any], sides: Sequence[str]) -> list[Block]:
    """Rates of bad answers that rose from the first to the second side."""
    rose = []
    for key, name in (("repetition", "repetition"), *RATES):
        before, after = (inner(score, "answers", side, key) for side in (sides[0], sides[-1]))
        values = inner(before, "value"), inner(after, "value")
        if is_number(values[0]) and is_number(values[1]) and values[1] > values[0]:
            share = key != "repetition"
            rose.append([name, estimate(before, share=share), estimate(after, share=share)])
    if not rose:
        return []
    return [Table(("Of sampled answers", sides[0], sides[-1]), rose, "Rates that rose")]


def _looping(facts: Facts) -> list[Block]:
    """Whether the answers to the probe prompts repeat themselves more than the base model's."""
    marks = [mark for mark in facts.timeline.marks if mark.repetition is not None]
    if len(marks) < 2 or marks[0].stage:
        return []
    before, after = marks[0].repetition, marks[-1].repetition
    return [
        Paragraph(
            f"Repetition in answers to the probe prompts: base {before:.2f}, "
            f"{marks[-1].label} {after:.2f} (share of word sequences that stood there before)."
        )
    ]


def _short(text: Any) -> str:
    shown = " ".join(str(text or "").split())
    return shown if len(shown) <= PROMPT_LETTERS else f"{shown[: PROMPT_LETTERS - 1]}…"


def _comparison(record: Mapping[str, Any]) -> Answers | None:
    answers = {
        str(side): answer
        for side, answer in record["answers"].items()
        if isinstance(answer, Mapping)
    }
    sides = [side for side in answers if isinstance(answers[side].get("text"), str)]
    sides.sort(key=lambda side: side != BASE)
    if len(sides) < 2:
        return None
    texts = {side: str(answers[side]["text"]) for side in sides}
    first, others = sides[0], sides[1:]
    found = []
    for side in (first, *others):
        other = others[-1]
        # Each pane marks what is its own as new: a struck-out answer is hard to read.
        pieces = word_differences(texts[other] if side == first else texts[first], texts[side])
        pieces = [piece for piece in pieces if piece[0] != "first"]
        name = str(inner(record, "sides", side, "label") or side)
        found.append(
            Answer(name, _length(texts[side], answers[side]), pieces, _shades(answers[side]))
        )
    prompt = next(
        (
            str(message.get("content") or "")
            for message in reversed(record["messages"])
            if isinstance(message, Mapping) and message.get("role") == "user"
        ),
        "",
    )
    return Answers(prompt, found)


def _length(text: str, answer: Mapping[str, Any]) -> str:
    parts = [f"{len(text.split())} words"]
    if is_number(answer.get("tokens")):
        parts.append(f"{answer['tokens']} tokens")
    if answer.get("finish") == "length":
        parts.append("cut")
    parts.append(f"repetition {repetition(text):.2f}")
    return ", ".join(parts)


def _shades(answer: Mapping[str, Any]) -> list[Shade]:
    pieces = answer.get("pieces")
    return [
        (str(piece[0]), float(piece[1]))
        for piece in (pieces if isinstance(pieces, list) else [])
        if isinstance(piece, list) and len(piece) == 2 and is_number(piece[1])
    ]


def _timeline(facts: Facts) -> list[Block]:
    timeline = facts.timeline
    if not timeline.marks:
        told = "No checkpoint and no answer to a probe prompt was kept."
        return [Missing(f"{told} Name probe_prompts in the recipe.")]
    rows = [
        [
            f"{mark.label}{' (best)' if mark == timeline.best else ''}",
            percent(mark.accuracy),
            number(mark.margin),
            number(mark.loss),
            MISSING if mark.repetition is None else f"{mark.repetition:.2f}",
            number(mark.tokens),
            "kept" if mark.kept else "deleted",
        ]
        for mark in timeline.marks
    ]
    header = (
        "Checkpoint",
        "Accuracy",
        "Margin",
        "Held-out loss",
        "Repetition",
        "Tokens",
        "Weights",
    )
    told = "Answers of the checkpoints in turn; words that the one before has not are marked."
    blocks: list[Block] = [Paragraph(timeline.best_line()), Table(header, rows), Paragraph(told)]
    shown = _some([mark for mark in timeline.marks if mark.answers], timeline.best)
    for prompt in timeline.prompts:
        found, before = [], None
        for mark in shown:
            sample = mark.answers.get(prompt)
            if sample is None:
                continue
            facts_ = f"{sample.tokens} tokens{', cut' if sample.cut else ''}"
            # The answer before stands beside it, so what is gone needs no place in this one.
            new = [piece for piece in changes(before, sample) if piece[0] != "first"]
            found.append(Answer(mark.label, facts_, new))
            before = sample
        blocks.append(Answers(prompt, found))
    return blocks


def _some(marks: Sequence[Mark], best: Mark | None) -> list[Mark]:
    """As many as somebody reads: the first, the last, the best, and some between."""
    if len(marks) <= MOST_MARKS:
        return list(marks)
    every = (len(marks) - 1) / (MOST_MARKS - 1)
    places = {round(number * every) for number in range(MOST_MARKS)}
    return [mark for place, mark in enumerate(marks) if place in places or mark == best]

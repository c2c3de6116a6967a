"""Rules that compare the rows of a set with each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

from workbench.data.lint.buckets import Group, HashBuckets, Record, Records
from workbench.data.lint.model import Example, Finding
from workbench.data.lint.scripts import LATIN, asks_for, script_of

Keep = Callable[[Finding], object]

OTHERS = 5
MANY_PROMPTS, MANY_SHARE = 5, 0.005
REPEATED_LETTERS = 12
BIAS_SHARE, BIAS_DEVIATIONS = 0.6, 4.0
SCRIPT_SHARE, SCRIPT_ROWS = 0.1, 20
TRAIN, TEST = 0, 1
BOTH = 0b11
SLICE = 100_000
WORD, MIX = 2**64 - 1, 0x9E3779B97F4A7C15


class SamePrompts:
    """duplicate_row, duplicate_prompt, conflicting_labels and leakage."""

    def __init__(self, folder: Path) -> None:
        # Prompt, answers in either order, row, line, part, which of the answers is chosen, split.
        self._records = HashBuckets(folder, "<QQQQIBB")

    def see(self, example: Example, prompt: int, answers: tuple[int, ...], split: int) -> None:
        """Keep an example by the hashes of its prompt and its answers."""
        place, turned = (example.row, example.line, example.part), int(answers[0] > answers[-1])
        self._records.add(prompt, in_either_order(answers), *place, turned, split)

    def finish(self, keep: Keep) -> None:
        """Say what is there more than once."""
        for group in self._records.groups():
            for finding in _of_one_prompt(group):
                keep(finding)
        self._records.close()


def in_either_order(answers: tuple[int, ...]) -> int:
    """One hash of the hashes of one or two answers, whichever is the first."""
    return (min(answers) * MIX + max(answers)) & WORD


def _of_one_prompt(group: Group) -> Iterator[Finding]:
    held = _first_rows(group, TEST)
    rows = _first_rows(group, TRAIN)
    if held:
        words = f"held-out row {held[0]} has the same prompt"
        for _, _, row, line, part, _, split in group:
            if split == TRAIN:
                yield Finding("leakage", row, line, words, held[:OTHERS], part)
    # A prompt that a whole set has is gone through in slices, for the sake of memory.
    slices = 1 + len(group) // SLICE
    for number in range(slices):
        found = [one for one in group if one[6] == TRAIN and one[1] % slices == number]
        yield from _of_same_answers(found, rows)


def _of_same_answers(records: list[Record], rows: tuple[int, ...]) -> Iterator[Finding]:
    sides: dict[int, int] = {}
    for _, both, _, _, _, turned, _ in records:
        sides[both] = sides.get(both, 0) | 1 << turned
    first: dict[tuple[int, int], int] = {}
    for _, both, row, line, part, turned, _ in records:
        others = tuple(one for one in rows if one != row)[:OTHERS]
        if sides[both] == BOTH:
            words = "the same two answers stand the other way round"
            yield Finding("conflicting_labels", row, line, words, others, part)
        if (both, turned) in first:
            words = f"row {first[both, turned]} is the same"
            found = (first[both, turned],)
            yield Finding("duplicate_row", row, line, words, found, part)
        elif sides[both] != BOTH and row != rows[0]:
            words = f"row {rows[0]} has the same prompt"
            yield Finding("duplicate_prompt", row, line, words, others, part)
        first.setdefault((both, turned), row)


def _first_rows(group: Group, split: int) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for record in group:
        if record[6] == split:
            found[record[2]] = None
            if len(found) > OTHERS:
                break
    return tuple(found)


class RepeatedAnswers:
    """repeated_answer: a text of 12 letters or more that many prompts have.

    Many are 5 prompts, and half a percent of all pairs up to 50.
    """

    def __init__(self, folder: Path) -> None:
        self._records = HashBuckets(folder, "<QQQQIB")
        self._seen = 0

    def see(self, example: Example, prompt: int, answers: tuple[int, ...]) -> None:
        """Keep an example's answers by their hashes."""
        self._seen += 1
        for side, answer in enumerate(answers):
            if len(example.answers[side].strip()) >= REPEATED_LETTERS:
                self._records.add(answer, prompt, example.row, example.line, example.part, side)

    def finish(self, keep: Keep) -> None:
        """Say which answers are given again and again."""
        many = max(MANY_PROMPTS, min(50, math.ceil(MANY_SHARE * self._seen)))
        for group in self._records.groups(many):
            prompts = _different(group)
            if prompts < many:
                continue
            for _, _, row, line, part, side in group:
                words = f"{'rejected' if side else 'chosen'} is the answer to {prompts} prompts"
                keep(Finding("repeated_answer", row, line, words, part=part))
        self._records.close()


def _different(group: Group) -> int:
    slices = 1 + len(group) // SLICE
    return sum(
        len({record[1] for record in group if record[1] % slices == number})
        for number in range(slices)
    )


class LengthBias:
    """length_bias: which side is the longer one, in letters.

    Said where one side is longer in 60 % of the pairs or more, and by a sign test that is no
    chance: (longer - half) / sqrt(n) * 2 above 4, with ties left out.
    """

    def __init__(self) -> None:
        self.longer = self.shorter = self.pairs = 0
        self._letters = [0, 0]

    def see(self, example: Example) -> None:
        """Count a pair."""
        if len(example.answers) != 2:
            return
        chosen, rejected = map(len, example.answers)
        self.pairs += 1
        self.longer += chosen > rejected
        self.shorter += rejected > chosen
        self._letters[0] += chosen
        self._letters[1] += rejected

    def finish(self, keep: Keep) -> None:
        """Say so where one side is longer."""
        decided = self.longer + self.shorter
        if not decided:
            return
        deviations = 2 * (self.longer - decided / 2) / math.sqrt(decided)
        share = max(self.longer, self.shorter) / self.pairs
        if abs(deviations) <= BIAS_DEVIATIONS or share < BIAS_SHARE:
            return
        side = "chosen" if self.longer > self.shorter else "rejected"
        means = [letters / self.pairs for letters in self._letters]
        words = f"{side} is longer in {share:.0%} of {self.pairs} pairs "
        words += f"(mean {means[0]:.0f} letters chosen, {means[1]:.0f} rejected)"
        keep(Finding("length_bias", 0, 0, words))


class Scripts:
    """mixed_languages: answers in a script that less than a tenth of them have, without a cause.

    Neither are named that a prompt in the usual script asks for (`scripts.asks_for`).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[str, Records] = {}
        self._counts: dict[str, int] = {}

    def see(self, example: Example, *, said: bool) -> None:
        """Count a row's script, and keep its place unless something was said of it already."""
        name = script_of(example.answers[0])
        if not name:
            return
        self._counts[name] = self._counts.get(name, 0) + 1
        usual = name == LATIN and self._counts[name] == max(self._counts.values())
        if said or (not usual and asks_for(example.prompt, name)):
            return
        if name not in self._records:
            self._records[name] = Records(self._folder, "<QQI")
        self._records[name].add(example.row, example.line, example.part)

    def finish(self, keep: Keep) -> None:
        """Say which rows are in another script than nearly all."""
        total = sum(self._counts.values())
        main = max(self._counts, key=self._counts.__getitem__, default="")
        for name, records in self._records.items():
            rare = self._counts[name] <= SCRIPT_SHARE * total
            if total >= SCRIPT_ROWS and name != main and rare:
                words = f"the answer is in {name}, most are in {main}"
                for row, line, part in records:
                    keep(Finding("mixed_languages", row, line, words, part=part))
            records.close()

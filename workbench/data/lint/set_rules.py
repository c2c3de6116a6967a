"""Rules that compare the rows of a set with each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

from workbench.data.lint.buckets import HashBuckets, hash_of
from workbench.data.lint.model import Example, Finding
from workbench.data.lint.scripts import script_of

Keep = Callable[[Finding], object]

OTHERS = 5
MANY_PROMPTS, MANY_SHARE = 5, 0.005
REPEATED_LETTERS = 12
BIAS_SHARE, BIAS_DEVIATIONS = 0.6, 4.0
SCRIPT_SHARE, SCRIPT_ROWS = 0.1, 20
TRAIN, TEST = 0, 1


class SamePrompts:
    """duplicate_row, duplicate_prompt, conflicting_labels and leakage."""

    def __init__(self, folder: Path) -> None:
        # Prompt, answers in either order, row, line, part, which of the answers is chosen, split.
        self._records = HashBuckets(folder, "<QQQQIBB")

    def see(self, example: Example, prompt: int, split: int) -> None:
        """Keep an example."""
        answers = [answer.strip() for answer in example.answers]
        ordered = sorted(answers)
        both = hash_of("\0".join(ordered))
        turned = int(answers != ordered)
        place = (example.row, example.line, example.part)
        self._records.add(prompt, both, *place, turned, split)

    def finish(self, keep: Keep) -> None:
        """Say what is there more than once."""
        for group in self._records.groups():
            if len(group) > 1:
                for finding in _of_one_prompt(group):
                    keep(finding)
        self._records.close()


def _of_one_prompt(group: list[tuple[int, ...]]) -> Iterator[Finding]:
    trained = [record for record in group if record[6] == TRAIN]
    held = _rows(record for record in group if record[6] == TEST)
    first: dict[tuple[int, int], int] = {}
    sides: dict[int, set[int]] = {}
    for _, both, _, _, _, turned, _ in trained:
        sides.setdefault(both, set()).add(turned)
    rows = _rows(trained)
    for _, both, row, line, part, turned, _ in trained:
        if held:
            words = f"held-out row {held[0]} has the same prompt"
            yield Finding("leakage", row, line, words, held[:OTHERS], part)
        others = tuple(one for one in rows if one != row)[:OTHERS]
        if len(sides[both]) > 1:
            words = "the same two answers stand the other way round"
            yield Finding("conflicting_labels", row, line, words, others, part)
        if (both, turned) in first:
            words = f"row {first[both, turned]} is the same"
            found = (first[both, turned],)
            yield Finding("duplicate_row", row, line, words, found, part)
        elif others and first and first.get((both, 1 - turned)) is None:
            words = f"row {rows[0]} has the same prompt"
            yield Finding("duplicate_prompt", row, line, words, others, part)
        first.setdefault((both, turned), row)


def _rows(records: object) -> tuple[int, ...]:
    return tuple(dict.fromkeys(record[2] for record in records))  # type: ignore[attr-defined]


class RepeatedAnswers:
    """repeated_answer: a text of 12 letters or more that many prompts have.

    Many are 5 prompts, and half a percent of all pairs up to 50.
    """

    def __init__(self, folder: Path) -> None:
        self._records = HashBuckets(folder, "<QQQQIB")
        self._seen = 0

    def see(self, example: Example, prompt: int) -> None:
        """Keep an example's answers."""
        self._seen += 1
        for side, answer in enumerate(example.answers):
            text = answer.strip()
            if len(text) >= REPEATED_LETTERS:
                place = (example.row, example.line, example.part)
                self._records.add(hash_of(text), prompt, *place, side)

    def finish(self, keep: Keep) -> None:
        """Say which answers are given again and again."""
        many = max(MANY_PROMPTS, min(50, math.ceil(MANY_SHARE * self._seen)))
        for group in self._records.groups():
            prompts = len({record[1] for record in group}) if len(group) >= many else 0
            if prompts < many:
                continue
            for _, _, row, line, part, side in group:
                words = f"{'rejected' if side else 'chosen'} is the answer to {prompts} prompts"
                keep(Finding("repeated_answer", row, line, words, part=part))
        self._records.close()


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
    """mixed_languages: rows in a script that less than a tenth of the rows have."""

    def __init__(self, folder: Path) -> None:
        self._records = HashBuckets(folder, "<QQQI")
        self._counts: dict[str, int] = {}

    def see(self, example: Example) -> None:
        """Keep the script of a row's answers."""
        name = script_of(example.answers[0] if example.answers else "")
        if not name:
            return
        if name not in self._counts:
            self._counts[name] = 0
        self._counts[name] += 1
        number = list(self._counts).index(name)
        self._records.add(number, example.row, example.line, example.part)

    def finish(self, keep: Keep) -> None:
        """Say which rows are in another script than nearly all."""
        names = list(self._counts)
        total = sum(self._counts.values())
        if total >= SCRIPT_ROWS and len(names) > 1:
            main = max(self._counts, key=self._counts.__getitem__)
            for group in self._records.groups():
                name = names[group[0][0]]
                if name == main or self._counts[name] > SCRIPT_SHARE * total:
                    continue
                for _, row, line, part in group:
                    words = f"the answer is in {name}, most are in {main}"
                    keep(Finding("mixed_languages", row, line, words, part=part))
        self._records.close()

"""All rules on one data set: every example is seen once, then they are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from workbench.data.lint.buckets import hash_of
from workbench.data.lint.model import Example, Finding
from workbench.data.lint.row_rules import row_findings
from workbench.data.lint.rules import RULES
from workbench.data.lint.set_rules import (
    TEST,
    TRAIN,
    LengthBias,
    RepeatedAnswers,
    SamePrompts,
    Scripts,
    in_either_order,
)

__all__ = ["RULES", "Lint"]


class Lint:
    """What is wrong with a data set, as far as its texts tell.

    Memory does not grow with the data: what has to be compared lies on disk as hashes.

    Args:
        stage: "dpo" or "sft".
        keep: Takes each finding as it is made.
        folder: For temporary files.
    """

    def __init__(self, stage: str, keep: Callable[[Finding], object], *, folder: Path) -> None:
        self.stage = stage
        self._out = keep
        self._counts: Counter[str] = Counter()
        self._prompts = SamePrompts(folder)
        self._answers = RepeatedAnswers(folder)
        self._lengths = LengthBias()
        self._scripts = Scripts(folder)

    def see(self, example: Example, *, split: str = "train") -> None:
        """Look at one example; held-out ones are only compared with those that are trained on."""
        asked = example.prompt.strip()
        prompt = hash_of(asked)
        answers = tuple(hash_of(answer.strip()) for answer in example.answers)
        # Whole texts, and pairs of which nobody asked anything, are known by their answers.
        same = prompt if asked else in_either_order(answers)
        if split != "train":
            self._prompts.see(example, same, answers, TEST)
            return
        said = set()
        for rule, detail in row_findings(example):
            if rule not in said:
                said.add(rule)
                self._keep(Finding(rule, example.row, example.line, detail, part=example.part))
        self._prompts.see(example, same, answers, TRAIN)
        self._answers.see(example, prompt, answers)
        self._lengths.see(example)
        self._scripts.see(example, said="mixed_languages" in said)

    def finish(self) -> dict[str, int]:
        """Compare the examples with each other; counts of all findings by rule."""
        for rule in (self._prompts, self._answers, self._lengths, self._scripts):
            rule.finish(self._keep)
        return dict(self._counts)

    def _keep(self, finding: Finding) -> None:
        self._counts[finding.rule] += 1
        self._out(finding)

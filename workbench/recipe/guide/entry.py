"""What is said of one setting, and how a section of the form is written down."""

from __future__ import annotations

from dataclasses import dataclass

SECTIONS = ("Basics", "LoRA", "SFT", "DPO", "Data", "Training", "Evaluation", "Distributed")
"""Headings of the form, in its order; what has no guide stands under one more, at the end."""

Usual = str | dict[str, str]
Entry = tuple[str, str, str, Usual, str]
"""TRL's name, label, unit, usual values, effect."""


@dataclass(frozen=True)
class Guide:
    """A setting in a few words.

    Attributes:
        label: Short name, at most 26 characters.
        section: Heading of the form under which it stands.
        unit: What a number counts, empty where nothing needs saying.
        usual: Values that people use with LoRA, by stage where they differ.
        effect: What it does and what it costs, in one to three sentences.
    """

    label: str
    section: str
    unit: str = ""
    usual: Usual = ""
    effect: str = ""

    def usual_in(self, stage: str) -> str:
        """The usual values in a stage, `sft` or `dpo`; of both where they do not differ."""
        return self.usual if isinstance(self.usual, str) else self.usual.get(stage, "")


def section(name: str, *entries: Entry) -> dict[str, Guide]:
    """The guides of one section, by TRL's name of the setting."""
    return {
        key: Guide(label, name, unit, usual, effect) for key, label, unit, usual, effect in entries
    }

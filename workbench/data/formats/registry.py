"""All shapes, by name."""

from __future__ import annotations

from workbench.data.formats import (
    instructions,
    pairs,
    pairwise,
    ranked,
    transcripts,
    trees,
    trl_pairs,
    unfit,
)
from workbench.data.formats.shape import Shape

_MODULES = (trl_pairs, transcripts, pairs, pairwise, ranked, trees, instructions, unfit)
ALL: dict[str, Shape] = {shape.name: shape for module in _MODULES for shape in module.SHAPES}

ALIKE = (
    "explicit ultrafeedback hh_rlhf implicit sharegpt_pairs openai_preference alpaca_pairs "
    "orca_pairs swift_pairs pair_columns pair_texts",
    "arena shp pairwise_label",
    "rated_generations ranked_answers ordered_answers checked_solutions answer_tree",
    "messages sharegpt",
    "prompt_completion alpaca question_answer instances",
)
"""Shapes that take the same columns for the same thing: one is no second reading of another."""


def alike(name: str, other: str) -> bool:
    """Whether two shapes are the same reading of their columns."""
    return name == other or any({name, other} <= set(group.split()) for group in ALIKE)

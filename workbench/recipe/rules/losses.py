"""Rules on the losses."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.base.problems import Problem
from workbench.recipe.rules.base import DPO_RULES, RULES, Settings, rule

F_DIVERGENCE_LOSSES = (
    *("sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft"),
)
SMOOTHED_LOSSES = ("exo_pair", "robust", "aot", "aot_unpaired")
"""The losses in which TRL 1.16 reads label_smoothing."""
SORTED_LOSSES = ("aot", "aot_unpaired")
LEAST_BETA, MOST_BETA = 0.001, 2.0
DENSE = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "smollm3", "gpt2")
"""Model types without experts."""


@rule(DPO_RULES)
def weights_for_other_losses(s: Settings) -> Iterator[Problem]:
    """One weight per loss, none below zero."""
    weights, losses = s.get("loss_weights"), s.losses()
    if not isinstance(weights, list):
        return
    if len(weights) != len(losses):
        what = f"{len(weights)} loss_weights for {len(losses)} loss_type entries"
        yield Problem(what, s.where("loss_weights"), "Give one weight per loss.")
    elif any(isinstance(weight, int | float) and weight < 0 for weight in weights):
        what = "a loss weight below 0 trains against its loss"
        yield Problem(what, s.where("loss_weights"), "Give numbers above 0.")


@rule(DPO_RULES)
def losses_twice(s: Settings) -> Iterator[Problem]:
    """A loss that is named twice counts twice."""
    twice = sorted({loss for loss in s.losses() if s.losses().count(loss) > 1})
    if twice:
        what = f"loss_type names {', '.join(twice)} more than once"
        yield Problem(what, s.where("loss_type"), "Name it once, with a weight.", "warning")


@rule(DPO_RULES)
def no_preference_loss(s: Settings) -> Iterator[Problem]:
    """The sft loss reads the chosen answers alone."""
    if s.losses() == ["sft"]:
        what = "loss_type: sft alone learns no preference"
        yield Problem(what, s.where("loss_type"), "Write [sigmoid, sft].", "warning")


@rule(DPO_RULES)
def exo_without_smoothing(s: Settings) -> Iterator[Problem]:
    """EXO's target takes the logarithm of label_smoothing (arXiv 2402.00856)."""
    if "exo_pair" in s.losses() and not s.get("label_smoothing"):
        what = "exo_pair needs label smoothing"
        yield Problem(what, s.where("loss_type"), "Set label_smoothing: 0.001.")


@rule(DPO_RULES)
def robust_smoothing(s: Settings) -> Iterator[Problem]:
    """The robust loss divides by 1 - 2 label_smoothing (arXiv 2403.00409)."""
    share = s.number("label_smoothing")
    if "robust" not in s.losses() or share is None:
        return
    if share >= 0.5:
        what = f"robust cannot have label_smoothing {share:g}"
        hint = "It is the share of labels that are wrong: write less than 0.5, such as 0.1."
        yield Problem(what, s.where("label_smoothing"), hint)
    elif share == 0:
        what = "robust without label_smoothing is the sigmoid loss"
        yield Problem(what, s.where("loss_type"), "Set label_smoothing: 0.1.", "warning")


@rule(DPO_RULES)
def smoothing_without_use(s: Settings) -> Iterator[Problem]:
    """Most losses of TRL 1.16 do not read label_smoothing."""
    if s.get("label_smoothing") and not set(s.losses()) & set(SMOOTHED_LOSSES):
        what = f"label_smoothing has no effect on {', '.join(s.losses())}"
        hint = f"It acts on {', '.join(SMOOTHED_LOSSES)}."
        yield Problem(what, s.where("label_smoothing"), hint, "warning")


@rule(DPO_RULES)
def divergence_without_sense(s: Settings) -> Iterator[Problem]:
    """Another divergence than reverse KL is defined for the losses of reward differences."""
    wrong = [loss for loss in s.losses() if loss not in F_DIVERGENCE_LOSSES]
    kind = s.get("f_divergence_type")
    if kind != "reverse_kl" and wrong:
        what = f"f_divergence_type: {kind} is not defined for {', '.join(wrong)}"
        hint = f"Use reverse_kl, or one of {', '.join(F_DIVERGENCE_LOSSES)}."
        yield Problem(what, s.where("f_divergence_type"), hint)


@rule(DPO_RULES)
def weighting_of_sorted_pairs(s: Settings) -> Iterator[Problem]:
    """AOT sorts the pairs of a batch, so that a pair's weight would meet another pair."""
    wrong = [loss for loss in s.losses() if loss in SORTED_LOSSES]
    if s.get("use_weighting") and wrong:
        what = f"use_weighting is not there for {', '.join(wrong)}"
        yield Problem(what, s.where("use_weighting"), "Remove use_weighting.")


@rule(DPO_RULES)
def moving_reference(s: Settings) -> Iterator[Problem]:
    """A reference that moves is a model of its own, and cannot be asked beforehand."""
    if not s.get("sync_ref_model"):
        return
    where = s.where("sync_ref_model")
    if s.get("use_peft"):
        yield Problem("sync_ref_model does not work with LoRA", where, "Remove sync_ref_model.")
    if s.get("precompute_ref_log_probs"):
        what = "sync_ref_model and precompute_ref_log_probs exclude each other"
        yield Problem(what, where, "Remove precompute_ref_log_probs.")


@rule(DPO_RULES)
def beta_far_off(s: Settings) -> Iterator[Problem]:
    """beta weighs how far the policy may go from the reference."""
    beta = s.number("beta")
    if beta is None or beta <= 0 or LEAST_BETA <= beta <= MOST_BETA or s.losses() == ["sft"]:
        return
    does = "the reference hardly holds it back" if beta < LEAST_BETA else "it hardly moves"
    yield Problem(f"beta {beta:g}: {does}", s.where("beta"), "Usual are 0.01 to 0.5.", "warning")


@rule(DPO_RULES)
def length_weight_out_of_range(s: Settings) -> Iterator[Problem]:
    """LD-DPO weighs the tail of the longer answer by a share (arXiv 2409.06411)."""
    share = s.number("ld_alpha")
    if share is not None and not 0 <= share <= 1:
        what = f"ld_alpha {share:g} is no share of 0 to 1"
        yield Problem(what, s.where("ld_alpha"), "Set ld_alpha: 0.5, or delete it.")


@rule(RULES)
def smoothing_of_the_trainer(s: Settings) -> Iterator[Problem]:
    """transformers' label_smoothing_factor: DPO never reads it, SFT pays a second pass for it."""
    if not s.get("label_smoothing_factor"):
        return
    where = s.where("label_smoothing_factor")
    if s.stage == "dpo":
        what = "label_smoothing_factor has no effect on DPO"
        yield Problem(what, where, "DPO's own is called label_smoothing.", "warning")
    else:
        what = "label_smoothing_factor makes each step run the model twice, and will go from TRL 2"
        yield Problem(what, where, "Delete it.", "warning")


@rule(RULES)
def experts_that_are_not_there(s: Settings) -> Iterator[Problem]:
    """TRL refuses a loss on the load of experts that the model does not have."""
    if s.get("router_aux_loss_coef") and s.model.get("model_type") in DENSE:
        what = "router_aux_loss_coef is for models of experts, and this one has none"
        yield Problem(what, s.where("router_aux_loss_coef"), "Delete it.")

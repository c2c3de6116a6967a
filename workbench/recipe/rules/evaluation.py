"""Rules on evaluations and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.base.problems import Problem
from workbench.recipe.rules.base import RULES, Settings, rule

LARGE_EVALUATION = 8
"""Times the training batch that an evaluation batch may be."""
LONG_TRAINING = 100
"""Steps from which on it hurts to lose them all."""


@rule(RULES)
def best_model_without_evaluation(s: Settings) -> Iterator[Problem]:
    """The best model is found by evaluations."""
    if s.get("load_best_model_at_end") and s.get("eval_strategy") == "no":
        what = "load_best_model_at_end needs evaluations"
        yield Problem(what, s.where("load_best_model_at_end"), "Set eval_strategy: steps.")


@rule(RULES)
def best_model_without_its_checkpoint(s: Settings) -> Iterator[Problem]:
    """transformers wants a checkpoint at every evaluation that may be the best."""
    strategy = s.get("eval_strategy")
    if not s.get("load_best_model_at_end") or strategy == "no":
        return
    where = s.where("load_best_model_at_end")
    if s.get("save_strategy") not in (strategy, "best"):
        what = f"load_best_model_at_end needs checkpoints as often as evaluations ({strategy})"
        yield Problem(what, where, f"Set save_strategy: {strategy}.")
        return
    saved, evaluated = s.number("save_steps"), s.number("eval_steps") or s.number("logging_steps")
    if strategy == "steps" and saved and evaluated and saved >= 1 and saved % evaluated:
        what = f"save_steps {saved:g} is no multiple of eval_steps {evaluated:g}"
        hint = f"load_best_model_at_end needs that: set save_steps: {evaluated:g}."
        yield Problem(what, where, hint)


@rule(RULES)
def nothing_saved(s: Settings) -> Iterator[Problem]:
    """Without checkpoints a run that ends early begins anew."""
    if s.get("save_strategy") == "no":
        what = "without checkpoints a run that is killed cannot go on"
        yield Problem(what, s.where("save_strategy"), "Set save_strategy: steps.", "warning")


@rule(RULES)
def evaluation_settings_without_evaluation(s: Settings) -> Iterator[Problem]:
    """eval_steps alone turns no evaluation on."""
    if s.has("eval_steps") and s.get("eval_strategy") == "no":
        what = "eval_steps has no effect without evaluations"
        yield Problem(what, s.where("eval_steps"), "Set eval_strategy: steps.", "warning")


@rule(RULES)
def evaluation_at_the_start_without_evaluation(s: Settings) -> Iterator[Problem]:
    """eval_on_start evaluates at once, and there is no test split while eval_strategy is no."""
    if s.get("eval_on_start") and s.get("eval_strategy") == "no":
        what = "eval_on_start needs a test split, and evaluation is off"
        yield Problem(what, s.where("eval_on_start"), "Set eval_strategy: steps.")


@rule(RULES)
def evaluation_after_the_end(s: Settings) -> Iterator[Problem]:
    """The first evaluation would come behind the last step; only the one at the end is left."""
    every, steps = s.number("eval_steps"), s.steps
    if s.get("eval_strategy") != "steps" or not s.has("eval_steps") or not every or not steps:
        return
    if every > steps:
        what = f"eval_steps {every:g} is more than the {steps} steps: one evaluation, at the end"
        hint = f"Set eval_steps: {max(1, steps // 4)}."
        yield Problem(what, s.where("eval_steps"), hint, "warning")


@rule(RULES)
def large_evaluation_batches(s: Settings) -> Iterator[Problem]:
    """A batch of an evaluation keeps no gradients, yet its logits and activations add up."""
    key = "per_device_eval_batch_size"
    batch, train = s.number(key), s.number("per_device_train_batch_size")
    if s.get("eval_strategy") == "no" or not s.has(key) or not batch or not train:
        return
    if batch > LARGE_EVALUATION * train > 0:
        what = f"{key} {batch:g} is {batch / train:g} times that of training: memory may not do"
        yield Problem(what, s.where(key), f"Set {key}: {2 * train:g}.", "warning")


@rule(RULES)
def checkpoints_without_optimizer(s: Settings) -> Iterator[Problem]:
    """`resume` takes no checkpoint that has no optimizer state."""
    if s.get("save_only_model") and s.get("save_strategy") != "no":
        what = "save_only_model leaves out the optimizer: a run that is killed cannot go on"
        yield Problem(what, s.where("save_only_model"), "Delete save_only_model.", "warning")


@rule(RULES)
def no_checkpoint_on_the_way(s: Settings) -> Iterator[Problem]:
    """A long training whose first checkpoint is its last."""
    every, steps = s.number("save_steps"), s.steps
    if s.get("save_strategy") != "steps" or not s.has("save_steps") or not every or not steps:
        return
    if steps >= LONG_TRAINING and every > steps:
        what = f"save_steps {every:g} is more than the {steps} steps: no checkpoint before the end"
        hint = f"Set save_steps: {steps // 5}."
        yield Problem(what, s.where("save_steps"), hint, "warning")


@rule(RULES)
def plateau_without_evaluation(s: Settings) -> Iterator[Problem]:
    """These schedules move at evaluations only."""
    name = s.get("lr_scheduler_type")
    if name in ("reduce_lr_on_plateau", "greedy") and s.get("eval_strategy") == "no":
        what = f"{name} changes the learning rate at evaluations, and there are none"
        hint = "Set eval_strategy: steps, or another lr_scheduler_type."
        yield Problem(what, s.where("lr_scheduler_type"), hint, "warning")

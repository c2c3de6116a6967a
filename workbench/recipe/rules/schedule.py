"""Rules on the learning rate and the length of the training."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.base.problems import Problem
from workbench.recipe.rules.base import RULES, Settings, rule

LORA_RATES = {"sft": (1e-5, 5e-3, "1e-4 to 5e-4"), "dpo": (1e-6, 5e-4, "5e-6 to 5e-5")}
FULL_RATES = {"sft": (1e-7, 1e-3, "1e-5 to 5e-5"), "dpo": (1e-8, 1e-5, "1e-7 to 1e-6")}
"""Learning rates below which a model hardly moves, above which it falls apart, and usual ones."""
SCHEDULE_VALUES = {
    "cosine_with_min_lr": ("min_lr_rate", "min_lr"),
    "cosine_warmup_with_min_lr": ("min_lr_rate", "min_lr"),
    "warmup_stable_decay": ("num_decay_steps",),
}
"""What a schedule must find in lr_scheduler_kwargs: one of these."""
EXAMPLES = {"min_lr_rate": 0.1, "num_decay_steps": 100}
POLYNOMIAL_END = 1e-7
MANY_EPOCHS = 20


@rule(RULES)
def learning_rate_far_off(s: Settings) -> Iterator[Problem]:
    """LoRA wants a learning rate ten to a hundred times that of full training."""
    rate, lora = s.number("learning_rate"), bool(s.get("use_peft"))
    if rate is None or not 0 < rate <= 1:
        return
    low, high, usual = (LORA_RATES if lora else FULL_RATES)[s.stage]
    kind = "LoRA" if lora else "training all weights"
    if not s.has("learning_rate") and s.stage == "dpo" and lora:
        what = f"learning_rate is not set, and TRL's {rate:g} is for training all weights"
    elif rate < low:
        what = f"learning_rate {rate:g} is very small for {kind}: it will hardly learn"
    elif rate > high:
        what = f"learning_rate {rate:g} is very large for {kind}: it may diverge"
    else:
        return
    yield Problem(what, s.where("learning_rate"), f"Usual are {usual}.", "warning")


@rule(RULES)
def steps_and_epochs(s: Settings) -> Iterator[Problem]:
    """max_steps wins over num_train_epochs."""
    if (s.number("max_steps") or -1) > 0 and s.has("num_train_epochs"):
        what = f"max_steps {s.get('max_steps')} wins, num_train_epochs has no effect"
        yield Problem(what, s.where("num_train_epochs"), "Delete one of the two.", "warning")


@rule(RULES)
def warmup_without_end(s: Settings) -> Iterator[Problem]:
    """The learning rate never arrives where the warmup is as long as the training."""
    warmup, steps = s.number("warmup_steps"), s.steps
    if warmup and steps and warmup >= 1 and 0 < steps <= warmup:
        what = f"warmup_steps {warmup:g} leaves none of the {steps} steps at the full rate"
        yield Problem(what, s.where("warmup_steps"), "Write 0.1 for a tenth of them.", "warning")


@rule(RULES)
def nothing_logged(s: Settings) -> Iterator[Problem]:
    """A run whose first metric comes after its last step shows nothing."""
    logged, steps = s.number("logging_steps"), s.steps
    if not s.has("logging_steps"):
        # TRL's default is not the person's word; only a number of steps beside it is.
        steps = int(s.number("max_steps") or 0)
    if logged and steps and 0 < steps < logged and s.get("logging_strategy") == "steps":
        what = f"logging_steps {logged:g} is more than the {steps} steps: no metric will come"
        yield Problem(what, s.where("logging_steps"), "Set logging_steps: 1.", "warning")


@rule(RULES)
def warmup_without_effect(s: Settings) -> Iterator[Problem]:
    """`constant` takes no warmup; transformers drops it silently."""
    if s.get("lr_scheduler_type") == "constant" and s.number("warmup_steps"):
        what = "lr_scheduler_type: constant has no warmup, warmup_steps has no effect"
        hint = "Set lr_scheduler_type: constant_with_warmup, or delete warmup_steps."
        yield Problem(what, s.where("warmup_steps"), hint, "warning")


@rule(RULES)
def warmup_that_is_missing(s: Settings) -> Iterator[Problem]:
    """A schedule named after its warmup, without one."""
    if s.get("lr_scheduler_type") == "constant_with_warmup" and not s.get("warmup_steps"):
        what = "constant_with_warmup without warmup_steps is constant"
        yield Problem(what, s.where("lr_scheduler_type"), "Set warmup_steps: 0.1.", "warning")


@rule(RULES)
def schedule_without_its_values(s: Settings) -> Iterator[Problem]:
    """Schedules that cannot be made without values of their own."""
    name, given = str(s.get("lr_scheduler_type")), s.get("lr_scheduler_kwargs")
    needed = SCHEDULE_VALUES.get(name, ())
    # JSON text, which TRL takes as well, is left to it.
    known = not needed or (isinstance(given, str) and bool(given))
    if not known and not (isinstance(given, dict) and set(needed) & set(given)):
        what = f"lr_scheduler_type: {name} needs {' or '.join(needed)}"
        hint = f"Write lr_scheduler_kwargs: {{{needed[0]}: {EXAMPLES[needed[0]]}}}."
        yield Problem(what, s.where("lr_scheduler_type"), hint)


@rule(RULES)
def polynomial_below_its_end(s: Settings) -> Iterator[Problem]:
    """The polynomial schedule ends at 1e-7 unless told otherwise, and refuses to rise to it."""
    rate, given = s.number("learning_rate"), s.get("lr_scheduler_kwargs")
    if s.get("lr_scheduler_type") != "polynomial" or given or rate is None:
        return
    if rate <= POLYNOMIAL_END:
        what = f"learning_rate {rate:g} is not above {POLYNOMIAL_END:g}, where polynomial ends"
        hint = "Write lr_scheduler_kwargs: {lr_end: 0}."
        yield Problem(what, s.where("learning_rate"), hint)


@rule(RULES)
def no_clipping(s: Settings) -> Iterator[Problem]:
    """One odd batch may then spoil the weights."""
    if s.has("max_grad_norm") and s.number("max_grad_norm") == 0:
        what = "max_grad_norm 0 turns clipping off: one odd batch may spoil the weights"
        yield Problem(what, s.where("max_grad_norm"), "Set max_grad_norm: 1.0.", "warning")


@rule(RULES)
def many_epochs(s: Settings) -> Iterator[Problem]:
    """Preferences are learnt in one to three passes; more of them learn the rows by heart."""
    epochs = s.number("num_train_epochs")
    if epochs is not None and epochs > MANY_EPOCHS and not (s.number("max_steps") or -1) > 0:
        what = (
            f"num_train_epochs {epochs:g} shows each row {epochs:g} times: it learns them by heart"
        )
        yield Problem(what, s.where("num_train_epochs"), "Usual are 1 to 3.", "warning")

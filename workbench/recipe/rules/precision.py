"""Rules on number formats and quantized weights."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.base.problems import Problem
from workbench.recipe.rules.base import RULES, Settings, rule


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
def tf32_on_a_cpu(s: Settings) -> Iterator[Problem]:
    """transformers refuses tf32 where it finds no GPU that has it."""
    if s.get("tf32") is True and s.get("use_cpu"):
        what = "tf32 is a number format of GPUs, and use_cpu asks for none"
        yield Problem(what, s.where("tf32"), "Delete tf32.")


@rule(RULES)
def flash_attention_in_fp32(s: Settings) -> Iterator[Problem]:
    """The kernels of flash attention take bf16 and fp16 only."""
    attention = str(s.get("attn_implementation") or "")
    if not attention.startswith("flash_attention") or s.get("dtype") != "float32":
        return
    if s.get("bf16") is False and not s.get("fp16"):
        what = f"{attention} cannot compute in float32"
        hint = "Set dtype: bfloat16, or attn_implementation: sdpa."
        yield Problem(what, s.where("attn_implementation"), hint)

"""What a stage would make of its model and tokenizer, found without loading any weights."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem
from workbench.recipe.rules.data import context_length
from workbench.worker.model import load_tokenizer
from workbench.worker.stage_config import StageConfig

TARGETS = "lora_target_modules"
SHOWN_NAMES = 12


@dataclass(frozen=True)
class Adapted:
    """What LoRA would train.

    Attributes:
        modules: Modules that get an adapter.
        trainable, total: Parameters, exact.
    """

    modules: int
    trainable: int
    total: int


def check_device(config: StageConfig) -> Iterator[Problem]:
    """Number formats and packages that this machine does not have."""
    import torch

    arguments = config.training
    on_gpu = torch.cuda.is_available() and not arguments.use_cpu
    if arguments.fp16 and not on_gpu:
        yield Problem("fp16 needs a GPU, and there is none", "fp16", "Delete fp16.")
    if arguments.bf16 and on_gpu and not torch.cuda.is_bf16_supported():
        name = torch.cuda.get_device_name()
        yield Problem(f"{name} has no bf16", "bf16", "Set bf16: false and fp16: true.")
    bits = next((k for k in ("load_in_4bit", "load_in_8bit") if getattr(config.model, k)), "")
    if bits and find_spec("bitsandbytes") is None:
        what = f"{bits} needs the package bitsandbytes, which is not installed"
        yield Problem(what, bits, "Install it: pip install bitsandbytes.")
    if bits and not torch.cuda.is_available():
        hint = f"Delete {bits}, or train on a GPU."
        yield Problem(f"{bits} needs a GPU, and there is none", bits, hint, "warning")


def skeleton(config: StageConfig) -> Any:
    """The stage's model without weights: every module, no memory."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    init = config.training.model_init_kwargs or {}
    trust = bool(init.get("trust_remote_code"))
    known = AutoConfig.from_pretrained(
        config.model.model_name_or_path,
        revision=init.get("revision") or "main",
        trust_remote_code=trust,
    )
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(known, trust_remote_code=trust)


def check_context(config: StageConfig, model: Any) -> Iterator[Problem]:
    """max_length beyond the positions of the model as transformers reads it."""
    text_config = model.config.get_text_config()
    most, length = context_length(text_config.to_dict()), config.training.max_length
    if most and length and length > most:
        what = f"max_length {length} is beyond the model's {most} positions"
        yield Problem(what, "max_length", f"Set max_length: {most}.", "warning")


def check_modules(config: StageConfig, model: Any) -> Iterator[Problem]:
    """Names among the LoRA settings that the model does not have, with the nearest that it has."""
    if not config.model.use_peft:
        return
    modules = [name for name, _ in model.named_modules() if name]
    parameters = [name for name, _ in model.named_parameters()]
    for key, known in (
        (TARGETS, modules),
        ("lora_modules_to_save", modules),
        ("lora_target_parameters", parameters),
    ):
        wanted = getattr(config.model, key)
        if isinstance(wanted, str):
            yield from _check_pattern(key, wanted, known)
            continue
        for name in wanted or ():
            if not any(one == name or one.endswith(f".{name}") for one in known):
                yield unknown_name(key, name, known)


def _check_pattern(key: str, pattern: str, known: list[str]) -> Iterator[Problem]:
    """PEFT fits a text to whole names; `all-linear` is a word of its own."""
    try:
        found = pattern == "all-linear" or any(re.fullmatch(pattern, one) for one in known)
    except re.error as error:
        hint = "Write a list of names, or all-linear."
        yield Problem(f"{key}: {pattern} is no pattern ({error})", key, hint)
        return
    if not found:
        yield unknown_name(key, pattern, known)


def unknown_name(key: str, name: str, known: list[str]) -> Problem:
    """The message about a name that the model does not have."""
    leaves = sorted({one.rsplit(".", 1)[-1] for one in known} - {str(n) for n in range(1000)})
    near = difflib.get_close_matches(name.rsplit(".", 1)[-1], leaves, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    shown = ", ".join(leaves[:SHOWN_NAMES]) + (", ..." if len(leaves) > SHOWN_NAMES else "")
    return Problem(f"{key}: the model has no {name}", key, f"{hint}It has {shown}.")


def adapted(config: StageConfig, model: Any) -> Adapted:
    """What PEFT makes of the model with the stage's settings; the model itself is changed."""
    from peft import get_peft_model
    from peft.tuners.tuners_utils import BaseTunerLayer
    from trl import get_peft_config

    settings = get_peft_config(config.model)
    if settings is not None:
        model = get_peft_model(model, settings, low_cpu_mem_usage=True)
    layers = sum(isinstance(module, BaseTunerLayer) for module in model.modules())
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return Adapted(layers, sum(n for n, grad in sizes if grad), sum(n for n, _ in sizes))


def stage_tokenizer(config: StageConfig, earlier: Any) -> Any:
    """The tokenizer that a stage trains with, its chat template as the stage sets it.

    Args:
        earlier: That of the stage before, which DPO goes on with.
    """
    if earlier is not None:
        return earlier
    settings = {
        "model_name_or_path": config.model.model_name_or_path,
        "model_revision": config.model.model_revision,
        "trust_remote_code": config.training.trust_remote_code,
    }
    tokenizer = load_tokenizer(settings)
    template = getattr(config.training, "chat_template_path", None)
    if template and re.search(r"\.(jinja|j2)$", template) and Path(template).is_file():
        tokenizer.chat_template = Path(template).read_text(encoding="utf-8")
    elif template:
        tokenizer.chat_template = load_tokenizer({"model_name_or_path": template}).chat_template
    return tokenizer


def check_tokenizer(config: StageConfig, tokenizer: Any, model: Any) -> Iterator[Problem]:
    """Special tokens that are missing, and tokens that the model has no embedding for."""
    if tokenizer.eos_token is None:
        hint = "Take a model whose tokenizer_config.json names an eos_token."
        what = "the tokenizer has no end-of-text token, so that no answer would ever end"
        yield Problem(what, "model_name_or_path", hint)
    vocabulary = tokenizer.get_vocab()
    for key in ("eos_token", "pad_token"):
        asked = getattr(config.training, key, None)
        if asked and asked not in vocabulary:
            yield Problem(f"the tokenizer has no token {asked}", key, f"Delete {key}.")
    size = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > size:
        what = f"the tokenizer has {len(tokenizer)} tokens, the model {size}"
        yield Problem(what, "model_name_or_path", "Take the tokenizer that the model came with.")

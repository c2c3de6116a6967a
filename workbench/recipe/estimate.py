"""What a recipe amounts to: effective batch, steps, trainable parameters, memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.base.problems import ProblemError
from workbench.recipe.base_model import model_config
from workbench.recipe.check_data import count_rows
from workbench.recipe.recipe import Recipe
from workbench.recipe.schema import load_schema

Settings = Callable[[str], Any]
"""A stage's value of a setting, or TRL's default of it."""

LLAMA_LIKE = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "smollm3")
SIZE_KEYS = (
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "num_hidden_layers",
    "vocab_size",
)
ADAM_STATES_BYTES = 8
"""Two fp32 moments per trained parameter."""
SMALL_STATES_BYTES = {"8bit": 2, "adafactor": 0, "sgd": 0}
"""The same of optimizers that keep less, by a part of their name."""
PROCESS_BYTES = 700_000_000
"""What the libraries take before any model is loaded (measured)."""


@dataclass(frozen=True)
class Totals:
    """Figures of one stage; None where this machine cannot know.

    Attributes:
        effective_batch: Rows (or pairs) per optimizer step.
        rows: Training rows before any is dropped.
        steps: Optimizer steps.
        trainable, total: Parameters that are trained, and of the whole model with adapter.
        memory_bytes: What it takes at most, see `_memory`.
    """

    effective_batch: int
    rows: int | None
    steps: int | None
    trainable: int | None
    total: int | None
    memory_bytes: int | None


def totals(recipe: Recipe, stage: str, models: Path) -> Totals:
    """Figures of a stage from the recipe, local data files and the model's config.json."""

    def get(key: str) -> Any:
        return recipe.get(key, stage)

    batch = _number(get, "per_device_train_batch_size")
    effective = batch * _number(get, "gradient_accumulation_steps")
    rows = count_rows(recipe, stage)
    config = model_config(recipe.model, recipe.path.parent, models)
    total = trainable = memory = None
    if config and module_shapes(config):
        base = parameter_count(config)
        adapter = _adapter_parameters(get, config)
        total, trainable = base + adapter, adapter or base
        memory = _memory(get, stage, config, base, trainable)
    return Totals(effective, rows, _steps(recipe, stage, rows, effective), trainable, total, memory)


def peak_memory(recipe: Recipe, models: Path) -> int | None:
    """What the stage that needs most takes in bytes; None where no stage can be told."""
    known = []
    for stage in recipe.stages:
        try:
            known.append(totals(recipe, stage, models).memory_bytes)
        except (ProblemError, ValueError, TypeError, ArithmeticError):
            # A value that is wrong is a check's matter; its sum is merely not known.
            continue
    return max((memory for memory in known if memory), default=None)


def memory_of(settings: Mapping[str, Any], stage: str, model: Mapping[str, Any]) -> int | None:
    """Peak memory in bytes of a resolved config; None for an architecture unknown here.

    Args:
        settings: The flat TRL config; what it leaves out counts with TRL's default.
        model: The base model's config.json.
    """
    shapes = dict(model)
    try:
        if not module_shapes(shapes):
            return None

        def get(key: str) -> Any:
            field = load_schema().field(key, stage)
            return settings.get(key, field.default if field else None)

        base = parameter_count(shapes)
        trainable = _adapter_parameters(get, shapes) or base
        return _memory(get, stage, shapes, base, trainable)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _number(get: Settings, key: str) -> int:
    value = get(key)
    return int(value) if isinstance(value, int | float) and value >= 1 else 1


def _steps(recipe: Recipe, stage: str, rows: int | None, effective: int) -> int | None:
    limit = recipe.get("max_steps", stage)
    if isinstance(limit, int) and limit > 0:
        return limit
    epochs = recipe.get("num_train_epochs", stage)
    if rows is None or not isinstance(epochs, int | float):
        return None
    # As transformers counts: the last, smaller batch of an epoch is a step of its own.
    return math.ceil(epochs * max(math.ceil(rows / effective), 1))


def module_shapes(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """`(in, out)` features of each linear module of one decoder layer, by its name.

    Empty for architectures whose modules are not those of Llama, and where a size is missing.
    """
    if config.get("model_type") not in LLAMA_LIKE or not _has_sizes(config):
        return {}
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    head = int(config.get("head_dim") or hidden // heads)
    key_value = head * int(config.get("num_key_value_heads") or heads)
    inner = int(config["intermediate_size"])
    return {
        "q_proj": (hidden, head * heads),
        "k_proj": (hidden, key_value),
        "v_proj": (hidden, key_value),
        "o_proj": (head * heads, hidden),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }


def _has_sizes(config: dict[str, Any]) -> bool:
    """Whether a config.json, which anybody may have written, tells a model's sizes."""
    sizes = [config.get(key) for key in SIZE_KEYS]
    sizes += [config[key] for key in ("head_dim", "num_key_value_heads") if config.get(key)]
    return all(isinstance(size, int) and size > 0 for size in sizes)


def parameter_count(config: dict[str, Any]) -> int:
    """Parameters of a Llama-like model (biases, which some have, are left out: below 0.1 %)."""
    hidden, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
    layer = sum(i * o for i, o in module_shapes(config).values()) + 2 * hidden
    embeddings = int(config["vocab_size"]) * hidden
    tied = bool(config.get("tie_word_embeddings", False))
    return layers * layer + hidden + embeddings * (1 if tied else 2)


def _adapted(get: Settings, config: dict[str, Any]) -> list[tuple[int, int]]:
    """`(in, out)` features of the modules of one layer that LoRA adapts."""
    if not get("use_peft"):
        return []
    shapes = module_shapes(config)
    targets = get("lora_target_modules") or ["q_proj", "v_proj"]
    names = [targets] if isinstance(targets, str) else targets
    if "all-linear" in names:
        names = list(shapes)
    return [shapes[name] for name in names if name in shapes]


def _adapter_parameters(get: Settings, config: dict[str, Any]) -> int:
    """LoRA adds r * (in + out) parameters per adapted matrix (Hu et al. 2021, arXiv 2106.09685)."""
    rank = _number(get, "lora_r")
    layer = sum(rank * (i + o) for i, o in _adapted(get, config))
    return layer * int(config["num_hidden_layers"])


def _memory(get: Settings, stage: str, config: dict[str, Any], base: int, trainable: int) -> int:
    """Upper bound in bytes: weights, adapter with gradients and Adam states, activations, process.

    The activations are those that a Llama layer of transformers keeps for its backward pass, per
    token: fp32 copies and results of the norms, inputs of the projections, rotated queries and
    keys and the residuals, about 18 values of hidden size, and 5 of the inner size in the MLP;
    LoRA keeps an fp32 copy of the input of each adapted module. With checkpointing only a layer's
    input is kept, and one layer whole. Every row counts as max_length long, which real rows are
    not; DPO holds two rows a pair, and without LoRA a frozen copy of the model as its reference,
    unless its scores are computed beforehand.
    """
    width = 2 if get("dtype") in ("bfloat16", "float16") else 4
    weight_bytes: float = width
    if get("load_in_4bit"):
        weight_bytes = 0.55
    elif get("load_in_8bit"):
        weight_bytes = 1.05
    length = get("max_length")
    batch = _number(get, "per_device_train_batch_size")
    tokens = batch * (2 if stage == "dpo" else 1) * (int(length) if length else 1024)
    hidden, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
    layer = width * (18 * hidden + 5 * int(config["intermediate_size"]))
    layer += 4 * sum(width_in for width_in, _ in _adapted(get, config))
    if get("gradient_checkpointing"):
        activations = tokens * (layers * width * hidden + layer)
    else:
        activations = tokens * layers * layer
    name = str(get("optim"))
    states = next((n for k, n in SMALL_STATES_BYTES.items() if k in name), ADAM_STATES_BYTES)
    optimizer = trainable * (4 + 4 + states)
    reference = stage == "dpo" and not get("use_peft") and not get("precompute_ref_log_probs")
    weights = base * weight_bytes * (2 if reference else 1)
    return int(weights + optimizer + activations + PROCESS_BYTES)

"""How much memory a stage takes at its peak, as a sum of parts that each say where they come from.

The bytes per token and layer are those that autograd keeps for the backward pass, read off the code
and counted with torch's saved-tensor hooks; constants called measured were measured on a CPU, with
SmolLM2 and a model of TinyLlama's shape. On a GPU nothing of it was measured.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench.recipe.recipe import Recipe
from workbench.recipe.row_lengths import Batch, batch_of
from workbench.recipe.weights import Sizes

Verdict = Literal["", "fits", "tight", "will not fit"]
TIGHT_SHARE = 0.9
KEEP_SHARE = 0.8
"""A run computes activations again unless the estimate without takes less of the free memory:
others may need some, too."""

HOST_PROCESS_BYTES = 600_000_000
"""The libraries, the tokenizer and the data in a training process (measured)."""
GPU_PROCESS_BYTES = 500_000_000
"""A CUDA context with the kernels of its libraries, as commonly reported; not measured here."""
CPU_HOLES, GPU_HOLES = 1.45, 1.1
"""Memory of freed tensors that the next ones do not fit into, as a factor on what is kept.

With glibc, which a run lets keep what is freed, 1.3 to 1.6 (measured). A GPU's: assumed."""
GROWTH_BYTES, GROWTH_STEPS = 1_300_000_000, 70
"""What a CPU's kernels keep for each new length of a batch, and the holes that these leave.

Measured over 600 steps with rows of differing length: 0.5 GB after 40, 0.9 after 100, 1.3 at the
end, near 1.3 GB * (1 - exp(-steps / 70))."""
MANY_STEPS = 1000

ADAM_STATES = 2
OPTIMIZER_STATES = {"8bit": 0.5, "adafactor": 0.0, "sgd": 0.0, "lion": 1.0}
"""Values kept per trained one by optimizers that are not Adam, by a part of their name."""
LORA_WIDTH = 4
"""PEFT trains in fp32, whatever the base model's type."""
FOUR_BIT, EIGHT_BIT = 0.55, 1.05
"""Bytes per weight of a linear module with bitsandbytes, its scales included."""

SLICE_LOGITS = 2**24
SLICE_COPIES = 3.0
"""The packed path's head: logits at once, and how many fp32 copies of them live (token_scores)."""
TILE_ROWS, TILE_COLUMNS = 4096, 32768
TILE_BYTES_CPU, TILE_BYTES_GPU = 45, 4
"""TRL 1.16's head: its largest tile, and the bytes per logit of it.

35 are live in its backward pass and 15 in its forward pass without Triton; what tiles of earlier
sizes leave behind makes 45 of both (measured). With Triton they are folded in place."""
CHECK_TILE_BYTES = 25
CHECKED_ROWS = 2
"""Before it packs rows, a run compares so many of them with TRL's path (packed_scoring)."""

SAME_INPUT = {"q_proj": "q", "k_proj": "q", "v_proj": "q", "gate_proj": "mlp", "up_proj": "mlp"}
"""Modules that read one and the same tensor."""
PARENTS = ("self_attn", "mlp", "attn", "attention")
"""What the parts of a layer are called that hold its modules."""
DROPOUTS = ("attention_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop", "hidden_dropout")
CAPS = ("final_logit_softcapping", "attn_logit_softcapping")


@dataclass(frozen=True)
class Room:
    """The memory that a run would use.

    Attributes:
        free_bytes: What is free of it now; None where that is not known.
        gpu: Whether it is a GPU's.
        bf16: Whether its processor multiplies bf16, which decides a type left open.
        name: What to call it, such as `cuda:0`.
        devices: How many devices its machine shows, each with a process of its own.
    """

    free_bytes: int | None = None
    gpu: bool = False
    bf16: bool = True
    name: str = "this machine"
    devices: int = 1


@dataclass(frozen=True)
class Memory:
    """A stage's peak in bytes, in parts.

    Attributes:
        weights: The model's, with those of a second one as reference.
        training: The adapter, gradients and the optimizer's states.
        activations: What the backward pass needs of the layers, with the allocator's holes.
        head: Logits and what is made of them.
        process: What is there before any model.
        room: What it was compared with.
    """

    weights: int
    training: int
    activations: int
    head: int
    process: int
    room: Room = field(default_factory=Room)

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.training + self.activations + self.head + self.process

    @property
    def parts(self) -> dict[str, int]:
        """The parts by the names that people see."""
        return {
            "weights": self.weights,
            "optimizer": self.training,
            "activations": self.activations,
            "head": self.head,
            "process": self.process,
        }

    @property
    def verdict(self) -> Verdict:
        """Whether it fits into what is free; empty where that is not known."""
        free = self.room.free_bytes
        if free is None:
            return ""
        if self.total > free:
            return "will not fit"
        return "tight" if self.total > TIGHT_SHARE * free else "fits"


def memory(
    recipe: Recipe,
    stage: str,
    sizes: Sizes,
    config: Mapping[str, Any],
    room: Room,
    steps: int = MANY_STEPS,
) -> Memory:
    """The estimate of a stage.

    Args:
        config: The model's config.json.
        steps: What the process has trained when the stage ends, earlier stages included.
    """
    plan = Plan(recipe, stage, sizes, config, room)
    if plan.may_keep:
        kept = _sum(plan, steps)
        if room.free_bytes is None or kept.total <= KEEP_SHARE * room.free_bytes:
            return kept
        plan.recomputes = True
    return _sum(plan, steps)


class Plan:
    """How a stage goes through its model: the settings in effect, as the worker fits them."""

    def __init__(
        self, recipe: Recipe, stage: str, sizes: Sizes, config: Mapping[str, Any], room: Room
    ) -> None:
        self.recipe, self.stage, self.sizes, self.config = recipe, stage, sizes, config
        self.room = room
        self.gpu = room.gpu and not self.get("use_cpu")
        self.lora = bool(self.get("use_peft"))
        self.quantized = bool(self.get("load_in_4bit") or self.get("load_in_8bit"))
        self.width = self._width()
        self.recomputes = bool(self.get("gradient_checkpointing"))
        given = recipe.values(stage)
        self.may_keep = self.lora and not self.quantized and "gradient_checkpointing" not in given
        self.recomputes = self.recomputes and not self.may_keep
        self.packed = self._is_packed()

    def get(self, key: str) -> Any:
        """A setting's value or default."""
        return self.recipe.get(key, self.stage)

    def number(self, key: str, default: int = 1) -> int:
        """A count, at least 1."""
        value = self.get(key)
        return int(value) if isinstance(value, int | float) and value >= 1 else default

    def _width(self) -> int:
        """Bytes of a value; LoRA with an open type trains beside bf16 weights where that works."""
        given = self.recipe.values(self.stage)
        open_choice = self.lora and not self.quantized and not given.keys() & {"dtype", "bf16"}
        if open_choice and not self.get("fp16") and self.room.bf16:
            return 2
        return 2 if self.get("dtype") in ("bfloat16", "float16") else 4

    def _is_packed(self) -> bool:
        """Whether the workbench packs the rows, as far as settings tell (packed_scoring)."""
        targets = [self.get("lora_target_modules"), self.get("lora_modules_to_save")]
        return not (
            not self.recipe.shared_prefix
            or not self.lora
            or "lm_head" in str(targets)
            or (self.stage == "dpo" and self.dropout)
            or (self.stage == "sft" and (self.get("packing") or self.get("padding_free")))
            or self.get("torch_compile")
            or any(self.config.get(key) for key in self._unpacked)
        )

    @property
    def _unpacked(self) -> tuple[str, ...]:
        """Settings of a model that keep its rows unpacked; DPO takes dropout layers away."""
        return (*CAPS, "attention_dropout") if self.undropped else (*CAPS, *DROPOUTS)

    @property
    def undropped(self) -> bool:
        """Whether TRL turns dropout off, as it does in DPO unless told otherwise."""
        return self.stage == "dpo" and bool(self.get("disable_dropout"))

    @property
    def dropout(self) -> float:
        """LoRA's dropout in effect."""
        return 0.0 if self.undropped else float(self.get("lora_dropout") or 0)

    def targets(self) -> dict[str, float]:
        """How many modules of a layer LoRA adapts, by last name."""
        if not self.lora:
            return {}
        asked = self.get("lora_target_modules") or ["q_proj", "v_proj"]
        names = [str(name) for name in ([asked] if isinstance(asked, str) else asked)]
        modules = self.sizes.modules
        every = "all-linear" in names
        last = {name.split(".")[-1] for name in names}
        return {
            name: module.count / self.sizes.layers
            for name, module in modules.items()
            if every or name in last or (len(names) == 1 and _fits(names[0], name))
        }

    @property
    def adapter(self) -> int:
        """LoRA adds r * (in + out) parameters per matrix (Hu et al. 2021, arXiv 2106.09685)."""
        modules, rank = self.sizes.modules, self.number("lora_r")
        found = ((modules[name], count) for name, count in self.targets().items())
        layer = sum(rank * (m.inputs + m.outputs) * count for m, count in found)
        return round(layer * self.sizes.layers)

    @property
    def trainable(self) -> int:
        """Trained parameters."""
        return self.adapter if self.lora else self.sizes.parameters


def _fits(pattern: str, name: str) -> bool:
    """Whether a pattern of whole names, as PEFT takes a single target, is meant for a module."""
    try:
        return any(re.fullmatch(pattern, f"model.layers.0.{part}.{name}") for part in PARENTS)
    except re.error:
        return False


def _sum(plan: Plan, steps: int) -> Memory:
    process = GPU_PROCESS_BYTES
    if not plan.gpu:
        process = HOST_PROCESS_BYTES + int(GROWTH_BYTES * (1 - math.exp(-steps / GROWTH_STEPS)))
    gradients, rest = _training(plan)
    # The head's logits are gone before the last gradients are made; of several passes of a step
    # the gradients of the first are there from the start.
    accumulates = plan.lora or plan.number("gradient_accumulation_steps") > 1
    activations, head = max(_phases(plan), key=sum)
    if not accumulates:
        gradients = max(0, gradients - activations - head)
    weights = _weights(plan)
    return Memory(weights, int(gradients + rest), int(activations), int(head), process, plan.room)


def _weights(plan: Plan) -> int:
    sizes = plan.sizes
    linear = sizes.linear if plan.quantized else 0
    size = FOUR_BIT if plan.get("load_in_4bit") else EIGHT_BIT
    one = linear * size + (sizes.parameters - linear) * plan.width
    second = plan.stage == "dpo" and not plan.lora and not plan.get("precompute_ref_log_probs")
    return int(one * (2 if second else 1))


def _training(plan: Plan) -> tuple[float, float]:
    """Gradients, and the adapter with the optimizer's states, which have the weights' type."""
    width = LORA_WIDTH if plan.lora else plan.width
    name = str(plan.get("optim"))
    states = next((n for part, n in OPTIMIZER_STATES.items() if part in name), ADAM_STATES)
    own = width if plan.lora else 0
    return plan.trainable * width, plan.trainable * (own + width * states)


def _phases(plan: Plan) -> list[tuple[float, float]]:
    """Bytes of activations and of the head, in each thing that a run does one after the other."""
    batch = plan.number("per_device_train_batch_size")
    rows = batch_of(plan.recipe, plan.stage, batch)
    tokens = rows.packed if plan.packed else rows.padded
    found = [(_activations(plan, tokens, rows), _head(plan, rows.labels, plan.packed))]
    if plan.packed:
        few = batch_of(plan.recipe, plan.stage, min(CHECKED_ROWS, batch))
        found.append((_one_layer(plan, few.padded), _tile(plan, few.labels, CHECK_TILE_BYTES)))
    if plan.get("eval_strategy") not in (None, "no"):
        count = plan.number("per_device_eval_batch_size")
        rows = batch_of(plan.recipe, plan.stage, count, "test")
        tokens = rows.packed if plan.packed else rows.padded
        found.append((_one_layer(plan, tokens), _head(plan, rows.labels, plan.packed)))
    if plan.stage == "dpo" and plan.get("precompute_ref_log_probs"):
        # TRL computes them while its trainer is built, before any row can be packed.
        rows = batch_of(plan.recipe, plan.stage, plan.number("precompute_ref_batch_size", batch))
        found.append((_one_layer(plan, rows.padded), _head(plan, rows.labels, packed=False)))
    return found


def _activations(plan: Plan, tokens: int, rows: Batch) -> float:
    holes = GPU_HOLES if plan.gpu else CPU_HOLES
    layer, layers = _kept(plan), plan.sizes.layers
    if plan.recomputes:
        # Of each layer its input is kept, and one layer at a time is whole.
        kept = tokens * plan.width * plan.sizes.hidden * layers
        return holes * (kept + 2 * tokens * layer)
    again = 0.0
    if plan.packed and not _is_blocked(plan):
        again = 2 * plan.width * plan.sizes.query * rows.seen_again
    return holes * layers * (tokens * layer + again)


def _one_layer(plan: Plan, tokens: int) -> float:
    """A pass that keeps nothing for a backward pass holds about a layer's worth."""
    return (GPU_HOLES if plan.gpu else CPU_HOLES) * tokens * _kept(plan)


def _is_blocked(plan: Plan) -> bool:
    """Whether attention is the packed path's own, which keeps its inputs alone."""
    return plan.packed and not plan.gpu and plan.width == 2


def _kept(plan: Plan) -> float:
    """Bytes per token that one layer keeps for its backward pass."""
    sizes, width = plan.sizes, plan.width
    fused = plan.packed and not plan.gpu
    if fused:  # frozen_layers.RmsNorm keeps its input
        norm = width * sizes.hidden + 4
    else:  # transformers' keeps an fp32 copy, and what it scales where the scale is trained
        norm = 4 * sizes.hidden + 4 + (0 if plan.lora else width * sizes.hidden)
    if _is_blocked(plan):
        attention = sizes.query + 2 * sizes.key_value
    elif plan.packed:  # keys and values are repeated for each query head; and the result
        attention = 4 * sizes.query
    else:
        attention = 2 * sizes.query + 2 * sizes.key_value
    # Of a gated MLP both projections and the activation between them, of another one two of these.
    mlp = (3 if sizes.gated else 2) * sizes.inner
    return 2 * norm + width * (attention + mlp) + _inputs(plan)


def _inputs(plan: Plan) -> float:
    """Bytes per token and layer of what enters the projections that are trained."""
    sizes, width = plan.sizes, plan.width
    if not plan.lora:
        # Attention's result, which enters o_proj, is kept already.
        return width * (2 * sizes.hidden + sizes.inner)
    targets = plan.targets()
    rank = plan.number("lora_r")
    low = (width if plan.packed else LORA_WIDTH) * rank * sum(targets.values())
    dropout = plan.dropout
    shared: dict[str, float] = {}
    single = 0.0
    for name, count in targets.items():
        features = sizes.modules[name].inputs * count
        # Its input is cast to fp32 for each module alone (PEFT), or dropped out for it alone.
        if plan.packed and not dropout:
            shared[SAME_INPUT.get(name, name)] = width * features
        elif width == LORA_WIDTH and not dropout:
            shared[SAME_INPUT.get(name, name)] = LORA_WIDTH * features
        else:
            own = width if plan.packed else LORA_WIDTH
            single += features * (own + (1 if dropout else 0))
    return low + single + sum(shared.values())


def _head(plan: Plan, labels: int, packed: bool) -> float:
    """Logits of the scored tokens in slices, and the gradients of their hidden states."""
    sizes = plan.sizes
    states = 3 * labels * sizes.hidden * plan.width
    if packed:
        logits = min(labels * sizes.vocabulary, SLICE_LOGITS)
        return states + logits * 4 * SLICE_COPIES
    weight = 0 if plan.lora else 4 * sizes.vocabulary * sizes.hidden
    return states + weight + _tile(plan, labels, TILE_BYTES_CPU)


def _tile(plan: Plan, labels: int, size: int) -> float:
    logits = min(labels, TILE_ROWS) * min(plan.sizes.vocabulary, TILE_COLUMNS)
    return logits * (TILE_BYTES_GPU if plan.gpu else size)

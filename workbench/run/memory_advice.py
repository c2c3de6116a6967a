"""What to change in a recipe that needs more memory than there is, the least harm first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.recipe.base_model import model_config
from workbench.recipe.estimate import memory_of
from workbench.recipe.memory import TIGHT_SHARE, Room
from workbench.recipe.schema import load_schema

PHASES = ("training", "optimizer", "reference", "loading", "evaluation", "generation")
SHORTEST_LENGTH = 128
MOST_HALVINGS = 12
QUANTIZED = ("load_in_4bit", "load_in_8bit")
Change = tuple[dict[str, Any], str]
"""The settings to change, and what that costs."""
Maker = Callable[["Current"], Iterator[Change]]


@dataclass(frozen=True)
class Step:
    """One change that makes a run need less memory.

    Attributes:
        change: The settings and their new values; empty where a person has to choose.
        sentence: What to do and what it costs, with the estimate where there is one.
        same_result: Whether the trained weights stay what they would have been, but for rounding.
        bytes_before, bytes_after: Estimated peaks; None where this machine cannot tell.
    """

    change: dict[str, Any]
    sentence: str
    same_result: bool
    bytes_before: int | None = None
    bytes_after: int | None = None


def oom_steps(
    config: Mapping[str, Any],
    stage: str,
    phase: str = "training",
    *,
    on_gpu: bool = True,
    model: Mapping[str, Any] | None = None,
) -> list[Step]:
    """Changes that lower the peak of memory, those that keep the result the same first.

    Args:
        config: The stage's resolved TRL config.
        phase: One of `PHASES`: what the process did when the memory was full.
        on_gpu: Whether it was a GPU's memory; 4 bit weights need a GPU.
        model: The base model's config.json; looked up on this machine when not given.
    """
    settings = Current(config, stage, on_gpu and not config.get("use_cpu"))
    shape = model if model is not None else architecture_of(config.get("model_name_or_path"))
    room = Room(gpu=settings.on_gpu)
    before = memory_of(config, stage, shape, room) if shape else None
    found: list[Step] = []
    for maker, same in ORDER.get(phase, ORDER["training"]):
        for change, cost in maker(settings):
            after = None
            if before is not None and shape and change and phase != "generation":
                after = memory_of({**config, **change}, stage, shape, room)
            found.append(_step(change, cost, same, before, after))
    return sorted(found, key=lambda step: not step.same_result)


def smallest_change(
    config: Mapping[str, Any], stage: str, model: Mapping[str, Any], room: Room
) -> str | None:
    """The least harmful change after which a stage fits, or else several together.

    Those that keep the result come first, alone and together.

    Args:
        config: The stage's resolved TRL config, with `shared_prefix` where the recipe has it.
        model: The base model's config.json.

    Returns:
        `set per_device_train_batch_size 4 -> 2 with gradient_accumulation_steps 1 -> 2 (the same
        effective batch)`; None where nothing helps.
    """
    fits = Fit(config, stage, model, room)
    keeps = [maker for maker, keeps in SINGLE if keeps]
    alters = [maker for maker, keeps in SINGLE if not keeps]
    return (
        fits.alone(keeps)
        or fits.together(keeps)
        or fits.alone(alters)
        or fits.together([*keeps, *alters])
    )


class Fit:
    """The search for changes after which a stage fits."""

    def __init__(
        self, config: Mapping[str, Any], stage: str, model: Mapping[str, Any], room: Room
    ) -> None:
        self.config, self.stage, self.model, self.room = config, stage, model, room
        self.limit = TIGHT_SHARE * (room.free_bytes or 0)

    def bytes_with(self, change: Mapping[str, Any]) -> float:
        """The estimate after a change; endless where it cannot be told."""
        found = memory_of({**self.config, **change}, self.stage, self.model, self.room)
        return math.inf if found is None else found

    def alone(self, makers: Sequence[Maker]) -> str | None:
        """The first change that is enough."""
        for maker in makers:
            change, cost = self.grown(maker, {})
            if change and self.bytes_with(change) <= self.limit:
                return f"{self.told(change)} ({cost})"
        return None

    def together(self, makers: Sequence[Maker]) -> str | None:
        """One after the other, those that help, until it is enough."""
        all_of_it: dict[str, Any] = {}
        for maker in makers:
            change, _ = self.grown(maker, all_of_it)
            after = self.bytes_with(all_of_it | change)
            if after >= self.bytes_with(all_of_it):
                continue
            all_of_it |= change
            if after <= self.limit:
                return f"{self.told(all_of_it)}, all together"
        return None

    def grown(self, maker: Maker, others: Mapping[str, Any]) -> Change:
        """A change, taken further (a batch halved again) until the stage fits or it ends."""
        change: dict[str, Any] = {}
        cost = ""
        for _ in range(MOST_HALVINGS):
            now = Current({**self.config, **others, **change}, self.stage, self.room.gpu)
            made = next(maker(now), None)
            if made is None or not made[0]:
                break
            change, cost = change | made[0], made[1]
            if self.bytes_with({**others, **change}) <= self.limit:
                break
        return change, cost

    def told(self, change: Mapping[str, Any]) -> str:
        """A change in words."""
        now, parts = Current(self.config, self.stage, self.room.gpu), []
        for key, value in change.items():
            before = now.get(key)
            from_to = before and isinstance(value, int) and not isinstance(value, bool)
            parts.append(f"{key} {before} -> {value}" if from_to else f"{key}: {_yaml(value)}")
        return "set " + " with ".join(parts)


def _step(
    change: dict[str, Any], cost: str, same: bool, before: int | None, after: int | None
) -> Step:
    if before is None or after is None or after >= before:
        before = after = None
    settings = " and ".join(f"{key}: {_yaml(value)}" for key, value in change.items())
    remarks = [cost] if cost and settings else []
    if before is not None and after is not None:
        remarks.append(f"estimate {gigabytes(before)} -> {gigabytes(after)}")
    sentence = f"set {settings}" if settings else cost
    return Step(
        change, sentence + (f" ({'; '.join(remarks)})" if remarks else ""), same, before, after
    )


def gigabytes(count: int) -> str:
    """Bytes for people: `5.1 GB`."""
    return f"{count / 1e9:.1f} GB"


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def architecture_of(model: object) -> dict[str, Any] | None:
    """The config.json of a resolved model_name_or_path, where this machine has it."""
    try:
        return model_config(str(model), Path("/"), Path("/")) if model else None
    except (OSError, ValueError):
        # No path at all: too long, or with a NUL in it.
        return None


class Current:
    """The settings in effect."""

    def __init__(self, config: Mapping[str, Any], stage: str, on_gpu: bool) -> None:
        self.config, self.stage, self.on_gpu = config, stage, on_gpu

    def get(self, key: str) -> Any:
        """The config's value, else TRL's default."""
        if key in self.config:
            return self.config[key]
        field = load_schema().field(key, self.stage or None)
        return field.default if field else None

    def number(self, key: str) -> int:
        """A count, at least 1."""
        value = self.get(key)
        return int(value) if isinstance(value, int | float) and value >= 1 else 1

    @property
    def quantized(self) -> bool:
        return any(self.get(key) for key in QUANTIZED)


def smaller_batch(now: Current) -> Iterator[Change]:
    """Fewer rows at a time and more of these per step: the same effective batch."""
    batch = now.number("per_device_train_batch_size")
    factor = next((n for n in range(2, min(batch, 97) + 1) if batch % n == 0), None)
    if factor is not None:
        steps = now.number("gradient_accumulation_steps")
        yield (
            {
                "per_device_train_batch_size": batch // factor,
                "gradient_accumulation_steps": steps * factor,
            },
            "the same effective batch",
        )


def checkpointing(now: Current) -> Iterator[Change]:
    """Activations computed again in the backward pass instead of kept."""
    if not now.get("gradient_checkpointing"):
        yield {"gradient_checkpointing": True}, "the same result, about a third slower"


def precompute(now: Current) -> Iterator[Change]:
    """The reference's scores beforehand, so that no second model stays in memory."""
    useless = now.get("use_peft") or now.get("precompute_ref_log_probs")
    if now.stage == "dpo" and not useless and not now.get("sync_ref_model"):
        cost = "the same result without a second model in memory"
        yield {"precompute_ref_log_probs": True}, cost


def smaller_reference_batch(now: Current) -> Iterator[Change]:
    """Fewer rows at a time while the reference's scores are computed."""
    own = now.get("precompute_ref_batch_size")
    batch = int(own) if own else now.number("per_device_train_batch_size")
    if batch > 1:
        yield {"precompute_ref_batch_size": batch // 2}, "the same result"


def packed_rows(now: Current) -> Iterator[Change]:
    """The workbench's own path, which holds no padding and less of each layer."""
    if now.config.get("shared_prefix") in ("off", False):
        yield {"shared_prefix": "auto"}, "the same result by another path"


def no_dropout(now: Current) -> Iterator[Change]:
    """DPO packs its rows only without dropout."""
    drops = now.get("lora_dropout") and not now.get("disable_dropout")
    if now.stage == "dpo" and now.get("use_peft") and drops:
        yield {"lora_dropout": 0.0}, "its rows are packed then"


def reference_on_the_way(now: Current) -> Iterator[Change]:
    """The reference's scores with the packed rows, which are kept too."""
    if now.stage == "dpo" and now.get("use_peft") and now.get("precompute_ref_log_probs"):
        yield {"precompute_ref_log_probs": False}, "the same result; they are kept anyway"


def smaller_evaluation(now: Current) -> Iterator[Change]:
    """Fewer rows at a time while evaluating."""
    batch = now.number("per_device_eval_batch_size")
    if batch > 1:
        yield {"per_device_eval_batch_size": batch // 2}, "the same result"


def half_weights(now: Current) -> Iterator[Change]:
    """Weights of two bytes instead of four."""
    if now.get("dtype") in (None, "float32") and not now.quantized:
        yield {"dtype": "bfloat16"}, "rounds the weights, nearly the same result"


def shorter(now: Current) -> Iterator[Change]:
    """Rows cut earlier."""
    length = now.number("max_length")
    if length >= 2 * SHORTEST_LENGTH:
        yield {"max_length": length // 2}, "longer rows are cut"


def four_bit(now: Current) -> Iterator[Change]:
    """The frozen base in 4 bit, which needs LoRA and a GPU."""
    if now.on_gpu and not now.quantized:
        change = {"load_in_4bit": True}
        if not now.get("use_peft"):
            change["use_peft"] = True
        yield change, "a rougher base model"


def lora(now: Current) -> Iterator[Change]:
    """An adapter instead of every weight."""
    if not now.get("use_peft"):
        yield {"use_peft": True}, "trains an adapter instead of every weight"


def lean_optimizer(now: Current) -> Iterator[Change]:
    """An optimizer without two moments for each weight."""
    if not now.get("use_peft") and str(now.get("optim")).startswith("adamw"):
        yield {"optim": "adafactor"}, "another optimizer"


def fewer_probes(now: Current) -> Iterator[Change]:
    """Less to answer at a time."""
    yield {}, "shorten or remove probe_prompts"


def no_evaluation(now: Current) -> Iterator[Change]:
    """Training without a look at held-out rows."""
    if now.get("eval_strategy") not in (None, "no"):
        yield {"eval_strategy": "no"}, "no held-out scores"


def smaller_model(now: Current) -> Iterator[Change]:
    """The last resort."""
    yield {}, "take a smaller model_name_or_path"


KEEPS, ALTERS = True, False
SINGLE: tuple[tuple[Maker, bool], ...] = (
    (packed_rows, KEEPS),
    (reference_on_the_way, KEEPS),
    (smaller_batch, KEEPS),
    (smaller_evaluation, KEEPS),
    (checkpointing, KEEPS),
    (precompute, KEEPS),
    (half_weights, KEEPS),
    (no_dropout, ALTERS),
    (shorter, ALTERS),
    (four_bit, ALTERS),
    (lora, ALTERS),
    (lean_optimizer, ALTERS),
)
"""What is tried before a launch, the least harm first."""
ORDER: dict[str, tuple[tuple[Maker, bool], ...]] = {
    "training": (
        (smaller_batch, KEEPS),
        (checkpointing, KEEPS),
        (precompute, KEEPS),
        (half_weights, KEEPS),
        (shorter, ALTERS),
        (four_bit, ALTERS),
        (lora, ALTERS),
        (lean_optimizer, ALTERS),
        (smaller_model, ALTERS),
    ),
    "optimizer": (
        (half_weights, KEEPS),
        (smaller_batch, KEEPS),
        (checkpointing, KEEPS),
        (precompute, KEEPS),
        (lean_optimizer, ALTERS),
        (lora, ALTERS),
        (four_bit, ALTERS),
        (smaller_model, ALTERS),
    ),
    "reference": (
        (smaller_reference_batch, KEEPS),
        (half_weights, KEEPS),
        (shorter, ALTERS),
        (four_bit, ALTERS),
        (smaller_model, ALTERS),
    ),
    "loading": (
        (precompute, KEEPS),
        (half_weights, KEEPS),
        (four_bit, ALTERS),
        (smaller_model, ALTERS),
    ),
    "evaluation": (
        (smaller_evaluation, KEEPS),
        (half_weights, KEEPS),
        (no_evaluation, ALTERS),
        (shorter, ALTERS),
        (four_bit, ALTERS),
        (smaller_model, ALTERS),
    ),
    "generation": (
        (fewer_probes, KEEPS),
        (half_weights, KEEPS),
        (four_bit, ALTERS),
        (smaller_model, ALTERS),
    ),
}

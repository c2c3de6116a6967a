"""TRL's trainer for a stage, built as TRL's own script builds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.run.directory import BASE_REFERENCE
from workbench.run.sides import is_adapter
from workbench.worker.model import load_start, load_tokenizer
from workbench.worker.stage_config import StageConfig


@dataclass(frozen=True)
class Start:
    """What a stage begins with.

    Attributes:
        weights: Adapter or model that an earlier stage or run has left, None to begin at the base.
        reference: Of DPO: `BASE_REFERENCE`, the folder of an adapter, or empty for TRL's own
            rule, by which the start is the reference.
    """

    weights: Path | None = None
    reference: str = ""


def make_trainer(
    config: StageConfig, start: Start, note: Callable[[str], None], **common: Any
) -> Any:
    """TRL's trainer for a stage.

    From the base model it is built exactly as TRL's script builds it. After an earlier stage the
    base model comes with that stage's adapter: TRL then copies it as the frozen reference. A fork
    of DPO is built as its parent was, so that TRL makes the parent's reference, and gets the
    weights of the checkpoint then.

    Args:
        note: Takes a sentence for the person.
        common: Data and callbacks, as TRL's trainers name them.
    """
    arguments = config.training
    if arguments.world_size > 1 and arguments.ddp_find_unused_parameters is None:
        arguments.ddp_find_unused_parameters = not trains_each_parameter(config)
    if not start.reference:
        return _build(config, start.weights, note, **common)
    assert start.weights is not None
    origin = None if start.reference == BASE_REFERENCE else Path(start.reference)
    trainer = _build(config, origin, note, **common)
    load_policy(trainer.model, start.weights)
    return trainer


def trains_each_parameter(config: StageConfig) -> bool:
    """Whether every trained weight takes part in every step, so that nobody need look for others.

    That is so for LoRA on a model without experts; looking costs a walk through the graph a step.
    """
    from transformers import AutoConfig

    model = config.model
    if not model.use_peft:
        return False
    settings = AutoConfig.from_pretrained(
        model.model_name_or_path,
        revision=model.model_revision,
        trust_remote_code=config.training.trust_remote_code,
    )
    return not any("expert" in name for name in settings.get_text_config().to_dict())


def _build(
    config: StageConfig, start: Path | None, note: Callable[[str], None], **common: Any
) -> Any:
    from trl import get_peft_config, get_quantization_config

    make = trainer_class(config.stage)
    model, arguments = config.model, config.training
    bits = get_quantization_config(model)
    if start is not None and is_adapter(start):
        init, path = arguments.model_init_kwargs, model.model_name_or_path
        policy = load_start(path, init, start, bits, arguments.seed)
        arguments.model_init_kwargs = None
        note_lora(config, policy, note)
        settings = {
            "model_name_or_path": path,
            "model_revision": model.model_revision,
            "trust_remote_code": config.training.trust_remote_code,
        }
        tokenizer = load_tokenizer(settings, start)
        return make(model=policy, processing_class=tokenizer, args=arguments, **common)
    path = str(start) if start is not None else model.model_name_or_path
    return make(
        model=path,
        quantization_config=bits,
        peft_config=get_peft_config(model),
        args=arguments,
        **common,
    )


def trainer_class(stage: str) -> Callable[..., Any]:
    """TRL's trainer of a stage; each is imported only where it is used."""
    if stage == "sft":
        from trl import SFTTrainer

        return SFTTrainer  # type: ignore[no-any-return]
    from trl import DPOTrainer

    return DPOTrainer  # type: ignore[no-any-return]


def load_policy(model: Any, folder: Path) -> None:
    """Give a model's training adapter the weights of another one of the same shape.

    Raises:
        ProblemError: the shapes differ.
    """
    from peft import load_peft_weights, set_peft_model_state_dict

    weights = load_peft_weights(str(folder), device="cpu")
    try:
        result = set_peft_model_state_dict(model, weights, adapter_name="default")
        unexpected = list(result.unexpected_keys)
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise
        unexpected = [str(error).splitlines()[0]]
    if unexpected:
        what = f"the adapter of the parent run does not fit this config ({unexpected[0]})"
        hint = "Keep lora_r, lora_target_modules and the base model of the parent run."
        raise ProblemError(Problem(what, str(folder), hint))


def note_lora(config: StageConfig, policy: Any, note: Callable[[str], None]) -> None:
    """Say so when a stage asks for another LoRA shape than that of the adapter it continues."""
    adapter, asked = policy.peft_config["default"], config.model
    if (adapter.r, adapter.lora_alpha) != (asked.lora_r, asked.lora_alpha):
        note(
            f"{config.stage} continues an adapter of rank {adapter.r} and alpha "
            f"{adapter.lora_alpha}; its own lora_r and lora_alpha do not apply."
        )

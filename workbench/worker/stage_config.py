"""A stage's config as TRL reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError


@dataclass
class StageConfig:
    """A stage's config as TRL's four dataclasses."""

    stage: str
    script: Any
    training: Any
    model: Any
    data: Any


def parse_config(stage: str, path: Path) -> StageConfig:
    """Read a stage's flat YAML as `trl sft --config` or `trl dpo --config` does.

    Raises:
        ProblemError: TRL refuses a value.
    """
    from trl import (
        DatasetMixtureConfig,
        DPOConfig,
        ModelConfig,
        ScriptArguments,
        SFTConfig,
        TrlParser,
    )

    training = SFTConfig if stage == "sft" else DPOConfig
    parser = TrlParser((ScriptArguments, training, ModelConfig, DatasetMixtureConfig))
    try:
        parts = parser.parse_args_and_config(["--config", str(path)], fail_with_unknown_args=False)
    except (ValueError, TypeError, SystemExit) as error:
        what = f"TRL does not accept the {stage} config: {str(error).splitlines()[0]}"
        raise ProblemError(Problem(what, path.name, "Correct the value in the recipe.")) from error
    script, arguments, model, data = parts
    arguments.disable_tqdm = True
    arguments.logging_nan_inf_filter = False
    # Its own SIGTERM handler would take the place of the worker's.
    arguments.enable_jit_checkpoint = False
    model_init = {
        "revision": model.model_revision,
        "trust_remote_code": arguments.trust_remote_code,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
        "use_safetensors": True,
    }
    arguments.model_init_kwargs = {**model_init, **(arguments.model_init_kwargs or {})}
    return StageConfig(stage, script, arguments, model, data)


def check_steps(arguments: Any, counts: dict[str, Any]) -> None:
    """Refuse a stage that would end without a single step.

    Raises:
        ProblemError: the rows do not fill one batch and dataloader_drop_last drops the rest.
    """
    kept = counts.get("kept", counts.get("blocks"))
    batch = arguments.train_batch_size * arguments.world_size
    if kept is not None and arguments.dataloader_drop_last and kept < batch:
        what = f"0 steps: {kept} rows do not fill one batch of {batch}"
        hint = "Lower per_device_train_batch_size or unset dataloader_drop_last."
        raise ProblemError(Problem(what, "per_device_train_batch_size", hint))

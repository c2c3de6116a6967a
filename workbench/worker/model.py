"""Base models and adapters: loaded for training as TRL does, and for answering."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from workbench.base.problems import Problem, ProblemError
from workbench.run.checkpoints import ADAPTER_WEIGHTS
from workbench.run.directory import RunDirectory
from workbench.run.record import read_record
from workbench.worker.guard import guard

DEFAULT_DTYPE = "float32"


def refuse_pickled_adapter(folder: Path) -> None:
    """Raise ProblemError where reading an adapter would mean to unpickle it."""
    if not (folder / ADAPTER_WEIGHTS).is_file():
        what = f"the adapter has no {ADAPTER_WEIGHTS}"
        hint = "Another format can run code when it is read. Train the adapter anew."
        raise ProblemError(Problem(what, str(folder), hint))


def read_config(run: RunDirectory, stage: str) -> dict[str, Any]:
    """A stage's flat TRL config as written in the run directory.

    Raises:
        ProblemError: The file is gone or damaged, or asks for what the person has not allowed.
    """
    path = run.config(stage)
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        config = None
    if not isinstance(config, dict) or "model_name_or_path" not in config:
        what = "the run's resolved config is gone or damaged"
        raise ProblemError(Problem(what, str(path), "Launch the recipe anew, or use another run."))
    guard(config, read_record(run))
    return config


def quantization(config: Mapping[str, Any]) -> Any:
    """The bitsandbytes settings of a stage's config, None where it has none."""
    if not (config.get("load_in_4bit") or config.get("load_in_8bit")):
        return None
    from trl import ModelConfig, get_quantization_config

    names = ModelConfig.__dataclass_fields__
    return get_quantization_config(ModelConfig(**{k: v for k, v in config.items() if k in names}))


def load_base(config: Mapping[str, Any], *, path: str = "", quantized: bool = True) -> Any:
    """The base model of a stage's config, ready to answer.

    Args:
        config: the flat TRL config; its dtype, revision and attention settings count.
        path: whole weights to load instead of model_name_or_path.
        quantized: whether a 4 or 8 bit setting is followed.
    """
    import torch
    from transformers import AutoModelForCausalLM

    dtype = config.get("dtype", DEFAULT_DTYPE) or "auto"
    settings: dict[str, Any] = {"dtype": dtype if dtype == "auto" else getattr(torch, dtype)}
    settings |= config.get("model_init_kwargs") or {}
    settings["trust_remote_code"] = bool(config.get("trust_remote_code"))
    settings["use_safetensors"] = True
    if config.get("attn_implementation"):
        settings["attn_implementation"] = config["attn_implementation"]
    if not path and config.get("model_revision"):
        settings["revision"] = config["model_revision"]
    bits = quantization(config) if quantized else None
    if bits is not None:
        settings["quantization_config"] = bits
    model = AutoModelForCausalLM.from_pretrained(path or config["model_name_or_path"], **settings)
    if bits is None:
        model = model.to(best_device(config))
    # Frozen from the start: matmul takes another path for weights that could be trained, and the
    # base would answer with other last bits before an adapter is beside it than afterwards.
    return model.eval().requires_grad_(False)


def best_device(config: Mapping[str, Any]) -> Any:
    """The GPU if there is one and the config does not ask for the CPU."""
    import torch

    use_gpu = torch.cuda.is_available() and not config.get("use_cpu")
    return torch.device("cuda" if use_gpu else "cpu")


def load_tokenizer(config: Mapping[str, Any], folder: Path | None = None) -> Any:
    """The tokenizer saved beside trained weights, else the base model's."""
    from transformers import AutoTokenizer

    if folder is not None and (folder / "tokenizer_config.json").is_file():
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=bool(config.get("trust_remote_code"))
        )
    else:
        tokenizer = AutoTokenizer.from_pretrained(
            config["model_name_or_path"],
            revision=config.get("model_revision") or "main",
            trust_remote_code=bool(config.get("trust_remote_code")),
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_start(path: str, init: Mapping[str, Any], adapter: Path, bits: Any, seed: int) -> Any:
    """A base model with an adapter that trains on.

    The random state and the loading of the base are those of TRL's trainers.

    Raises:
        ProblemError: the adapter does not fit the base model.
    """
    from peft import PeftModel
    from transformers import set_seed
    from trl.trainer.utils import create_model_from_path

    refuse_pickled_adapter(adapter)
    set_seed(seed)
    settings = dict(init)
    if bits is not None:
        settings["quantization_config"] = bits
    base = create_model_from_path(path, **settings)
    try:
        return PeftModel.from_pretrained(base, adapter, is_trainable=True)
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise
        what = f"the adapter was trained on another base model than {path}"
        hint = "Use the base model of the run that the adapter comes from."
        raise ProblemError(Problem(what, str(adapter), hint)) from error


def linear_names(path: str, *, trust_remote_code: bool = False) -> list[str]:
    """Last parts of the names of a model's linear layers: what LoRA can target.

    The model is built without weights, so this costs no memory. The output layer is left out.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    head = model.get_output_embeddings()
    names = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    return sorted(names)

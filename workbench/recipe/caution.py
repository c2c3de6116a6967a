"""What a recipe may not do on its own, for it may come from a stranger.

It may not set odd environment variables, hold secrets, or let a model run Python code. `check`
says so of a recipe, and the worker looks at the resolved config again before it obeys it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.base.problems import Problem
from workbench.base.secrets import find_secret, is_secret_name

ALLOWED_VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_VISIBLE_DEVICES",
    "DATASETS_VERBOSITY",
    "HF_DATASETS_OFFLINE",
    "HF_HUB_DISABLE_TELEMETRY",
    "HF_HUB_DOWNLOAD_TIMEOUT",
    "HF_HUB_ETAG_TIMEOUT",
    "HF_HUB_OFFLINE",
    "MKL_NUM_THREADS",
    "NCCL_DEBUG",
    "NCCL_IB_DISABLE",
    "NCCL_P2P_DISABLE",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ENABLE_MPS_FALLBACK",
    "TOKENIZERS_PARALLELISM",
    "TRANSFORMERS_OFFLINE",
    "TRANSFORMERS_VERBOSITY",
    "WANDB_DISABLED",
    "WANDB_MODE",
    "WANDB_NAME",
    "WANDB_PROJECT",
    "WANDB_RUN_GROUP",
    "WANDB_TAGS",
)
"""All that a recipe's `env` may set: none loads code, moves a cache or sends data elsewhere."""

TOKEN_HINT = "Set HF_TOKEN in the environment or log in with `hf auth login`."
OWN_BUSINESS = ("token", "use_auth_token", "trust_remote_code", "use_safetensors", "weights_only")
"""Keys of model_init_kwargs that would go around a check."""

Place = tuple[str, ...]


def refused_variables(variables: object) -> list[str]:
    """Names in an `env` mapping that a recipe may not set."""
    if not isinstance(variables, Mapping):
        return []
    return [str(name) for name in variables if name not in ALLOWED_VARIABLES]


def allowed_variables(variables: object) -> dict[str, str]:
    """What of an `env` mapping a process may get."""
    if not isinstance(variables, Mapping):
        return {}
    return {str(n): str(v) for n, v in variables.items() if n in ALLOWED_VARIABLES}


def wants_code(config: Mapping[str, Any]) -> str:
    """The setting by which a config asks to run somebody's code, empty where none does."""
    if config.get("trust_remote_code"):
        return "trust_remote_code: true"
    attention = str(config.get("attn_implementation") or "")
    return f"attn_implementation: {attention}" if "/" in attention else ""


def faults(config: Mapping[str, Any]) -> Iterator[tuple[Place, Problem]]:
    """What in a flat config is refused whoever asks, with the place in it."""
    variables = config.get("env")
    for name in refused_variables(variables):
        hint = f"Set it in the shell that starts the run. Allowed: {', '.join(ALLOWED_VARIABLES)}."
        what = f"a recipe may not set the variable {name}"
        yield ("env", name), Problem(what, next_step=TOKEN_HINT if is_secret_name(name) else hint)
    for key in _mapping(config.get("model_init_kwargs")):
        if key in OWN_BUSINESS:
            what = f"model_init_kwargs may not hold {key}"
            hint = TOKEN_HINT if "tok" in key else f"Remove {key} there."
            yield ("model_init_kwargs", key), Problem(what, next_step=hint)


def secrets(text: str, source: str) -> Iterator[Problem]:
    """Lines of a recipe that hold a secret, its comments included; the secret is not repeated."""
    for number, line in enumerate(text.split("\n"), 1):
        if kind := find_secret(line):
            what = f"{kind} does not belong into a file"
            yield Problem(what, f"{source}:{number}", TOKEN_HINT)


def refuse_code(config: Mapping[str, Any], model: str, trusted: str) -> Problem | None:
    """Why a config's wish to run its model's own code is not granted.

    Args:
        model: The base model as the recipe names it.
        trusted: The model whose code the person has allowed, by the same name.
    """
    wish = wants_code(config)
    if not wish or (model and trusted == model):
        return None
    what = f"{wish} would run Python code that comes with {model or 'the model'}"
    hint = f"If you trust its author, say so: --trust-remote-code {model}."
    return Problem(what, "trust_remote_code", hint)


def _mapping(value: Any) -> Mapping[str, Any]:
    """A mapping, or the JSON text of one, which TRL takes as well."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}

"""What `accelerate launch` tells its processes of FSDP2, for processes on a CPU."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def fsdp2_environment(state: str = "FULL_STATE_DICT") -> dict[str, str]:
    """Variables by which TRL's preset fsdp2 reaches its processes, on a CPU too.

    Args:
        state: How checkpoints are laid out, `fsdp_state_dict_type`.
    """
    here = str(Path(__file__).with_name("cpu_shards"))
    return {
        "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]),
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": "2",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
        "FSDP_RESHARD_AFTER_FORWARD": "true",
        "FSDP_STATE_DICT_TYPE": state,
        "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
        "FSDP_OFFLOAD_PARAMS": "false",
        "FSDP_ACTIVATION_CHECKPOINTING": "false",
    }


def shard_on_cpu(patch: pytest.MonkeyPatch, state: str = "FULL_STATE_DICT") -> None:
    """Let the processes of a run that is launched now spread their weights by FSDP2."""
    for name, value in fsdp2_environment(state).items():
        patch.setenv(name, value)

"""What the first host tells an agent, and when silence means that a host is lost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.base.files import is_number
from workbench.base.secrets import is_secret_name

SILENCE_VARIABLE = "DPO_WORKBENCH_HOST_SILENCE"
SILENCE_SECONDS = 30.0
PASSED_ON = (
    "ACCELERATE_",
    "CUBLAS_",
    "DATASETS_",
    "DPO_WORKBENCH_",
    "GLOO_",
    "HF_",
    "MKL_",
    "NCCL_",
    "OMP_",
    "PYTORCH_",
    "TOKENIZERS_",
    "TORCH_",
    "TRANSFORMERS_",
)
"""Beginnings of the variables that a run's processes get on every host, secrets left out."""
OWN_HOST_VARIABLE = "DPO_WORKBENCH_OWN_HOST"
"""Set where a host has a run directory of its own: its first process writes that."""
OF_ONE_HOST = ("DPO_WORKBENCH_RUN", "DPO_WORKBENCH_SSH", OWN_HOST_VARIABLE)


def silence_limit(environ: Mapping[str, str] = os.environ) -> float:
    """Seconds without a sign of life after which a host is lost."""
    try:
        given = float(environ.get(SILENCE_VARIABLE, ""))
    except ValueError:
        return SILENCE_SECONDS
    return given if is_number(given) and given > 0 else SILENCE_SECONDS


def passed_on(environ: Mapping[str, str], *, shared: bool = True) -> dict[str, str]:
    """The part of an environment that the processes on another host get too.

    Tokens and which GPUs are visible stay here, and so do folders that the host does not share.
    """
    return {
        name: value
        for name, value in environ.items()
        if name.startswith(PASSED_ON)
        and name not in OF_ONE_HOST
        and not is_secret_name(name)
        and (shared or not value.startswith("/"))
    }


@dataclass(frozen=True)
class StartOrder:
    """What an agent starts.

    Attributes:
        command: The launcher.
        environment: Variables that it gets beside those of the host.
        address: Of the first host, where the processes meet.
        relay: Send the ranks' records and logs over the link: the host has its own run directory.
        silence: Seconds without a word from the first host after which everything ends.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    relay: bool = False
    silence: float = SILENCE_SECONDS

    def as_json(self) -> dict[str, Any]:
        """The order as it goes over the link."""
        return {
            "op": "start",
            "command": list(self.command),
            "environment": dict(self.environment),
            "address": self.address,
            "relay": self.relay,
            "silence": self.silence,
        }

    @classmethod
    def from_json(cls, order: Mapping[str, Any]) -> StartOrder:
        """The order as it came over the link. Raises KeyError, TypeError or ValueError."""
        return cls(
            command=tuple(str(word) for word in order["command"]),
            environment={str(name): str(value) for name, value in order["environment"].items()},
            address=str(order["address"]),
            relay=bool(order["relay"]),
            silence=float(order["silence"]),
        )

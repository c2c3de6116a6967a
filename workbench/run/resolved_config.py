"""The resolved TRL config of a stage, as front ends read it: what cannot be read is empty."""

from __future__ import annotations

from typing import Any

import yaml

from workbench.base.tail import read_small
from workbench.run.directory import RunDirectory

CONFIG_BYTES = 1024 * 1024
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def stage_config(run: RunDirectory, stage: str) -> dict[str, Any]:
    """The stage's resolved config; empty where it cannot be read."""
    try:
        found = yaml.load(read_small(run.config(stage), CONFIG_BYTES), Loader=_Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(key): value for key, value in found.items()}

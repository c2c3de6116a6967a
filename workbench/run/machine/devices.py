"""Which GPUs a run has."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import yaml

from workbench.base.tail import read_small
from workbench.run.devices import GPU_PREFIX, split_device, visible_slots
from workbench.run.directory import RunDirectory
from workbench.run.gpu_use import find_gpu
from workbench.run.gpus import GpuView
from workbench.run.record import RunRecord


class DeviceFinder:
    """Tells which GPUs a run has: those on which its processes are, else the one of its slot.

    Args:
        environ: What names the devices; best that of the process which started the worker.
    """

    def __init__(self, run: RunDirectory, environ: Mapping[str, str] | None = None) -> None:
        self._run = run
        self._environ = os.environ if environ is None else environ
        self._cpu_stages: dict[str, bool] = {}

    def find(self, view: GpuView, record: RunRecord, logged: Sequence[str] = ()) -> tuple[str, ...]:
        """Keys of the run's GPUs in a view; none for a run on the CPU.

        Args:
            logged: What the run's own supervisor has found; it knows the environment.
        """
        on = [
            gpu.key
            for gpu in view.gpus
            if any(process.run == self._run.id for process in gpu.processes or ())
        ]
        if on or logged:
            return tuple(on or logged)
        slots = split_device(record.device) or visible_slots(self._environ)[: record.processes]
        if not slots[0].startswith(GPU_PREFIX) or self._asks_cpu(record.stage):
            return ()
        found = (find_gpu(view, slot, self._environ) for slot in slots)
        return tuple(gpu.key for gpu in found if gpu is not None)

    def _asks_cpu(self, stage: str) -> bool:
        if stage not in self._cpu_stages:
            self._cpu_stages[stage] = _config_asks_cpu(self._run, stage)
        return self._cpu_stages[stage]


def _config_asks_cpu(run: RunDirectory, stage: str) -> bool:
    try:
        config = yaml.safe_load(read_small(run.config(stage)))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return False
    return isinstance(config, dict) and config.get("use_cpu") is True

"""A `pynvml` that says what a test wants: the calls, errors and oddities of NVIDIA's own module."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

GIGA = 10**9
CODES = {
    1: "Uninitialized",
    2: "InvalidArgument",
    3: "NotSupported",
    4: "NoPermission",
    5: "AlreadyInitialized",
    6: "NotFound",
    7: "InsufficientSize",
    8: "InsufficientPower",
    9: "DriverNotLoaded",
    10: "Timeout",
    11: "IrqIssue",
    12: "LibraryNotFound",
    13: "FunctionNotFound",
    14: "CorruptedInforom",
    15: "GpuIsLost",
    16: "ResetRequired",
    17: "OperatingSystem",
    18: "LibRmVersionMismatch",
    19: "InUse",
    20: "Memory",
    21: "NoData",
    22: "VgpuEccNotSupported",
    23: "InsufficientResources",
    24: "FreqNotSupported",
    25: "ArgumentVersionMismatch",
    26: "Deprecated",
    27: "NotReady",
    28: "GpuNotFound",
    29: "InvalidState",
    30: "ResetTypeNotSupported",
    999: "Unknown",
}


class NVMLError(Exception):
    """The base of all errors; its text is asked of the library, too."""


ERRORS: list[type[NVMLError]] = [
    type(f"NVMLError_{name}", (NVMLError,), {"value": code}) for code, name in CODES.items()
]


class WordlessError(NVMLError):
    """An error whose text cannot be had either."""

    def __str__(self) -> str:
        raise RuntimeError("the library is gone")


@dataclass
class Device:
    """One GPU as the stub tells of it; a MIG instance has instances of its own never."""

    name: str = "NVIDIA Big"
    uuid: str = "GPU-aa00"
    total: int = 80 * GIGA
    used: int = 500_000_000
    load: int | None = 7
    compute: list[tuple[int, int | None]] = field(default_factory=list)
    graphics: list[tuple[int, int | None]] = field(default_factory=list)
    instances: list[Device] = field(default_factory=list)
    celsius: int | None = None
    milliwatts: int | None = None
    limit_milliwatts: int | None = None
    millijoules: int | None = None


def listed(processes: list[tuple[int, int | None]]) -> list[SimpleNamespace]:
    return [SimpleNamespace(pid=pid, usedGpuMemory=memory) for pid, memory in processes]


class Nvml:
    """The module's functions. `calls` holds what was asked; `fault` is run before each call."""

    def __init__(self, *devices: Device) -> None:
        self.devices = list(devices)
        self.calls: list[str] = []
        self.fault: Callable[[str], None] = lambda name: None
        self.open = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be the module `pynvml` until the test ends."""
        module = types.ModuleType("pynvml")
        module.__dict__["NVMLError"] = NVMLError
        for name in FUNCTIONS:
            module.__dict__[name] = self._function(name)
        monkeypatch.setitem(sys.modules, "pynvml", module)

    def _function(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            self.fault(name)
            return FUNCTIONS[name](self, *arguments)

        return call

    def _enter(self, by: int) -> None:
        self.open += by

    def _instance(self, device: Device, at: int) -> Device:
        if at >= len(device.instances):
            raise ERRORS[5]("Not Found")
        return device.instances[at]


def load(device: Device) -> SimpleNamespace:
    return SimpleNamespace(gpu=supported(device.load), memory=0)


def supported(value: int | None) -> int:
    """A figure, or NVML's error where the device has none."""
    if value is None:
        raise ERRORS[2]("Not Supported")
    return value


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "nvmlInit": lambda nvml: nvml._enter(1),
    "nvmlShutdown": lambda nvml: nvml._enter(-1),
    "nvmlSystemGetDriverVersion": lambda nvml: "570.1",
    "nvmlDeviceGetCount": lambda nvml: len(nvml.devices),
    "nvmlDeviceGetHandleByIndex": lambda nvml, index: nvml.devices[index],
    "nvmlDeviceGetMigMode": lambda nvml, device: [int(bool(device.instances)), 0],
    "nvmlDeviceGetMaxMigDeviceCount": lambda nvml, device: 7,
    "nvmlDeviceGetMigDeviceHandleByIndex": lambda nvml, device, at: nvml._instance(device, at),
    "nvmlDeviceGetMemoryInfo": lambda nvml, device: SimpleNamespace(
        total=device.total, used=device.used, free=device.total - device.used
    ),
    "nvmlDeviceGetUUID": lambda nvml, device: device.uuid,
    "nvmlDeviceGetName": lambda nvml, device: device.name,
    "nvmlDeviceGetUtilizationRates": lambda nvml, device: load(device),
    "nvmlDeviceGetTemperature": lambda nvml, device, sensor: supported(device.celsius),
    "nvmlDeviceGetPowerUsage": lambda nvml, device: supported(device.milliwatts),
    "nvmlDeviceGetEnforcedPowerLimit": lambda nvml, device: supported(device.limit_milliwatts),
    "nvmlDeviceGetTotalEnergyConsumption": lambda nvml, device: supported(device.millijoules),
    "nvmlDeviceGetComputeRunningProcesses": lambda nvml, device: listed(device.compute),
    "nvmlDeviceGetGraphicsRunningProcesses": lambda nvml, device: listed(device.graphics),
}

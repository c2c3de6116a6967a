"""AMD's GPUs as the kernel tells of them in /sys; nothing of ROCm is needed.

Memory, load and sensors are those of the amdgpu driver (kernel documentation, gpu/amdgpu); who has
memory on them is told by its compute part (kfd). Each file is read for itself: what is missing, or
cannot be read, is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.run.kernel_files import as_number, entries_of, number_of, text_of

SYSFS = Path("/sys")
VENDOR = "0x1002"
MICRO, MILLI = 1e-6, 1e-3
CARDS_AT_MOST = 64


@dataclass(frozen=True)
class AmdCard:
    """One GPU.

    Attributes:
        address: Where it is on the PCI bus, `0000:03:00.0`.
        processes: (pid, bytes) of who computes on it; None where the kernel does not tell.
    """

    address: str
    name: str = ""
    unique_id: str = ""
    total_bytes: int | None = None
    used_bytes: int | None = None
    load_percent: int | None = None
    celsius: float | None = None
    watts: float | None = None
    limit_watts: float | None = None
    processes: tuple[tuple[int, int], ...] | None = None


def read_cards(sysfs: Path = SYSFS) -> list[AmdCard]:
    """All AMD GPUs by their place on the bus. A card that sleeps may take a second to wake."""
    found = [card for card in entries_of(sysfs / "class/drm") if _is_card(card)]
    if not found:
        return []
    processes = _processes(sysfs / "class/kfd/kfd")
    cards = [_read_card(card / "device", processes) for card in found[:CARDS_AT_MOST]]
    return sorted(cards, key=lambda card: card.address)


def _is_card(folder: Path) -> bool:
    # card0-DP-1 and the like are its connectors.
    return (
        bool(re.fullmatch(r"card\d+", folder.name)) and text_of(folder / "device/vendor") == VENDOR
    )


def _read_card(device: Path, processes: dict[str, dict[int, int]] | None) -> AmdCard:
    address = _address(device)
    model = text_of(device / "product_name") or f"AMD GPU {text_of(device / 'device')}".strip()
    return AmdCard(
        address,
        name=model,
        unique_id=text_of(device / "unique_id"),
        total_bytes=number_of(device / "mem_info_vram_total"),
        used_bytes=number_of(device / "mem_info_vram_used"),
        load_percent=number_of(device / "gpu_busy_percent"),
        celsius=_sensor(device, MILLI, "temp1_input"),
        watts=_sensor(device, MICRO, "power1_average", "power1_input"),
        limit_watts=_sensor(device, MICRO, "power1_cap"),
        processes=None if processes is None else tuple(processes.get(address, {}).items()),
    )


def _address(device: Path) -> str:
    found = re.search(r"^PCI_SLOT_NAME=(\S+)$", text_of(device / "uevent"), re.MULTILINE)
    return found.group(1).lower() if found else device.resolve().name


def _sensor(device: Path, unit: float, *names: str) -> float | None:
    """The first of these sensors that tells anything."""
    for folder in entries_of(device / "hwmon"):
        for name in names:
            value = number_of(folder / name)
            if value is not None:
                return value * unit
    return None


def _processes(kfd: Path) -> dict[str, dict[int, int]] | None:
    """Per GPU, by its address, what each process has of its memory; None where that is not told."""
    addresses = dict(_gpu_addresses(kfd))
    if not addresses or not (kfd / "proc").is_dir():
        return None
    found: dict[str, dict[int, int]] = {address: {} for address in addresses.values()}
    for folder in entries_of(kfd / "proc"):
        for number, address in addresses.items():
            taken = number_of(folder / f"vram_{number}") if folder.name.isdecimal() else None
            if taken:
                found[address][int(folder.name)] = taken
    return found


def _gpu_addresses(kfd: Path) -> Iterator[tuple[int, str]]:
    """The number that kfd gives each GPU, and where it is on the bus."""
    for node in entries_of(kfd / "topology/nodes"):
        number = number_of(node / "gpu_id")
        if not number:  # a CPU
            continue
        lines = [line.split() for line in text_of(node / "properties").splitlines()]
        facts = {one[0]: as_number(one[1]) or 0 for one in lines if len(one) == 2}
        place, domain = facts.get("location_id", 0), facts.get("domain", 0)
        yield number, f"{domain:04x}:{place >> 8 & 255:02x}:{place >> 3 & 31:02x}.{place & 7}"

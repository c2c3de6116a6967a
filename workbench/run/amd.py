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

SYSFS = Path("/sys")
VENDOR = "0x1002"
MICRO, MILLI = 1e-6, 1e-3
CARDS_AT_MOST = 64
FILE_CHARACTERS = 4096


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
    try:
        found = [card for card in (sysfs / "class/drm").iterdir() if _is_card(card)]
    except OSError:
        return []
    if not found:
        return []
    processes = _processes(sysfs / "class/kfd/kfd")
    cards = [_read_card(card / "device", processes) for card in found[:CARDS_AT_MOST]]
    return sorted(cards, key=lambda card: card.address)


def _is_card(folder: Path) -> bool:
    # card0-DP-1 and the like are its connectors.
    return bool(re.fullmatch(r"card\d+", folder.name)) and _text(folder / "device/vendor") == VENDOR


def _read_card(device: Path, processes: dict[str, dict[int, int]] | None) -> AmdCard:
    address = _address(device)
    model = _text(device / "product_name") or f"AMD GPU {_text(device / 'device')}".strip()
    return AmdCard(
        address,
        name=model,
        unique_id=_text(device / "unique_id"),
        total_bytes=_number(device / "mem_info_vram_total"),
        used_bytes=_number(device / "mem_info_vram_used"),
        load_percent=_number(device / "gpu_busy_percent"),
        celsius=_sensor(device, MILLI, "temp1_input"),
        watts=_sensor(device, MICRO, "power1_average", "power1_input"),
        limit_watts=_sensor(device, MICRO, "power1_cap"),
        processes=None if processes is None else tuple(processes.get(address, {}).items()),
    )


def _address(device: Path) -> str:
    found = re.search(r"^PCI_SLOT_NAME=(\S+)$", _text(device / "uevent"), re.MULTILINE)
    return found.group(1).lower() if found else device.resolve().name


def _sensor(device: Path, unit: float, *names: str) -> float | None:
    """The first of these sensors that tells anything."""
    for folder in _entries(device / "hwmon"):
        for name in names:
            value = _number(folder / name)
            if value is not None:
                return value * unit
    return None


def _processes(kfd: Path) -> dict[str, dict[int, int]] | None:
    """Per GPU, by its address, what each process has of its memory; None where that is not told."""
    addresses = dict(_gpu_addresses(kfd))
    if not addresses or not (kfd / "proc").is_dir():
        return None
    found: dict[str, dict[int, int]] = {address: {} for address in addresses.values()}
    for folder in _entries(kfd / "proc"):
        for number, address in addresses.items():
            taken = _number(folder / f"vram_{number}") if folder.name.isdecimal() else None
            if taken:
                found[address][int(folder.name)] = taken
    return found


def _gpu_addresses(kfd: Path) -> Iterator[tuple[int, str]]:
    """The number that kfd gives each GPU, and where it is on the bus."""
    for node in _entries(kfd / "topology/nodes"):
        number = _number(node / "gpu_id")
        if not number:  # a CPU
            continue
        lines = [line.split() for line in _text(node / "properties").splitlines()]
        facts = {fields[0]: int(fields[1]) for fields in lines if _is_fact(fields)}
        place, domain = facts.get("location_id", 0), facts.get("domain", 0)
        yield number, f"{domain:04x}:{place >> 8 & 255:02x}:{place >> 3 & 31:02x}.{place & 7}"


def _is_fact(fields: list[str]) -> bool:
    return len(fields) == 2 and fields[1].isdecimal() and len(fields[1]) < 20


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(file: Path) -> str:
    try:
        with file.open(encoding="ascii", errors="replace") as opened:
            return opened.read(FILE_CHARACTERS).strip()
    except OSError:
        return ""


def _number(file: Path) -> int | None:
    text = _text(file)
    return int(text) if text.isdecimal() and len(text) < 20 else None

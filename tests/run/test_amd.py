"""AMD's GPUs, in a folder like the kernel's /sys."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest
from nvml_stub import Device, Nvml

from workbench.run import gpus
from workbench.run.amd import read_cards
from workbench.run.gpu_use import find_gpu, judge
from workbench.run.gpus import Gpu, GpuProcess, read_gpus

GIB = 2**30
FILES = {
    "vendor": "0x1002",
    "device": "0x744c",
    "uevent": "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:03:00.0\n",
    "product_name": "Radeon Pro\x1b[2J W7900",
    "unique_id": "a1b2c3",
    "gpu_busy_percent": "61",
    "mem_info_vram_total": str(48 * GIB),
    "mem_info_vram_used": str(18 * GIB),
    "hwmon/hwmon4/name": "amdgpu",
    "hwmon/hwmon4/temp1_input": "64000",
    "hwmon/hwmon4/power1_average": "190000000",
    "hwmon/hwmon4/power1_cap": "241000000",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with one card, which this process computes on."""
    tree = tmp_path / "sys"
    write(tree / "class/drm/card1/device", FILES)
    write(tree / "class/drm/card0/device", {"vendor": "0x10de"})
    write(tree / "class/drm/card1-DP-1/device", FILES)
    kfd = tree / "class/kfd/kfd"
    write(kfd / "topology/nodes/0", {"gpu_id": "0", "properties": "cpu_cores_count 8\n"})
    write(
        kfd / "topology/nodes/1",
        {"gpu_id": "4711", "properties": "location_id 768\ndomain 0\nodd line here\n"},
    )
    write(kfd / f"proc/{os.getpid()}", {"vram_4711": str(12 * GIB), "pasid": "3"})
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gpus, "SYSFS", tree)
    monkeypatch.setattr(gpus, "PID_NAMESPACE", Path("/nowhere"))
    monkeypatch.setattr(gpus, "visible_slots", lambda environ: ["cpu"])
    monkeypatch.setitem(sys.modules, "pynvml", None)
    return tree


def device(sysfs: Path) -> Path:
    return sysfs / "class/drm/card1/device"


def test_everything_that_the_kernel_tells(sysfs: Path) -> None:
    view = read_gpus()
    assert view.reason == ""
    assert view.gpus == (
        Gpu(
            0,
            uuid="a1b2c3",
            name="Radeon Pro W7900",
            total_bytes=48 * GIB,
            used_bytes=18 * GIB,
            free_bytes=30 * GIB,
            load_percent=61,
            processes=(GpuProcess(os.getpid(), psutil.Process().username(), 12 * GIB),),
            celsius=64.0,
            watts=190.0,
            limit_watts=241.0,
            kind="amd",
        ),
    )
    assert view.gpus[0].key == "amd:0"
    # ROCm's torch calls it cuda.
    assert find_gpu(view, "cuda:0", {}) is view.gpus[0]
    assert judge("cuda:0", view).others.startswith("cuda:0: 19 of 52 GB used by ")


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("vendor", "uevent")])
@pytest.mark.parametrize("content", [None, "", "-3", "N/A", "9" * 40])
def test_each_file_may_be_missing_or_odd(sysfs: Path, name: str, content: str | None) -> None:
    (device(sysfs) / name).unlink()
    if content is None:
        (device(sysfs) / name).mkdir()
    else:
        (device(sysfs) / name).write_text(content)
    (gpu,) = read_gpus().gpus
    known = (gpu.used_bytes, gpu.load_percent, gpu.celsius, gpu.watts, gpu.limit_watts)
    assert sum(value is None for value in known) <= 1
    assert bool(gpu.trouble) is (name == "mem_info_vram_total")
    if name == "product_name" and not content:
        assert gpu.name == "AMD GPU 0x744c"


def test_another_sensor_of_power_and_no_sensor(sysfs: Path) -> None:
    (device(sysfs) / "hwmon/hwmon4/power1_average").rename(
        device(sysfs) / "hwmon/hwmon4/power1_input"
    )
    assert read_cards(sysfs)[0].watts == 190.0
    (device(sysfs) / "hwmon").rename(device(sysfs) / "other")
    card = read_cards(sysfs)[0]
    assert (card.watts, card.limit_watts, card.celsius) == (None, None, None)


def test_cards_are_in_the_order_of_the_bus(sysfs: Path) -> None:
    second = {**FILES, "uevent": "PCI_SLOT_NAME=0000:01:00.0\n", "unique_id": "first"}
    write(sysfs / "class/drm/card2/device", second)
    assert [card.unique_id for card in read_cards(sysfs)] == ["first", "a1b2c3"]


def test_who_computes_is_unknown_without_kfd(sysfs: Path) -> None:
    (sysfs / "class/kfd/kfd/proc").rename(sysfs / "class/kfd/kfd/gone")
    assert read_cards(sysfs)[0].processes is None


def test_no_card_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_cards(tmp_path) == []
    monkeypatch.setattr(gpus, "SYSFS", tmp_path)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert read_gpus().reason == "nvidia-ml-py is not installed"


def test_a_processors_gpu_does_not_pass_for_nvidias(
    sysfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "visible_slots", lambda environ: ["cuda:0"])
    view = read_gpus()
    assert (len(view.gpus), view.reason) == (1, "nvidia-ml-py is not installed")
    assert find_gpu(view, "cuda:0", {}) is None
    assert judge("cuda:0", view).unknown == ("cuda:0: no GPU data (nvidia-ml-py is not installed)")


def test_both_makers_in_one_machine(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Nvml(Device()).install(monkeypatch)
    view = read_gpus()
    assert [gpu.key for gpu in view.gpus] == ["cuda:0", "amd:0"]
    assert find_gpu(view, "cuda:0", {}) is view.gpus[0]

"""`machine`: what is said of looks that the test supplies, and one of this machine."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from nvml_stub import GIGA, Device, Nvml

from workbench.base.paths import Paths
from workbench.cli import machine as command
from workbench.cli import main
from workbench.run import gpus
from workbench.run.gpus import Gpu, GpuProcess, GpuView, GpuWatch
from workbench.run.machine.energy import Energy
from workbench.run.machine.host import Capacity, Host, WorkerUse
from workbench.run.machine.text import energy_words, machine_rows, process_lines, short_words
from workbench.run.machine.view import MachineView

Capture = pytest.CaptureFixture[str]
HOSTILE = "bad [/INST] \x1b]52;c;cm0gLXJm\x07\x1b[2J\x9b31m \u202eend\n"
RUN = "20270115-080000-small-a1b2"
VIEW = MachineView(
    1.8e9,
    Host(
        "box",
        16.0,
        42.4,
        (3.5, 2.25, 1.0),
        Capacity(128 * GIGA, 97 * GIGA),
        Capacity(8 * GIGA, 8 * GIGA),
        Capacity(2000 * GIGA, 512 * GIGA),
        "/home/me/runs",
        limited=True,
    ),
    GpuView(
        (
            Gpu(
                0,
                "GPU-aa",
                "NVIDIA H100",
                80 * GIGA,
                18 * GIGA,
                62 * GIGA,
                61,
                (GpuProcess(4711, "me", 12 * GIGA, RUN), GpuProcess(4242, "anna", 6 * GIGA)),
                celsius=64.0,
                watts=310.4,
                limit_watts=700.0,
            ),
            Gpu(1, trouble="GPU is lost"),
        )
    ),
    WorkerUse(4711, 193.4, 2_100_000_000, 3),
    RUN,
    ("cuda:0",),
    energy=Energy(12.34, None, 60.0),
)


def test_everything_in_lines() -> None:
    assert machine_rows(VIEW) == [
        ("host", "box, limited by its container or job"),
        ("cpu", "42 % of 16 cores, load 3.5 2.2 1.0"),
        ("memory", "31 of 128 GB used, swap 0.0 of 8.0 GB"),
        ("disk", "512 of 2000 GB free, /home/me/runs"),
        (
            "cuda:0",
            "NVIDIA H100, load 61 %, 18 of 80 GB: ours 12, others 6.0, free 62, 64 °C, "
            "310 of 700 W",
        ),
        ("", "me, pid 4711, 12 GB, this run"),
        ("", "anna, pid 4242, 6.0 GB"),
        ("cuda:1", "unknown, no GPU data (GPU is lost)"),
        ("run", f"{RUN}, on cuda:0"),
        ("worker", "pid 4711, CPU 193 % of one core, 2.1 GB, 3 processes"),
        ("energy", "12.3 Wh (GPU) so far"),
    ]


def test_a_machine_of_which_nothing_is_known() -> None:
    bare = MachineView(0.0, Host(), GpuView(reason="nvidia-ml-py is not installed"), run="x")
    assert machine_rows(bare) == [
        ("gpu", "no GPU data: nvidia-ml-py is not installed"),
        ("run", "x, on the CPU"),
        ("worker", "not at work"),
    ]
    assert short_words(bare) == []


def test_the_monitors_line_is_of_the_runs_device() -> None:
    assert short_words(VIEW) == ["cuda:0 61 %", "18/80 GB", "64 °C", "310 W"]
    assert short_words(replace(VIEW, devices=())) == ["CPU 42 % of 16 cores", "RAM 31/128 GB"]
    both = replace(VIEW, devices=("cuda:0", "cuda:1"))
    assert short_words(both)[-1] == "cuda:1 -"


@pytest.mark.parametrize(
    ("wh", "said"),
    [(0.0421, "0.042 Wh"), (9.876, "9.88 Wh"), (12.34, "12.3 Wh"), (1234.0, "1.23 kWh")],
)
def test_energy_in_few_digits(wh: float, said: str) -> None:
    assert energy_words(Energy(wh, None)) == f"{said} (GPU)"


def test_who_cannot_be_seen_is_told() -> None:
    full = Gpu(0, total_bytes=80 * GIGA, used_bytes=40 * GIGA, processes=())
    assert process_lines(full) == ["used by processes that cannot be seen from here"]
    assert process_lines(replace(full, used_bytes=GIGA // 2)) == []
    assert process_lines(replace(full, processes=None)) == []
    crowd = tuple(GpuProcess(pid, "anna") for pid in range(1, 12))
    assert process_lines(replace(full, processes=crowd), most=2) == [
        "anna, pid 1",
        "anna, pid 2",
        "and 9 more",
    ]


def test_names_of_others_are_inert(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, capsys: Capture
) -> None:
    bad = GpuProcess(5, HOSTILE, GIGA, HOSTILE)
    gpu = Gpu(0, name=HOSTILE, total_bytes=GIGA, used_bytes=GIGA, processes=(bad,))
    monkeypatch.setattr(gpus, "WATCH", GpuWatch(lambda: GpuView((gpu,), HOSTILE, HOSTILE)))
    monkeypatch.setenv("DPO_WORKBENCH_HOME", str(paths.data))
    assert main(["machine"]) == 0
    said = capsys.readouterr().out
    assert "[/INST]" in said
    assert not any(letter in said for letter in "\x1b\x07\x9b\u202e")


def test_a_look_at_this_machine(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, capsys: Capture
) -> None:
    Nvml(Device(celsius=64, milliwatts=310_400)).install(monkeypatch)
    monkeypatch.setattr(gpus, "WATCH", GpuWatch())
    monkeypatch.setenv("DPO_WORKBENCH_HOME", str(paths.data))
    assert main(["machine", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (gpu,) = found["gpus"]
    assert (gpu["device"], gpu["celsius"], gpu["watts"]) == ("cuda:0", 64, 310.4)
    assert found["host"]["cpu_percent"] is not None
    assert (found["no_gpu_data"], found["run"]) == ("", None)


def test_no_gpu_data_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, capsys: Capture
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(gpus, "WATCH", GpuWatch())
    monkeypatch.setenv("DPO_WORKBENCH_HOME", str(paths.data))
    assert main(["machine"]) == 0
    assert "gpu       no GPU data: nvidia-ml-py is not installed\n" in capsys.readouterr().out
    assert main(["machine", "none"]) == 2


def test_a_runs_folder_that_is_not_there(tmp_path: Path, capsys: Capture) -> None:
    """The disk is that of the nearest folder."""
    from argparse import Namespace

    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(tmp_path / "a" / "b")})
    assert command.machine(Namespace(run="", json=False), paths) == 0
    assert " GB free, " in capsys.readouterr().out

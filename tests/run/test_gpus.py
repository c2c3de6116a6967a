"""What NVML tells, by a stand-in for NVIDIA's module; the sentences that come of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from nvml_stub import ERRORS, FUNCTIONS, GIGA, Device, Nvml

from workbench.run import gpus
from workbench.run.gpu_use import find_gpu, gigabytes, others_on, owners, use_of
from workbench.run.gpus import Gpu, GpuProcess, GpuView, read_gpus

FOREIGN = 2**22 + 1
"""A pid that Linux never gives."""


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gpus, "PID_NAMESPACE", Path("/nowhere"))


@pytest.fixture
def child(tmp_path: Path) -> Iterator[int]:
    """A process of the run `20270115-small`."""
    environment = {**os.environ, "DPO_WORKBENCH_RUN": str(tmp_path / "20270115-small")}
    code = "import sys; print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_everything_that_nvml_tells(monkeypatch: pytest.MonkeyPatch, child: int) -> None:
    me = os.getpid()
    first = Device(used=61 * GIGA, compute=[(me, GIGA), (child, 60 * GIGA)], graphics=[(me, 5)])
    nvml = Nvml(first, Device("NVIDIA Small", "GPU-bb11", compute=[(FOREIGN, 2**64 - 1)]))
    nvml.install(monkeypatch)
    view = read_gpus()
    user = psutil.Process().username()
    assert (view.driver, view.reason, nvml.open) == ("570.1", "", 0)
    assert view.gpus[0] == Gpu(
        index=0,
        uuid="GPU-aa00",
        name="NVIDIA Big",
        total_bytes=80 * GIGA,
        used_bytes=61 * GIGA,
        free_bytes=19 * GIGA,
        load_percent=7,
        processes=(
            GpuProcess(child, user, 60 * GIGA, "20270115-small"),
            GpuProcess(me, user, GIGA, "", computes=True),
        ),
    )
    assert view.gpus[1].processes == (GpuProcess(FOREIGN, "", None),)


def test_the_instances_of_a_gpu_that_mig_has_split(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Device("NVIDIA Big MIG 1g.10gb", "MIG-11", 10 * GIGA, 9 * GIGA, None, [(FOREIGN, GIGA)])
    two = Device("NVIDIA Big MIG 1g.10gb", "MIG-22", 10 * GIGA, 0, None)
    Nvml(Device(instances=[one, two])).install(monkeypatch)
    view = read_gpus()
    assert [(gpu.index, gpu.uuid, gpu.load_percent) for gpu in view.gpus] == [
        (0, "MIG-11", None),
        (0, "MIG-22", None),
    ]
    assert find_gpu(view, "cuda:0") is view.gpus[0]
    assert find_gpu(view, "cuda:MIG-22") is view.gpus[1]
    assert find_gpu(view, "cuda:MIG-") is None


def test_a_pid_of_another_namespace_has_no_owner(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert gpus.whose(os.getpid()) == (psutil.Process().username(), "")
    namespace = tmp_path / "pid"
    namespace.symlink_to("pid:[4026532000]")
    monkeypatch.setattr(gpus, "PID_NAMESPACE", namespace)
    assert gpus.whose(os.getpid()) == ("", "")
    # One that holds a GPU's device file is meant.
    monkeypatch.setattr(Path, "readlink", lambda file: Path("/dev/nvidia0"))
    assert gpus.whose(os.getpid())[0] == psutil.Process().username()


class Stranger:
    """A process of another user, as psutil shows it to who is not root."""

    pid = FOREIGN

    def __init__(self, pid: int) -> None:
        pass

    def username(self) -> str:
        return "anna\x1b[2J"

    def uids(self) -> SimpleNamespace:
        return SimpleNamespace(real=os.getuid() + 1)

    def environ(self) -> dict[str, str]:
        raise AssertionError("nobody looks into others' environment")


def test_a_process_of_another_user_has_an_owner_and_no_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(psutil, "Process", Stranger)
    assert gpus.whose(FOREIGN) == ("anna", "")
    for error in (psutil.AccessDenied(), psutil.NoSuchProcess(FOREIGN), KeyError(), OSError()):

        def fail(process: Stranger, error: Exception = error) -> str:
            raise error

        monkeypatch.setattr(Stranger, "username", fail)
        assert gpus.whose(FOREIGN) == ("", "")


def view(*devices: Gpu) -> GpuView:
    return GpuView(devices)


def gpu(index: int = 0, uuid: str = "GPU-aa00", name: str = "Big", used: int = 61) -> Gpu:
    return Gpu(index, uuid, name, 80 * GIGA, used * GIGA, (80 - used) * GIGA, 7, ())


def test_a_slot_finds_its_gpu() -> None:
    both = view(gpu(0, "GPU-aa00"), gpu(1, "GPU-aa11", "Small"))
    assert find_gpu(both, "cuda:1", {}) is both.gpus[1]
    assert find_gpu(both, "cuda:GPU-aa11", {}) is both.gpus[1]
    for none in ("cuda:2", "cuda:GPU-aa", "cuda:GPU-cc"):
        assert find_gpu(both, none, {}) is None
    # The person's own numbers begin with the fastest, which is not known here.
    named = {"CUDA_VISIBLE_DEVICES": "1"}
    assert find_gpu(both, "cuda:1", named) is None
    assert find_gpu(both, "cuda:1", {**named, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}) is both.gpus[1]
    alike = view(gpu(0), gpu(1))
    assert find_gpu(alike, "cuda:1", named) is alike.gpus[1]


ANNA = GpuProcess(4242, "anna", 61 * GIGA)
BEN = GpuProcess(77, "ben", 9_840_000_000)


@pytest.mark.parametrize(
    ("used", "processes", "said"),
    [
        (61, (ANNA,), "61 of 80 GB used by anna (pid 4242, 61 GB)"),
        (71, (ANNA, BEN), "71 of 80 GB used by anna (pid 4242, 61 GB), ben (pid 77, 9.8 GB)"),
        (61, (GpuProcess(9),), "61 of 80 GB used by pid 9"),
        (61, (GpuProcess(9, "", GIGA),), "61 of 80 GB used by pid 9 (1.0 GB)"),
        (61, (GpuProcess(9, "anna"),), "61 of 80 GB used by anna (pid 9)"),
        (61, None, "61 of 80 GB used by processes that cannot be seen from here"),
        (61, (GpuProcess(9, "me", 61 * GIGA, "small"),), ""),
        (0, (GpuProcess(9, "anna", 5 * 10**8),), "0.0 of 80 GB used by anna (pid 9, 0.5 GB)"),
        (1, (GpuProcess(9, "root", GIGA, computes=False),), ""),
        (1, (), ""),
    ],
)
def test_who_else_is_there(used: int, processes: tuple[GpuProcess, ...] | None, said: str) -> None:
    seen = Gpu(0, "", "", 80 * GIGA, used * GIGA, None, None, processes)
    assert others_on(seen) == said


def test_a_crowd_is_counted() -> None:
    crowd = [GpuProcess(pid, "anna") for pid in range(1, 6)]
    assert owners(crowd) == "anna (pid 1), anna (pid 2), anna (pid 3) and 2 more"
    assert owners([GpuProcess(9, "me", GIGA, "small-a1b2")]) == "run small-a1b2 (1.0 GB)"
    assert owners([]) == ""


def test_a_machine_without_a_gpu_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml()
    nvml.install(monkeypatch)
    use = use_of("cpu")
    assert (use.others, use.unknown, nvml.calls) == ("", "", [])


def test_gigabytes() -> None:
    assert [gigabytes(n) for n in (0, 4 * 10**8, 9_949_999_999, 9_950_000_000, 79_600_000_000)] == [
        "0.0",
        "0.4",
        "9.9",
        "10",
        "80",
    ]


def test_the_stand_in_is_like_the_real_module() -> None:
    real = pytest.importorskip("pynvml")
    for function in FUNCTIONS:
        assert callable(getattr(real, function))
    for error in ERRORS:
        assert getattr(real, error.__name__)().value == error.value  # type: ignore[attr-defined]
    assert len(ERRORS) == len(real.NVMLError._valClassMapping)


def test_the_real_module_answers_without_an_error() -> None:
    pytest.importorskip("pynvml")
    view = read_gpus()
    assert bool(view.gpus) is not bool(view.reason)
    for seen in view.gpus:
        assert seen.trouble or (seen.name and seen.uuid and seen.total_bytes)

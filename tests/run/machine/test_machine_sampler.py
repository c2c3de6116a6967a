"""The samples that a supervisor takes: in a real run, and where something is broken."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from machine_samples import gpu
from nvml_stub import GIGA, Device, Nvml
from run_helpers import ended, stand_in, until

from workbench.base.paths import Paths
from workbench.recipe.recipe import Recipe
from workbench.run import gpus
from workbench.run.directory import RunDirectory, create_run
from workbench.run.gpus import GpuProcess, GpuView, GpuWatch
from workbench.run.launch import launch, stop
from workbench.run.machine.devices import DeviceFinder
from workbench.run.machine.log import read_samples
from workbench.run.machine.reader import MachineReader
from workbench.run.machine.sampler import MOST_BYTES, STEP_BYTES, MachineSampler, interval
from workbench.run.processes import end_processes
from workbench.run.record import read_record, update_record

WORKER = """\
import signal, sys, time
from pathlib import Path
from workbench.run.directory import RunDirectory
from workbench.run.record import update_record
signal.sigwait([signal.SIGTERM])
update_record(RunDirectory(Path(sys.argv[1])), state="stopped", finished=time.time())
"""
# A supervisor with a GPU, and samples so often that a test need not wait.
WITH_GPU = """\
import sys
sys.path[:0] = [{tests!r}]
from nvml_stub import Device, Nvml
class Install:
    def setitem(self, modules, name, module): modules[name] = module
Nvml(Device(celsius=64, milliwatts=310_000, millijoules=5_000_000)).install(Install())
from workbench.run.machine import sampler
sampler.FIRST_SECONDS = 0.05
sampler.SHORTEST_SECONDS = 0.05
"""
SETUP = WITH_GPU.format(tests=str(Path(__file__).parents[2]))


@pytest.fixture
def run(make_recipe: Callable[..., Recipe], paths: Paths) -> Iterator[RunDirectory]:
    run = create_run(paths, make_recipe("model_name_or_path: m\n"))
    yield run
    end_processes(run)


def test_a_run_logs_what_it_takes(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    stand_in(monkeypatch, tmp_path / "bin", WORKER, SETUP)
    launch(run)
    until(lambda: len(list(read_samples(run))) >= 3)
    stop(run)
    assert ended(run).state == "stopped"
    first, *_, last = read_samples(run)
    assert (first.begins, last.begins) == (True, False)
    (seen,) = first.view.gpus.gpus
    assert (seen.key, seen.watts, seen.joules, seen.celsius) == ("cuda:0", 310.0, 5000.0, 64.0)
    assert first.view.host.memory is not None
    assert first.view.worker is not None
    assert run.machine.stat().st_mode & 0o077 == 0
    # The last one is taken when the worker has gone.
    assert last.view.worker is None
    finished = read_record(run).finished
    assert abs(last.view.time - finished) < 5


@pytest.mark.parametrize("trouble", ["folder", "hanging"])
def test_nothing_of_it_holds_a_run_up(
    run: RunDirectory, trouble: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A place that cannot be written, and a driver that never answers."""
    setup = SETUP
    if trouble == "folder":
        run.machine.mkdir()
    else:
        setup += "import threading\nfrom workbench.run import gpus\n"
        setup += "gpus.WATCH._read = lambda: threading.Event().wait()\nsampler.GPU_SECONDS = 0.1\n"
    stand_in(monkeypatch, tmp_path / "bin", WORKER, setup)
    launch(run)
    if trouble == "hanging":
        until(lambda: len(list(read_samples(run))) >= 2)
        assert all(not sample.view.gpus.gpus for sample in read_samples(run))
    stop(run)
    record = ended(run)
    assert (record.state, record.exit_code) == ("stopped", 0)
    assert "Traceback" not in run.log.read_text()


class Answer:
    """GPUs as the test says."""

    def __init__(self, *views: GpuView) -> None:
        self.views = list(views)

    def __call__(self, seconds: float = 0) -> GpuView:
        return self.views.pop(0) if len(self.views) > 1 else self.views[0]


def test_a_full_disk_costs_that_sample(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = MachineSampler(run, os.getpid(), look=Answer(GpuView((gpu(),))))
    sampler.begin()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("workbench.run.machine.sampler.append_json", full)
        assert not sampler.sample(10)
    assert sampler.sample(10)
    assert sampler.sample(10)
    # The first that was written says that a supervisor began.
    assert [sample.begins for sample in read_samples(run)] == [True, False]


@pytest.mark.parametrize("name", ["virtual_memory", "cpu_times", "Process", "cpu_count"])
def test_a_figure_that_psutil_lacks(
    run: RunDirectory, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = MachineSampler(run, os.getpid(), look=Answer(GpuView()))
    with monkeypatch.context() as patch:
        patch.delattr(psutil, name)
        sampler.begin()
        sampler.sample(10)
    before = len(list(read_samples(run)))
    assert sampler.sample(10)
    assert len(list(read_samples(run))) == before + 1


def test_a_stop_does_not_wait_for_a_driver_that_hangs(run: RunDirectory) -> None:
    asked, release = threading.Event(), threading.Event()

    def hang(seconds: float) -> GpuView:
        asked.set()
        release.wait(20)
        return GpuView()

    sampler = MachineSampler(run, os.getpid(), look=hang)
    sampler.start()
    sampler.stop()
    assert asked.wait(20)
    assert not release.is_set()
    release.set()


def test_the_interval_grows_with_the_file() -> None:
    assert [interval(size) for size in (0, STEP_BYTES - 1, STEP_BYTES, 3 * STEP_BYTES)] == [
        10.0,
        10.0,
        20.0,
        80.0,
    ]
    assert interval(MOST_BYTES - 1) == 120.0
    assert interval(MOST_BYTES) is None
    # A month of one GPU, at 250 bytes a sample.
    size = seconds = 0.0
    while seconds < 30 * 86400:
        every = interval(int(size))
        assert every is not None
        seconds, size = seconds + every, size + 250
    assert size < MOST_BYTES


def test_which_gpus_a_run_has(run: RunDirectory) -> None:
    record = read_record(run)
    empty = [gpu(index, processes=()) for index in range(3)]
    finder = DeviceFinder(run, {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    assert finder.find(GpuView(tuple(empty)), record) == ("cuda:1",)
    record.device = "cuda:2"
    assert finder.find(GpuView(tuple(empty)), record) == ("cuda:2",)
    # Its supervisor knows better, and its processes best.
    assert finder.find(GpuView(tuple(empty)), record, ("cuda:0",)) == ("cuda:0",)
    mine = gpu(1, processes=(GpuProcess(7, "me", 5, run.id),))
    there = GpuView((empty[0], mine, empty[2]))
    assert finder.find(there, record, ("cuda:0",)) == ("cuda:1",)
    assert finder.find(GpuView(), record) == ()
    record.device = "cpu"
    assert finder.find(GpuView(tuple(empty)), record) == ()


def test_a_stage_on_the_cpu_has_no_gpu(run: RunDirectory) -> None:
    finder = DeviceFinder(run, {"CUDA_VISIBLE_DEVICES": "0"})
    view = GpuView((gpu(processes=()),))
    record = read_record(run)
    assert finder.find(view, record) == ("cuda:0",)
    record.stage = "other"
    run.config("other").write_text("use_cpu: true\n")
    assert finder.find(view, record) == ()
    for number, text in enumerate(("use_cpu: [", "[" * 5000, "5", "use_cpu: maybe")):
        record.stage = f"odd{number}"
        run.config(record.stage).write_text(text)
        assert finder.find(view, record) == ("cuda:0",)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    """Three GPUs: a full one, one that MIG has split, one that tells nothing."""
    part = Device("Part", "MIG-1", 40 * GIGA, 0, None)
    full = Device(celsius=64, milliwatts=310_500, limit_milliwatts=700_000, millijoules=9_000_250)
    stub = Nvml(full, Device(uuid="GPU-bb", instances=[part, part], celsius=50), Device(total=-1))
    stub.install(monkeypatch)
    monkeypatch.setattr(gpus, "WATCH", GpuWatch())
    return stub


def test_power_and_warmth(nvml: Nvml) -> None:
    seen = {found.key: found for found in gpus.look().gpus}
    assert list(seen) == ["cuda:0", "cuda:1.0", "cuda:1.1", "cuda:2"]
    first = seen["cuda:0"]
    assert (first.celsius, first.watts, first.limit_watts, first.joules) == (
        64,
        310.5,
        700.0,
        9000.25,
    )
    # The parts of a GPU share its power: only the warmth is told.
    assert [(seen[key].celsius, seen[key].watts) for key in ("cuda:1.0", "cuda:1.1")] == [
        (50, None),
        (50, None),
    ]
    assert (seen["cuda:2"].watts, seen["cuda:2"].trouble) == (None, "it does not tell its memory")


def test_a_reader_joins_what_it_sees_and_what_was_logged(run: RunDirectory) -> None:
    me = psutil.Process()
    update_record(run, state="running", pid=me.pid, create_time=me.create_time())
    shown = Answer(GpuView((gpu(0, processes=()), gpu(1, processes=()))))
    sampler = MachineSampler(run, me.pid, look=shown, clock=lambda: 1000.0)
    sampler._finder = DeviceFinder(run, {"CUDA_VISIBLE_DEVICES": "1"})
    sampler.sample(10)
    reader = MachineReader(run.path, run, look=shown, clock=lambda: 1005.0, settle=0)
    view = reader.look()
    assert (view.run, view.devices) == (run.id, ("cuda:1",))
    assert [found.index for found in view.of_run] == [1]
    assert view.worker is not None
    assert view.worker.pid == me.pid
    assert view.curves["cuda:1"][-1] == 61.0
    alone = MachineReader(run.path, look=shown, settle=0).look()
    assert (alone.run, alone.worker, alone.devices, alone.energy) == ("", None, (), None)


def test_a_run_of_another_machine_shows_what_it_logged(run: RunDirectory) -> None:
    shown = Answer(GpuView((gpu(0),)))
    reader = MachineReader(run.path, run, look=shown, settle=0)
    update_record(run, host="elsewhere", device="cuda:0")
    view = reader.look()
    assert (view.elsewhere, view.gpus.gpus) == ("elsewhere", ())
    assert view.gpus.reason == "the run has logged no GPU"
    MachineSampler(run, 0, look=shown).sample(10)
    view = reader.look()
    assert [found.watts for found in view.of_run] == [310.2]

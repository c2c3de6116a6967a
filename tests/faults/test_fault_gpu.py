"""A driver that fails in every way at every call, and a GPU that is full of others' jobs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from nvml_stub import ERRORS, FUNCTIONS, GIGA, Device, Nvml, NVMLError, WordlessError

from workbench.base.paths import Paths
from workbench.cli import main
from workbench.recipe.recipe import Recipe
from workbench.run import gpus
from workbench.run.directory import list_runs
from workbench.run.gpu_use import use_of
from workbench.run.gpus import GpuView, GpuWatch
from workbench.run.record import read_record

Capture = pytest.CaptureFixture[str]
OTHERS = [*ERRORS, NVMLError, WordlessError, OSError, AttributeError, UnicodeError]
DECISIVE = ("nvmlInit", "nvmlDeviceGetCount")
MODEL = (
    '{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, '
    '"num_hidden_layers": 64, "num_attention_heads": 32, "num_key_value_heads": 8, '
    '"vocab_size": 128256}'
)
ROW = '{"prompt": "Why?", "chosen": "Because it is.", "rejected": "It depends."}\n'


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    """Two GPUs, the second split by MIG."""
    half = Device("Half", "MIG-1", 40 * GIGA, 0, None, [(2**22 + 1, GIGA)])
    stub = Nvml(Device(compute=[(os.getpid(), GIGA)]), Device(uuid="GPU-bb11", instances=[half]))
    stub.install(monkeypatch)
    monkeypatch.setattr(gpus, "WATCH", GpuWatch())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    return stub


def failing(name: str, error: type[Exception]) -> Callable[[str], None]:
    def fault(asked: str) -> None:
        if asked == name:
            raise error("It failed")

    return fault


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_error_at_each_call(nvml: Nvml, function: str) -> None:
    """Row 53. What fails is missing from the view, and nothing else is."""
    needed = function in ("nvmlDeviceGetHandleByIndex", "nvmlDeviceGetMemoryInfo", *DECISIVE)
    for error in OTHERS:
        nvml.calls.clear()
        nvml.fault = failing(function, error)
        view = gpus.look()
        assert function in nvml.calls
        if function in DECISIVE:
            assert (view.gpus, bool(view.reason)) == ((), True)
        else:
            assert ([gpu.index for gpu in view.gpus], view.reason) == ([0, 1], "")
        for gpu in view.gpus:
            assert (gpu.total_bytes is None) is bool(gpu.trouble) is needed
        assert ("no GPU data (" in use_of("cuda:0").unknown) is needed


@pytest.mark.parametrize("error", [NVMLError, ERRORS[14], WordlessError])
def test_an_error_in_the_middle(nvml: Nvml, error: type[Exception]) -> None:
    """Row 53. Every call fails from any moment on, as when a GPU falls off the bus."""
    gpus.look()
    total = len(nvml.calls)
    for good in range(total):
        nvml.calls.clear()

        def fault(name: str, good: int = good) -> None:
            if len(nvml.calls) > good:
                raise error("It failed")

        nvml.fault = fault
        view = gpus.look()
        assert bool(view.reason) is not bool(view.gpus)
        assert len(nvml.calls) > good
    # It works again when the driver does.
    nvml.fault = lambda name: None
    assert [gpu.total_bytes for gpu in gpus.look().gpus] == [80 * GIGA, 40 * GIGA]


@pytest.mark.parametrize("answer", [None, -1, 2**70, "many", object(), [], [None], b"\xff"])
def test_answers_that_make_no_sense(
    nvml: Nvml, answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 53. A module of the same name that is another one."""
    module = sys.modules["pynvml"]
    for function in FUNCTIONS:
        with monkeypatch.context() as patch:
            patch.setattr(module, function, lambda *arguments: answer)
            view = gpus.look()
            assert bool(view.reason) is not bool(view.gpus)
            use_of("cuda:0")


def test_a_module_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 53."""
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    for number, text in enumerate(("raise RuntimeError('no \\x1b[2J way')", "def")):
        (tmp_path / "pynvml.py").write_text(text + " " * number)
        monkeypatch.delitem(sys.modules, "pynvml", raising=False)
        view = GpuWatch().look()
        assert view.gpus == ()
        assert "\x1b" not in view.reason
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert GpuWatch().look().reason == "nvidia-ml-py is not installed"


def test_a_driver_that_hangs(nvml: Nvml) -> None:
    """Row 53. One thread waits, however often somebody looks; it works again after that."""
    hanging, release = threading.Event(), threading.Event()

    def fault(name: str) -> None:
        if name == "nvmlDeviceGetMemoryInfo":
            hanging.set()
            release.wait(20)

    nvml.fault = fault
    watch = GpuWatch()
    for _ in range(5):
        assert watch.look(0.01) == GpuView(reason="the driver does not answer")
    assert hanging.wait(20)
    assert nvml.calls.count("nvmlInit") == 1
    release.set()
    assert len(watch.look(20).gpus) == 2


def test_a_driver_that_always_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 53. What it said when nobody waited any more is told at the next look, once."""
    release, answers = threading.Event(), iter(range(1, 9))

    def read() -> GpuView:
        release.wait(20)
        return GpuView(driver=str(next(answers)))

    watch = GpuWatch(read)
    assert watch.look(0).reason == "the driver does not answer"
    release.set()
    assert watch._thread is not None
    watch._thread.join(20)
    assert [watch.look(20).driver for _ in range(2)] == ["1", "2"]
    # An hour later it is of no use.
    release.clear()
    watch.look(0)
    release.set()
    watch._thread.join(20)
    monkeypatch.setattr(gpus, "FRESH_SECONDS", 0.0)
    assert watch.look(20).driver == "4"


def test_a_hanging_driver_does_not_keep_the_process() -> None:
    """Row 53."""
    code = (
        "import threading, sys\n"
        "from workbench.run.gpus import GpuWatch\n"
        "print(GpuWatch(threading.Event().wait).look(0.01).reason)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.strip() == "the driver does not answer"


def test_doctor_reports_a_driver_that_fails(
    nvml: Nvml, paths: Paths, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 53."""
    nvml.fault = failing("nvmlDeviceGetMemoryInfo", ERRORS[14])
    monkeypatch.setenv("DPO_WORKBENCH_HOME", str(paths.data))
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "warning  gpu 0          NVIDIA Big, no GPU data: It failed\n" in said
    assert "Traceback" not in said


@pytest.fixture
def large_recipe(
    tmp_path: Path, make_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> Recipe:
    """One that takes more than 19 GB, and a launch that starts nothing."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(MODEL)
    (tmp_path / "pairs.jsonl").write_text(ROW * 20)
    monkeypatch.setattr("workbench.cli.train.launch", lambda run: 4242)
    monkeypatch.setenv("DPO_WORKBENCH_HOME", str(tmp_path / "home"))
    return make_recipe(
        "model_name_or_path: model\nuse_peft: true\nbeta: 0.1\ndtype: bfloat16\n"
        "datasets: [{path: json, data_files: pairs.jsonl}]\n"
    )


def full(nvml: Nvml, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.devices[0].used = 61 * GIGA
    nvml.devices[0].compute = [(4242, 61 * GIGA)]
    monkeypatch.setattr(gpus, "whose", lambda pid: ("anna", ""))


def test_a_full_gpu_is_told_before_a_launch(
    nvml: Nvml, large_recipe: Recipe, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 54. With the owners, and with what is free where the run may need more."""
    full(nvml, monkeypatch)
    assert main(["run", str(large_recipe.path), "--detach"]) == 0
    said = capsys.readouterr().err
    used = "warning: cuda:0: 61 of 80 GB used by anna (pid 4242, 61 GB)."
    assert f"{used} dpo-workbench doctor lists all devices.\n" in said
    assert "warning: will not fit: dpo takes about " in said
    assert " of memory, and cuda:0 has 19.0 GB free (weights " in said


def test_a_free_gpu_is_not_worth_a_word(nvml: Nvml, large_recipe: Recipe, capsys: Capture) -> None:
    """Row 54."""
    nvml.devices[0].compute = []
    assert main(["run", str(large_recipe.path), "--detach"]) == 0
    assert "cuda" not in capsys.readouterr().err


def test_the_device_that_the_run_gets_is_the_one_that_is_looked_at(
    nvml: Nvml, large_recipe: Recipe, capsys: Capture, monkeypatch: pytest.MonkeyPatch, paths: Paths
) -> None:
    """Row 54. Named by a person, by the recipe, or the first that is free."""
    full(nvml, monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    command = ["run", str(large_recipe.path), "--detach"]
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "It gets cuda:0, the first device that is free.\n" in said
    assert "cuda:0: 61 of 80 GB used by anna" in said
    assert main([*command, "--device", "cuda:1"]) == 0
    assert "cuda:1: 0.0 of 40 GB used by anna" in capsys.readouterr().err
    with large_recipe.path.open("a") as recipe:
        recipe.write("env: {CUDA_VISIBLE_DEVICES: 1}\n")
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "It gets" not in said
    assert "cuda:1: 0.0 of 40 GB used by anna" in said
    assert sorted(read_record(run).device for run in list_runs(paths)) == ["", "cuda:0", "cuda:1"]

"""Several processes against one, in fp32: DDP and FSDP2, TRL's path and ours, whole runs too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shard_helpers import fsdp2_environment, shard_on_cpu
from test_worker_several import at_step, stopped_step
from tiny_model import write_tiny_data
from worker_helpers import MakeRun, losses, train, wait_for_end

from workbench.run.checkpoints import checkpoint_folders, verify
from workbench.run.directory import RunDirectory
from workbench.run.launch import launch, resume, stop
from workbench.run.processes import end_processes
from workbench.run.record import read_record

pytestmark = pytest.mark.model

STEPS = 20
SAVED_BY_FSDP = {"FULL_STATE_DICT": "optimizer.bin", "SHARDED_STATE_DICT": "optimizer_0/.metadata"}
WAYS: dict[str, dict[str, Any]] = {
    "pairs": {"stage": "dpo"},
    "pairs from an adapter, accumulated": {
        "stage": "dpo",
        "trained": True,
        "settings": {"gradient_accumulation_steps": 2, "gradient_checkpointing": True},
    },
    "rows": {"stage": "sft", "settings": {"learning_rate": 1e-2, "gradient_accumulation_steps": 2}},
}


def train_steps(
    folder: Path, model: Path, processes: int, engine: str = "ddp", **options: Any
) -> dict[str, Any]:
    """What `two_processes.py` finds in 20 steps of four rows."""
    import torch

    output = folder / f"{processes}-{engine}-{options.get('path', 'packed')}.pt"
    settings = {"per_device_train_batch_size": 4 // processes, "max_steps": STEPS}
    options["settings"] = {**settings, **options.get("settings", {})}
    given = json.dumps({"model": str(model), "output": str(output), **options})
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    script = str(Path(__file__).with_name("two_processes.py"))
    command = [sys.executable, *(launcher if processes > 1 else []), script, given]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    if engine == "fsdp2":
        sharded = fsdp2_environment()
        here = sharded.pop("PYTHONPATH").split(os.pathsep)[0]
        environment = {**environment, **sharded}
        environment["PYTHONPATH"] = os.pathsep.join([here, environment["PYTHONPATH"]])
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = torch.load(output, weights_only=True)
    assert found["processes"] == processes
    return found


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=() if way == "pairs" else pytest.mark.long) for way in WAYS]
)
def test_two_processes_equal_one_with_twice_the_batch(way: str, tiny: Path, tmp_path: Path) -> None:
    """Losses, gradients and metrics of every step; the same rows come together in a step."""
    one = train_steps(tmp_path, tiny, 1, **WAYS[way])
    ways = [("ddp", "packed"), ("fsdp2", "packed"), ("fsdp2" if way == "rows" else "ddp", "trl")]
    expected = [row["loss"] for row in one["history"] if "loss" in row]
    assert len(expected) == STEPS
    assert expected[-1] < expected[0]
    for engine, path in ways:
        two = train_steps(tmp_path, tiny, 2, engine, **WAYS[way], path=path)
        found = [row["loss"] for row in two["history"] if "loss" in row]
        assert found == pytest.approx(expected, abs=1e-5, rel=1e-5), (engine, path)
        for alone, together in zip(one["history"], two["history"], strict=True):
            # The floating-point operations are counted with the padding of each batch.
            others = ("runtime", "per_second", "total_flos")
            metrics = {
                name: value
                for name, value in alone.items()
                if not any(part in name for part in others)
            }
            logged = {name: together[name] for name in metrics}
            assert logged == pytest.approx(metrics, abs=1e-4, rel=1e-4), (engine, path)
        apart = (two["gradients"] - one["gradients"]).norm(dim=1)
        assert (apart / one["gradients"].norm(dim=1)).max() < 1e-4, (engine, path)
        for name, weight in one["weights"].items():
            assert (two["weights"][name] - weight).abs().max() < 1e-4, (engine, path, name)


@pytest.fixture(scope="module")
def make(new_run: MakeRun) -> Callable[..., RunDirectory]:
    """Makes runs of both stages, 40 steps of four rows each, on one or two processes."""

    def of(processes: int) -> RunDirectory:
        more = f"num_processes: {processes}\n" if processes > 1 else ""
        run = new_run(steps=40, more=more)
        for file in (run.recipe, run.config("sft"), run.config("dpo")):
            text = file.read_text().replace("batch_size: 4", f"batch_size: {4 // processes}")
            file.write_text(text.replace("save_steps: 2", "save_steps: 20"))
        write_tiny_data(Path(read_record(run).recipe_path).parent / "data", pairs=112)
        return run

    return of


@pytest.fixture(scope="module")
def alone(make: Callable[..., RunDirectory]) -> RunDirectory:
    """A run of one process."""
    run = make(1)
    assert train(run).state == "finished", run.log.read_text()
    return run


@pytest.mark.long
@pytest.mark.parametrize("layout", SAVED_BY_FSDP)
def test_a_sharded_run_is_stopped_and_goes_on_and_leaves_a_plain_adapter(
    layout: str,
    alone: RunDirectory,
    make: Callable[..., RunDirectory],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FSDP2 in the real worker: the curves and the adapter of one process, stopped on the way."""
    shard_on_cpu(monkeypatch, layout)
    run = make(2)
    try:
        launch(run)
        at_step(run, 3)
        stop(run)
        assert stopped_step(run) > 0
        resume(run)
        assert wait_for_end(run).state == "finished", run.log.read_text()
    finally:
        end_processes(run)
    for stage in ("sft", "dpo"):
        assert losses(run, stage) == pytest.approx(losses(alone, stage), abs=1e-5, rel=1e-5)
        folders = checkpoint_folders(run.output(stage))
        assert len(folders) >= 2
        assert (folders[-1] / SAVED_BY_FSDP[layout]).exists()
        for folder in folders:
            assert verify(folder, root=run.path, deep=True) == ""
        same_adapter(alone.output(stage), run.output(stage))
        same_adapter(alone.output(stage), folders[-1])
    paths = json.loads(run.environment.read_text())["datasets"]
    assert all(paths[stage]["path"].startswith("packed") for stage in ("sft", "dpo"))


def same_adapter(expected: Path, found: Path) -> None:
    """Compare two adapters by name, shape and value."""
    from safetensors.torch import load_file

    left, right = (load_file(folder / "adapter_model.safetensors") for folder in (expected, found))
    assert left.keys() == right.keys()
    for name, weight in left.items():
        assert weight.dtype == right[name].dtype
        assert (weight - right[name]).abs().max() < 1e-4, name

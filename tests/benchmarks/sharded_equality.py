"""FSDP2, ZeRO and DDP against one plain process, on a machine with a GPU, through the command line.

Not a test. Each engine trains the same recipe on the tiny model in fp32 and prints how far its
losses are from those of a process without a launcher:

    python tests/benchmarks/sharded_equality.py --engines fsdp2 zero2 multi_gpu --processes 1
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tiny_model import make_tiny_model, write_tiny_data, write_tiny_recipe

from workbench.base.paths import Paths
from workbench.base.tail import read_jsonl
from workbench.run.directory import RunDirectory, list_runs

EFFECTIVE_ROWS = 8
Losses = dict[tuple[str, int], float]


def main() -> int:
    """Train with each engine; 1 where one of them did not train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", nargs="+", default=["fsdp2", "zero2", "multi_gpu"])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model = make_tiny_model(place / "model")
        expected = train(place, model, "", arguments.steps, 1)
        missing = 0
        for engine in arguments.engines:
            found = train(place, model, engine, arguments.steps, arguments.processes)
            missing += found.keys() != expected.keys()
            for stage in ("sft", "dpo"):
                apart = [
                    abs(found[key] - expected[key])
                    for key in expected.keys() & found.keys()
                    if key[0] == stage
                ]
                furthest = f"{max(apart):.2g}" if apart else "no step"
                print(f"{engine:10} {stage}: {len(apart)} steps, furthest {furthest}", flush=True)
    return int(missing > 0)


def train(place: Path, model: Path, engine: str, steps: int, processes: int) -> Losses:
    """The loss of each step of each stage of one run; a step has the same rows in all of them."""
    more = "bf16: false\n"
    if engine:
        launch = {"accelerate_config": engine, "num_processes": processes}
        lines = {**launch, "mixed_precision": '"no"'}
        more += "".join(f"{key}: {value}\n" for key, value in lines.items())
    recipe = write_tiny_recipe(place / f"{engine or 'plain'}.yaml", model, steps=steps, more=more)
    write_tiny_data(place / "data", pairs=384)
    rows = f"per_device_train_batch_size={EFFECTIVE_ROWS // processes}"
    home = place / (engine or "plain")
    environment = {**os.environ, "DPO_WORKBENCH_HOME": str(home)}
    changes = ["--set", rows, "--set", "save_steps=1000"]
    command = [sys.executable, "-m", "workbench", "run", str(recipe), *changes]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{engine or 'plain'}: exit code {done.returncode}\n{done.stderr[-800:]}")
    runs = list_runs(Paths.from_environment(environment))
    return losses(runs[0]) if runs else {}


def losses(run: RunDirectory) -> Losses:
    """Of each step by stage and number."""
    rows = [row for row in read_jsonl(run.metrics) if "loss" in row]
    return {(row["stage"], row["step"]): row["loss"] for row in rows}


if __name__ == "__main__":
    raise SystemExit(main())

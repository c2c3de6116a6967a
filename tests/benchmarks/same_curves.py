"""The loss curves of TRL's DPOTrainer and of the workbench, from the same seeds, side by side.

Not a test. In fp32 the curves overlap; in bf16 two runs differ by rounding, so that smoothed curves
and held-out scores are what can be compared:

    python tests/benchmarks/same_curves.py --model DIR --train train.jsonl --test test.jsonl \\
        --dtype bfloat16 --steps 200 --seeds 1 2 3 --json curves.json
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from training_speed import quiet

SCORES = ("eval_loss", "eval_rewards/accuracies", "eval_rewards/margins")
WINDOW = 20


def main() -> int:
    """Train both sides for each seed and print how far apart they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--test-rows", type=int, default=100)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = []
    for seed in arguments.seeds:
        sides = {side: train(side, seed, arguments) for side in ("TRL", "workbench")}
        usual, packed = (side["losses"] for side in sides.values())
        smooth = [smoothed(side["losses"]) for side in sides.values()]
        row = {
            "seed": seed,
            "steps": len(usual),
            "largest_difference": max_difference(usual, packed),
            "largest_smoothed_difference": max_difference(*smooth),
            **sides,
        }
        found.append(row)
        print(
            f"seed {seed}: loss differs by {row['largest_difference']:.2g} at most, "
            f"smoothed over {WINDOW} steps by {row['largest_smoothed_difference']:.2g}"
        )
        for side, result in sides.items():
            scores = ", ".join(f"{name[5:]} {result[name]:.4f}" for name in SCORES)
            print(f"  {side:10} {result['seconds']:6.0f} s  held out: {scores}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def train(side: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One side's losses, held-out scores and seconds."""
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    files = {"train": arguments.train, "test": arguments.test}
    with tempfile.TemporaryDirectory() as folder, quiet(folder, side):
        rows = load_dataset("json", data_files=files)
        trainer = DPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(arguments.model, dtype=arguments.dtype),
            args=DPOConfig(
                output_dir=folder,
                per_device_train_batch_size=arguments.batch,
                per_device_eval_batch_size=4,
                max_steps=arguments.steps,
                max_length=arguments.max_length,
                learning_rate=arguments.learning_rate,
                logging_steps=1,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                seed=seed,
            ),
            train_dataset=rows["train"],
            eval_dataset=rows["test"].select(range(min(arguments.test_rows, len(rows["test"])))),
            processing_class=AutoTokenizer.from_pretrained(arguments.model),
            peft_config=LoraConfig(
                r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"
            ),
        )
        if side == "workbench":
            from workbench.worker.packed_scoring import use_packed_rows
            from workbench.worker.reference_scores import ReferenceScores

            reason = use_packed_rows(trainer, "dpo", ReferenceScores(None))
            assert not reason, reason
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
        scores = trainer.evaluate()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return {"losses": losses, "seconds": seconds, **{name: scores[name] for name in SCORES}}


def smoothed(values: list[float]) -> list[float]:
    """Running means of `WINDOW` values."""
    count = max(1, len(values) - WINDOW + 1)
    return [sum(part) / len(part) for part in (values[i : i + WINDOW] for i in range(count))]


def max_difference(left: list[float], right: list[float]) -> float:
    """The largest difference of two curves."""
    return max(abs(one - other) for one, other in zip(left, right, strict=True))


if __name__ == "__main__":
    raise SystemExit(main())

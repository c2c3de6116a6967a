"""Training pairs or examples per second, and peak memory, against TRL's own trainers.

Not a test. Examples, each with `--json FILE` to keep the figures:

    python tests/benchmarks/training_speed.py --model DIR --data prefs.jsonl --turns 3
    python tests/benchmarks/training_speed.py --model DIR --data random:512 --batch 1
    python tests/benchmarks/training_speed.py --shape tinyllama --tokenizer DIR --data random:512
    python tests/benchmarks/training_speed.py --stage sft --model DIR --data sft.jsonl

Three processes train the same recipe (LoRA r 8 on q_proj and v_proj): TRL with its defaults, TRL
with its best flags, and the workbench. They take turns step by step, so that a machine which is
slow for a while is slow for all of them. A warm-up step is not counted; what TRL spends on the
reference before its first step is. `peak` is the share of the machine's measured bf16
matrix-product speed that the work which cannot be avoided (every token once, the head for the
completions, causal attention) would take in that time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from workbench.worker import machine

SIDES = ("TRL defaults", "TRL best flags", "workbench")
TINYLLAMA = {
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
}
WORDS = "the river went past a small town where people sold bread and tea to those who came by"


def main() -> int:
    """Run the sides in turn and print the table."""
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.shape:
            arguments.model = make_shape(Path(folder) / "model", arguments)
        groups = [[side] for side in arguments.sides] if arguments.apart else [arguments.sides]
        rounds: list[list[float]] = []
        facts: list[dict[str, Any]] = []
        for sides in groups:
            for seconds, fact in run_together(sides, arguments, folder):
                rounds.append(seconds)
                facts.append(fact)
    report(arguments, rounds, facts)
    return 0


def run_together(
    sides: list[str], arguments: argparse.Namespace, folder: str
) -> list[tuple[list[float], dict[str, Any]]]:
    """Let sides take turns; the seconds of the steps and the other facts of each."""
    context = multiprocessing.get_context("spawn")
    children, ears = [], []
    for side in sides:
        ear, mouth = context.Pipe()
        child = context.Process(target=train, args=(side, arguments, mouth, folder), daemon=True)
        child.start()
        mouth.close()
        children.append(child)
        ears.append(ear)
        wait_ready(ear, child)
    rounds = take_turns(ears, arguments)
    facts = []
    for ear, child in zip(ears, children, strict=True):
        ear.send("end")
        facts.append(ear.recv())
        child.join()
    return list(zip(rounds, facts, strict=True))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", choices=("dpo", "sft"), default="dpo")
    parser.add_argument("--model", help="folder of the base model")
    parser.add_argument("--shape", choices=("tinyllama",), help="random weights of this shape")
    parser.add_argument("--tokenizer", help="folder of a tokenizer, for --shape")
    parser.add_argument("--data", required=True, help="JSONL file, or random:LENGTH in tokens")
    parser.add_argument("--turns", type=int, default=0, help="least messages of a prompt")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument(
        "--apart", action="store_true", help="one side after the other: less memory"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    kind, _, length = arguments.data.partition(":")
    if kind == "random":
        # Half a prompt and half an answer; max_length cuts both rows of a pair to the length.
        arguments.max_length = int(length)
    return arguments


def make_shape(folder: Path, arguments: argparse.Namespace) -> str:
    """A Llama with random bf16 weights of TinyLlama's shape and the tokenizer's vocabulary."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer)
    size = {"vocab_size": len(tokenizer), "max_position_embeddings": 4096}
    torch.set_default_dtype(torch.bfloat16)
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**TINYLLAMA, **size)).save_pretrained(folder)
    torch.set_default_dtype(torch.float32)
    tokenizer.save_pretrained(folder)
    return str(folder)


def wait_ready(ear: Connection, child: Any) -> None:
    """Until a side stands before its first step."""
    while child.is_alive():
        with suppress(EOFError):
            if ear.poll(1) and ear.recv() == "ready":
                return
    raise SystemExit("a side ended before its first step; its error is above")


def take_turns(ears: list[Connection], arguments: argparse.Namespace) -> list[list[float]]:
    """Seconds of each step of each side; the warm-up step left out."""
    rounds: list[list[float]] = [[] for _ in ears]
    for step in range(arguments.steps + 1):
        for number, ear in enumerate(ears):
            ear.send("step")
            seconds = ear.recv()
            if step:
                rounds[number].append(seconds)
        print(f"step {step}: {[round(part[-1], 2) for part in rounds if part]}", file=sys.stderr)
    return rounds


def train(side: str, arguments: argparse.Namespace, mouth: Connection, folder: str) -> None:
    """One side's process."""
    ours = side == "workbench"
    machine.prepare_environment(os.environ if ours else dict(os.environ))
    if ours:
        machine.keep_freed_memory()
    import torch
    from transformers import TrainerCallback

    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    class TakesTurns(TrainerCallback):
        """Waits for its turn before each step and tells how long the step took."""

        began = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if mouth.recv() == "end":
                raise EndedError
            self.began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            mouth.send(time.perf_counter() - self.began)

    with quiet(folder, side):
        trainer, before = make_trainer(side, arguments, folder)
        start = time.perf_counter()
        if ours:
            from workbench.worker.packed_scoring import use_packed_rows

            reason = use_packed_rows(trainer, arguments.stage)
            assert not reason, reason
        check = time.perf_counter() - start
        trainer.add_callback(TakesTurns())
        machine.reset_peaks()
        mouth.send("ready")
        with suppress(EndedError):
            trainer.train()
        peak = machine.peak_gpu_bytes() or machine.peak_rss_bytes()
    loss = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    work = unavoidable(trainer, arguments) if ours else {}
    facts = {"reference_seconds": before, "check_seconds": check, "peak_bytes": peak}
    mouth.send({**facts, "losses": loss, **work})


class EndedError(Exception):
    """The parent has seen enough."""


@contextmanager
def quiet(folder: str, side: str) -> Iterator[None]:
    """Send what the libraries print to a file, which is shown if the side fails."""
    log = Path(folder) / f"{side}.log"
    kept = os.dup(1), os.dup(2)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    except BaseException:
        os.write(kept[1], log.read_bytes())
        raise
    finally:
        for number, old in enumerate(kept, start=1):
            os.dup2(old, number)


def make_trainer(side: str, arguments: argparse.Namespace, folder: str) -> tuple[Any, float]:
    """A side's trainer, and the seconds that it spent on reference log-probabilities."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    dpo, defaults = arguments.stage == "dpo", side == "TRL defaults"
    settings: dict[str, Any] = {
        "output_dir": str(Path(folder) / side),
        "per_device_train_batch_size": arguments.batch,
        "max_steps": arguments.steps + 2,
        "max_length": arguments.max_length,
        "learning_rate": 5e-5,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": defaults,
    }
    if not defaults:
        settings["gradient_checkpointing"] = False
    if dpo and side == "TRL best flags":
        settings["precompute_ref_log_probs"] = True
    spent = 0.0

    class Timed(DPOTrainer):
        """Counts the time of TRL's reference pass over the data."""

        def _precompute_ref_logps(self, *inputs: Any, **named: Any) -> Any:
            nonlocal spent
            start = time.perf_counter()
            dataset = super()._precompute_ref_logps(*inputs, **named)
            spent += time.perf_counter() - start
            return dataset

    trainer = (Timed if dpo else SFTTrainer)(
        model=AutoModelForCausalLM.from_pretrained(
            arguments.model, dtype="float32" if defaults else "bfloat16"
        ),
        args=(DPOConfig if dpo else SFTConfig)(**settings),
        train_dataset=Dataset.from_list(read_rows(arguments)),
        processing_class=AutoTokenizer.from_pretrained(arguments.model),
        peft_config=LoraConfig(
            r=8,
            lora_alpha=16,
            lora_dropout=0.0,
            target_modules=["q_proj", "v_proj"],
            task_type="CAUSAL_LM",
        ),
    )
    return trainer, spent


def read_rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """As many rows as the steps take."""
    count = arguments.batch * (arguments.steps + 1)
    if arguments.data.startswith("random:"):
        half = " ".join([WORDS] * (arguments.max_length // 36))
        return [made_row(arguments.stage, half, number) for number in range(count)]
    rows = []
    with Path(arguments.data).open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if len(row.get("prompt", ())) >= arguments.turns and len(rows) < count:
                rows.append(row)
    if len(rows) < count:
        raise SystemExit(f"{arguments.data} has {len(rows)} such rows, {count} are needed")
    return rows


def made_row(stage: str, half: str, number: int) -> dict[str, Any]:
    """A row whose answers differ from their first word and are too long."""
    prompt = f"{number} {half}"
    if stage == "sft":
        return {"prompt": prompt, "completion": f" yes {half} {half}"}
    return {"prompt": prompt, "chosen": f" yes {half} {half}", "rejected": f" no {half} {half}"}


def unavoidable(trainer: Any, arguments: argparse.Namespace) -> dict[str, float]:
    """Floating-point operations and tokens of a mean step, each token computed once.

    Forward, reference forward and the gradient of the hidden states: three times the product of
    every token with every layer's weights (the frozen weights need no gradient), the head for each
    completion token, and the causal halves of the attention products.
    """
    import torch

    config = trainer.model.config
    model = trainer.model.get_base_model()
    head = model.get_output_embeddings()
    layers = sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and "lora_" not in name
    )
    wide = config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    tokens = scored = seen = rows = 0
    for row in trainer.train_dataset:
        if "chosen_ids" in row:
            prompt = len(row["prompt_ids"])
            answers = [len(row["chosen_ids"]), len(row["rejected_ids"])]
        else:
            answers = [sum(label != -100 for label in row.get("labels", row["input_ids"]))]
            prompt = len(row["input_ids"]) - answers[0]
        prompt = min(prompt, arguments.max_length)
        answers = [min(answer, arguments.max_length - prompt) for answer in answers]
        rows += len(answers)
        tokens += prompt + sum(answers)
        scored += sum(answers)
        seen += prompt**2 / 2 + sum(answer * (prompt + answer / 2) for answer in answers)
    passes = 3 if arguments.stage == "dpo" else 2
    weights = tokens * layers + scored * head.weight.numel()
    # Of attention the backward pass is twice the forward pass, since both factors vary.
    attention = 2 * seen * wide * config.num_hidden_layers * (passes + 1)
    steps = len(trainer.train_dataset) / arguments.batch
    flops = 2.0 * (weights * passes + attention) / steps
    return {"flops": flops, "tokens": tokens / steps, "completion_tokens": scored / steps}


def product_speed(threads: int) -> float:
    """The machine's bf16 matrix products in floating-point operations a second; best of many."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if threads:
        torch.set_num_threads(threads)
    size = 8192 if device == "cuda" else 2048
    left = torch.randn((size, size), device=device).bfloat16()
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        (left @ left).sum().item()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def report(
    arguments: argparse.Namespace, rounds: list[list[float]], facts: list[dict[str, Any]]
) -> None:
    """Print the table, and write it as JSON."""
    peak = product_speed(arguments.threads)
    work = next((part for part in facts if "flops" in part), {})
    pairs = arguments.batch
    trained = pairs * (arguments.steps + 1)
    unit = "pairs" if arguments.stage == "dpo" else "rows"
    table = []
    for side, seconds, fact in zip(arguments.sides, rounds, facts, strict=True):
        reference = fact["reference_seconds"] / trained * pairs
        step = statistics.fmean(seconds) + reference
        table.append(
            {
                "side": side,
                "step_seconds": round(step, 3),
                f"{unit}_per_second": round(pairs / step, 3),
                "tokens_per_second": round(work.get("tokens", 0) / step, 1),
                "peak_gb": round(fact["peak_bytes"] / 2**30, 2),
                "share_of_peak": round(work.get("flops", 0) / step / peak, 3),
                "reference_seconds_a_step": round(reference, 2),
                "check_seconds": round(fact["check_seconds"], 2),
                "seconds": [round(value, 3) for value in seconds],
                "losses": fact["losses"],
            }
        )
    last = table[-1]
    print(f"{'':15} {'s/step':>8} {unit + '/s':>8} {'tokens/s':>9} {'GB':>6} {'peak':>6} {'x':>6}")
    for row in table:
        ratio = row["step_seconds"] / last["step_seconds"]
        print(
            f"{row['side']:15} {row['step_seconds']:8.2f} {row[unit + '_per_second']:8.2f} "
            f"{row['tokens_per_second']:9.0f} {row['peak_gb']:6.2f} "
            f"{row['share_of_peak']:6.0%} {ratio:6.2f}"
        )
    if arguments.json:
        settings = {
            name: value for name, value in vars(arguments).items() if name not in {"json", "sides"}
        }
        found = {"settings": settings, "product_gflops": round(peak / 1e9), **work, "sides": table}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())

"""How training scales from one process to several on this machine, against what was foretold.

Not a test. `python tests/benchmarks/scaling.py --turns 3 --json FILE`

A random Llama is trained on the packed path: an adapter by DPO (few gradients), and the whole model
by SFT (all gradients but those of the head, which the packed path wants frozen). One process and
several gloo processes, each with the same number of threads, take turns.

`efficiency` is tokens a second of all processes over so many times those of the one; `at most` is
what `run/scaling.py` foretells from the time that the processes stand still for each other; what
lies between the two is no communication but cores, caches and memory that they share.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

WARM_UP = 3
KINDS = {"adapter": "dpo", "whole": "sft"}


def main() -> int:
    """Let the sides take turns and print the table."""
    arguments = parse()
    if arguments.rank_of:
        return train(arguments)
    found: dict[str, dict[int, list[list[dict[str, float]]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder) / "model", arguments)
        for turn in range(arguments.turns):
            for kind in arguments.kinds:
                for processes in (1, arguments.processes):
                    rows = run(Path(folder), kind, processes, arguments)
                    found.setdefault(kind, {}).setdefault(processes, []).append(rows)
                    print(f"turn {turn + 1}: {kind}, {processes}", file=sys.stderr, flush=True)
    report(found, arguments)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(found, indent=1))
    return 0


def run(
    folder: Path, kind: str, processes: int, arguments: argparse.Namespace
) -> list[dict[str, float]]:
    """The log rows of rank 0 of one training, those of the warm-up left out."""
    output = folder / "rows.json"
    given = ["--layers", arguments.layers, "--width", arguments.width, "--steps", arguments.steps]
    given += ["--batch", arguments.batch, "--words", arguments.words]
    script = [str(Path(__file__).resolve()), "--rank-of", kind, "--folder", str(folder), *given]
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        launcher.append(str(processes))
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "TQDM_DISABLE": "1"}
    subprocess.run(
        [*launcher, *map(str, script)],
        env=environment,
        check=True,
        timeout=1800,
        stdout=subprocess.DEVNULL,
        stderr=None if arguments.loud else subprocess.DEVNULL,
    )
    rows: list[dict[str, float]] = json.loads(output.read_text())
    return rows[WARM_UP:]


def train(arguments: argparse.Namespace) -> int:
    """One process of a training."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from workbench.worker.packed_scoring import use_packed_rows
    from workbench.worker.reference_scores import ReferenceScores

    torch.manual_seed(1)
    folder = Path(arguments.folder)
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    model.lm_head.requires_grad_(False)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    trainer = make_trainer(model, tokenizer, arguments)
    stage = KINDS[arguments.rank_of]
    scores = ReferenceScores(None) if stage == "dpo" else None
    reason = use_packed_rows(trainer, stage, scores)
    assert reason == "", reason
    rows = watch(trainer)
    trainer.train()
    if trainer.accelerator.is_main_process:
        (folder / "rows.json").write_text(json.dumps(rows))
    if trainer.accelerator.num_processes > 1:
        torch.distributed.destroy_process_group()
    sys.stdout.flush()
    # Threads of gloo that still wait when the interpreter ends would abort the process.
    os._exit(0)


def make_trainer(model: Any, tokenizer: Any, arguments: argparse.Namespace) -> Any:
    """TRL's trainer on rows of one length, of an adapter or of all weights."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    adapter = arguments.rank_of == "adapter"
    make_config, make = (DPOConfig, DPOTrainer) if adapter else (SFTConfig, SFTTrainer)
    lora = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    fixed = {"logging_steps": 1, "save_strategy": "no", "report_to": "none", "bf16": False}
    fixed |= {"use_cpu": True, "gradient_checkpointing": False, "disable_tqdm": True}
    settings = make_config(
        output_dir=str(Path(arguments.folder) / "output"),
        per_device_train_batch_size=arguments.batch,
        max_steps=arguments.steps + WARM_UP,
        **fixed,
        **({"ddp_backend": "gloo"} if processes > 1 else {}),
    )
    return make(
        model=model,
        args=settings,
        train_dataset=Dataset.from_list(rows_of(arguments.words, adapter)),
        processing_class=tokenizer,
        peft_config=lora if adapter else None,
    )


def watch(trainer: Any) -> list[dict[str, float]]:
    """A list that gets a row at each step: speed of all processes, and `ranks/*`."""
    import time

    from transformers import TrainerCallback

    from workbench.worker.rank_clock import rank_clock_for

    clock = rank_clock_for(trainer)
    clock.watch(trainer)
    rows: list[dict[str, float]] = []
    known = {"tokens": 0.0, "time": time.perf_counter()}

    class Rows(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock.start()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" not in logs:
                return
            now, tokens = time.perf_counter(), float(logs["num_tokens"])
            speed = (tokens - known["tokens"]) / (now - known["time"])
            known.update(tokens=tokens, time=now)
            told = clock.share(clock.take(args.per_device_train_batch_size))
            rows.append({"tokens_per_second": speed, **told})

    trainer.add_callback(Rows())
    return rows


def rows_of(words: int, pairs: bool) -> list[dict[str, str]]:
    """Rows of plain text, so many words an answer; pairs of answers, or one."""
    plain = "tea rain bread maps trains bees clocks rivers are good simple and part of every day"
    text = " ".join((plain.split() * words)[:words])
    names = {"chosen": "It is", "rejected": "Not"} if pairs else {"completion": "It is"}
    answers = {name: f" {begin} {text}." for name, begin in names.items()}
    return [{"prompt": f"What is number {n}?", **answers} for n in range(512)]


def make_model(folder: Path, arguments: argparse.Namespace) -> None:
    """A random Llama with the tests' tokenizer."""
    import torch
    from tiny_model import make_tokenizer
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer: Any = make_tokenizer()
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=arguments.width,
        intermediate_size=11 * arguments.width // 4,
        num_hidden_layers=arguments.layers,
        num_attention_heads=arguments.width // 64,
        num_key_value_heads=arguments.width // 64,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def report(
    found: dict[str, dict[int, list[list[dict[str, float]]]]], arguments: argparse.Namespace
) -> None:
    """One line for each kind: medians over the turns, and their range."""
    many = arguments.processes
    print(f"{many} processes of {arguments.threads} thread each, {arguments.turns} turns")
    head = ("kind", "tok/s of 1", f"tok/s of {many}", "efficiency", "range", "at most")
    print("{:<8} {:>10} {:>10} {:>10} {:>11} {:>8}".format(*head), "  stands still, hidden, waits")
    for kind, sides in found.items():
        one, all_of_them = ([_median(rows) for rows in sides[n]] for n in (1, many))
        parts = [b / (many * a) for a, b in zip(one, all_of_them, strict=True)]
        rows = [row for turn in sides[many] for row in turn if "ranks/exposed_share" in row]
        exposed, whole, waits = (
            statistics.median(row[f"ranks/{name}"] for row in rows)
            for name in ("exposed_share", "communication_share", "waiting_share")
        )
        print(
            f"{kind:<8} {statistics.median(one):>10.0f} {statistics.median(all_of_them):>10.0f} "
            f"{statistics.median(parts):>10.2f} {min(parts):>6.2f}-{max(parts):.2f} "
            f"{1 - exposed:>8.2f}   {exposed:.1%}, {whole - exposed:.1%}, {waits:.1%}"
        )


def _median(rows: list[dict[str, float]]) -> float:
    return statistics.median(row["tokens_per_second"] for row in rows)


def parse() -> argparse.Namespace:
    """The command line; what begins with `rank` is for the processes that this one starts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    for name, value, words in (
        ("processes", 2, "how many train together"),
        ("threads", 1, "of each of them, and of the one alone"),
        ("turns", 3, "how often each side trains"),
        ("steps", 15, "that count, behind the warm-up"),
        ("layers", 4, "of the model"),
        ("width", 256, "of the model, a multiple of 64"),
        ("batch", 4, "pairs of a process and step"),
        ("words", 60, "of an answer"),
    ):
        parser.add_argument(f"--{name}", type=int, default=value, help=words)
    parser.add_argument("--json", help="keep all rows in this file")
    parser.add_argument("--loud", action="store_true", help="let the processes print")
    parser.add_argument("--rank-of", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

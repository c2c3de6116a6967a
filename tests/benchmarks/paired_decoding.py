"""Base and tuned answers from one batch, against one `generate` after the other.

    python tests/benchmarks/paired_decoding.py RUN_DIRECTORY [--tokens 64] [--threads 1 2]

RUN_DIRECTORY is a finished LoRA run, such as the quickstart's. Both ways answer the same prompts in
turn, with the same weights in the same process, and the ratio of their times is what counts. No
answer ends before it has all tokens, so that both ways take as many steps. In fp32 the answers must
be the same.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from workbench.judge.answers import Sampling
from workbench.run.directory import RunDirectory
from workbench.run.sides import find_side
from workbench.worker.answerer import Answerer
from workbench.worker.decode import Answer
from workbench.worker.requests import prompt_ids
from workbench.worker.row_decoder import Decoder, Row, decode
from workbench.worker.side_models import Loaded, SideModels

PROMPTS = (
    "Explain photosynthesis to a ten year old.",
    "Give me three tips for a good night's sleep.",
    "I failed my driving test today.",
)


def main() -> None:
    """Print a table of times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads()])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    options = parser.parse_args()
    run = RunDirectory(options.run)
    models = SideModels(run, print)
    models.load()
    models.base.to(getattr(torch, options.dtype))
    sides = models.get([find_side(run, spec) for spec in ("base", "tuned")])
    for side in sides.values():
        side.voice.model.generation_config.eos_token_id = None
    sides = {
        spec: replace(side, voice=replace(side.voice, ends=frozenset()))
        for spec, side in sides.items()
    }
    print(f"{models.path}, {options.dtype}, {models.base.device}")
    print("threads  sequential s  paired s  ratio  tokens/s  tokens/s paired  first token s  same")
    for threads in options.threads:
        torch.set_num_threads(threads)
        measure(models, sides, options)
    warm(run)


def measure(models: SideModels, sides: dict[str, Loaded], options: argparse.Namespace) -> None:
    """One line of the table, by the medians of all prompts and repeats."""
    one, two, first, count, same = [], [], [], 0, True
    for repeat in range(options.repeats + 1):
        for text in PROMPTS:
            prompt = prompt_ids(models.tokenizer, [{"role": "user", "content": text}], None)
            began = time.perf_counter()
            apart = [sequential(models, sides[spec], prompt, options.tokens) for spec in sides]
            middle = time.perf_counter()
            answers = paired(models, sides, prompt, options.tokens)
            if repeat:  # the first round warms up
                one.append(middle - began)
                two.append(time.perf_counter() - middle)
                first.append(answers[0].first_seconds)
                count += sum(len(answer.ids) for answer in answers)
            same &= [answer.ids for answer in answers] == apart
    speed = [count / sum(times) for times in (one, two)]
    slow, fast = statistics.median(one), statistics.median(two)
    print(
        f"{torch.get_num_threads():7} {slow:13.2f} {fast:9.2f} {slow / fast:6.2f} "
        f"{speed[0]:9.1f} {speed[1]:16.1f} {statistics.median(first):14.3f}  {same}"
    )


def sequential(models: SideModels, side: Loaded, prompt: list[int], tokens: int) -> list[int]:
    """What `generate` answers with one side's weights."""
    model = side.voice.model
    ids = torch.tensor([prompt], device=model.device)
    with torch.inference_mode(), side.voice.speaking([side.adapter]):
        output = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=models.tokenizer.pad_token_id,
        )
    new: list[int] = output[0, ids.shape[1] :].tolist()
    return new


def paired(
    models: SideModels, sides: dict[str, Loaded], prompt: list[int], tokens: int
) -> list[Answer]:
    """The same from one batch."""
    rows = [
        Row(Answer(spec, models.tokenizer), prompt, side.adapter, tokens)
        for spec, side in sides.items()
    ]
    decoder = Decoder(sides["base"].voice, Sampling(tokens))
    decode([decoder], {0: list(rows)}, len(rows), lambda: True)
    return [row.answer for row in rows]


def warm(run: RunDirectory) -> None:
    """From a request to its first text, in a process that has answered before."""
    answerer = Answerer(run, lambda _: None)
    answerer.load()
    seen: list[float] = []

    def emit(event: str, **_: Any) -> None:
        if event == "text":
            seen.append(time.perf_counter())

    for text in PROMPTS:
        seen.clear()
        began = time.perf_counter()
        messages = [{"role": "user", "content": text}]
        answerer.answer(
            {"op": "generate", "messages": messages, "max_new_tokens": 8}, emit, lambda: True
        )
        print(f"request to first text: {seen[0] - began:.2f} s")


if __name__ == "__main__":
    main()

"""Answers to the recipe's probe prompts, to see what training changes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.run.directory import RunDirectory
from workbench.run.samples import BASE, read_samples
from workbench.worker.answer_budget import AnswerBudget
from workbench.worker.decode import CancelCriteria
from workbench.worker.run_writer import RunWriter

MAX_NEW_TOKENS = 96
MAX_PROMPTS = 16


@dataclass(frozen=True)
class ProbeAnswer:
    """One answer of a batch.

    Attributes:
        tokens: Its length, without an end token.
        cut: It had no end token when the batch ended.
    """

    text: str
    tokens: int
    cut: bool


def answered(run: RunDirectory, side: str) -> int:
    """How many probe prompts a side has answered before: a resumed run asks for the rest."""
    return sum(one.side == side and not one.checkpoint for one in read_samples(run))


def answer_probes(
    writer: RunWriter,
    trainer: Any,
    prompts: Sequence[str],
    budget: AnswerBudget,
    *,
    side: str,
    stage: str,
) -> None:
    """Let a trainer's model answer all prompts in one greedy batch, into samples.jsonl.

    Args:
        budget: learns the pace; these answers are not paid from it.
        side: `base` answers with the adapter off; a stage's name with the trained weights.
        stage: the stage that is about to begin or has ended.
        writer: writes the answers, and says after each token whether a stop has been asked for;
            nothing is kept then.
    """
    prompts = prompts[:MAX_PROMPTS][answered(writer.run, side) :]
    if not prompts or writer.stopping():
        return
    base = contextlib.nullcontext()
    if side == BASE and hasattr(trainer.model, "disable_adapter"):
        base = trainer.model.disable_adapter()
    with base:
        answers = generate_batch(
            trainer.model, trainer.processing_class, prompts, writer.stopping, budget=budget
        )
    if writer.stop_requested:
        return
    place = {"stage": stage, "step": trainer.state.global_step, "side": side}
    write_answers(writer, prompts, answers, place)


def write_answers(
    writer: RunWriter,
    prompts: Sequence[str],
    answers: Sequence[ProbeAnswer],
    place: Mapping[str, Any],
) -> None:
    """Append one line an answer to samples.jsonl.

    Args:
        place: Stage, step and side of the weights, and whether they are a checkpoint's.
    """
    for prompt, answer in zip(prompts, answers, strict=True):
        row = {"time": time.time(), **place, "prompt": prompt, "answer": answer.text}
        row |= {"tokens": answer.tokens, **({"cut": True} if answer.cut else {})}
        writer.append(writer.run.samples, row)


def generate_batch(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    stop: Callable[[], bool],
    *,
    limit: int = MAX_NEW_TOKENS,
    budget: AnswerBudget,
) -> list[ProbeAnswer]:
    """Greedy answers to single-turn prompts, of at most `limit` tokens.

    The random state and the model's mode are left as they were, so that training goes on as if
    nothing had been asked.
    """
    import torch

    texts = [as_prompt(tokenizer, [{"role": "user", "content": prompt}]) for prompt in prompts]
    devices = [model.device] if model.device.type == "cuda" else []
    began = time.monotonic()
    with (
        left_padding(tokenizer),
        torch.random.fork_rng(devices=devices),
        evaluating(model),
        torch.no_grad(),
    ):
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        batch = batch.to(model.device)
        output = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=limit,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            use_cache=True,
            stopping_criteria=[CancelCriteria(stop)],
            pad_token_id=tokenizer.pad_token_id,
        )
    rows = output[:, batch["input_ids"].shape[1] :].tolist()
    budget.learn(time.monotonic() - began, len(rows[0]))
    answers = []
    for row in rows:
        kept = cut_at_end(row, end_tokens(model, tokenizer))
        text = tokenizer.decode(kept, skip_special_tokens=True).strip()
        answers.append(ProbeAnswer(text, len(kept), cut=len(kept) == len(row)))
    return answers


def as_prompt(tokenizer: Any, messages: Sequence[dict[str, str]]) -> str:
    """Messages in the model's chat format; the plain text where it has none."""
    if tokenizer.chat_template:
        return str(
            tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        )
    return "\n\n".join(message["content"] for message in messages)


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Token ids that end an answer: the tokenizer's and the generation config's."""
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return {int(token) for token in (*ids, tokenizer.eos_token_id) if token is not None}


def cut_at_end(ids: Sequence[int], ends: set[int]) -> list[int]:
    """An answer's tokens before its first end token."""
    for index, token in enumerate(ids):
        if token in ends:
            return list(ids[:index])
    return list(ids)


@contextlib.contextmanager
def left_padding(tokenizer: Any) -> Iterator[None]:
    """Pad on the left, where a batch that generates needs it, and then as before."""
    side, tokenizer.padding_side = tokenizer.padding_side, "left"
    try:
        yield
    finally:
        tokenizer.padding_side = side


@contextlib.contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode, and then the mode that each module had."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode

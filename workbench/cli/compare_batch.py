"""`compare RUN --prompts SET`: a whole set of prompts in big batches, resumable."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import queue
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.base.text import clean
from workbench.cli.compare import Comparison, How, Say, facts_of, failed
from workbench.cli.compare_text import weights_lines
from workbench.cli.output import duration, one_line
from workbench.judge.answers import AnswerProcess
from workbench.judge.comparisons import Asked, load_comparisons, save_comparison
from workbench.judge.prompts import Prompt
from workbench.run.checkpoints import file_hash
from workbench.run.directory import RunDirectory
from workbench.run.sides import find_side
from workbench.run.worker_events import Event

HASHED = ("adapter_model.safetensors",)
STAMPED = ("model.safetensors", "model.safetensors.index.json")
PRINT_LETTERS = 8
TOLD_PARTS = 10

Key = tuple[str, int]


def answer_set(
    run: RunDirectory, set_name: str, prompts: Sequence[Prompt], how: How, *, again: bool, say: Say
) -> Iterator[Comparison]:
    """Answer every prompt of a set and yield the comparisons in the set's order.

    Each is kept in comparisons.jsonl as soon as all sides have answered. What was kept before with
    the same set, sampling, sides and weights is not asked again.

    Args:
        again: Ask all the same.
        say: Gets the progress and what takes a while.

    Raises:
        ProblemError: The models cannot be loaded, or answering failed; what was kept stays.
    """
    batch = batch_name(run, set_name, how)
    kept = {} if again else kept_answers(run, batch, how.sides)
    wanted = [(_key(prompt), index) for prompt in prompts for index in range(how.answers)]
    there = sum(1 for key in wanted if key in kept)
    if there:
        say(f"{there} of {len(wanted)} were there already; --again asks all anew.")
    more = sum(1 for prompt in prompts if prompt.turns)
    if more:
        say(f"{more} prompts have several turns: only the first is asked.")
    if there < len(wanted):
        work = _Batch(run, set_name, batch, how, say, len(wanted) - there)
        kept |= work.answer([prompt for prompt in prompts if _missing(prompt, kept, how)], kept)
    for prompt in prompts:
        for index in range(how.answers):
            record = kept.get((_key(prompt), index))
            if record is not None:
                yield {
                    "prompt": prompt.text, "index": index, "count": how.answers,
                    "prompt_id": prompt.id, "category": prompt.category,
                    "sides": record.get("sides") or {},
                    "answers": {side: record["answers"][side] for side in how.sides},
                }  # fmt: skip


def _missing(prompt: Prompt, kept: Mapping[Key, Any], how: How) -> bool:
    return any((_key(prompt), index) not in kept for index in range(how.answers))


def _key(prompt: Prompt) -> str:
    return json.dumps(list(prompt.opening), sort_keys=True)


def batch_name(run: RunDirectory, set_name: str, how: How) -> str:
    """The set's name and a fingerprint of sampling, sides and weights."""
    weights = [_print_of(find_side(run, side).folder) for side in how.sides]
    facts = [dataclasses.asdict(how.sampling), list(how.sides), weights]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return f"{set_name} {digest[:PRINT_LETTERS]}"


def _print_of(folder: Path | None) -> str:
    """What changes when the weights of a side do; empty for the base."""
    if folder is None:
        return ""
    for name in HASHED:
        if (folder / name).is_file():
            return file_hash(folder / name)
    stamps = [(folder / name).stat() for name in STAMPED if (folder / name).is_file()]
    return " ".join(f"{stamp.st_size}:{stamp.st_mtime_ns}" for stamp in stamps)


def kept_answers(run: RunDirectory, batch: str, sides: Sequence[str]) -> dict[Key, dict[str, Any]]:
    """The newest kept comparison of each prompt and index of a batch."""
    found: dict[Key, dict[str, Any]] = {}
    for record in load_comparisons(run):
        answers, index = record["answers"], record.get("index")
        whole = all(isinstance(answers.get(side), dict) for side in sides)
        if record.get("batch") == batch and whole and isinstance(index, int):
            found[json.dumps(record["messages"], sort_keys=True), index] = record
    return found


class _Batch:
    """The answering of one set."""

    def __init__(
        self, run: RunDirectory, set_name: str, batch: str, how: How, say: Say, total: int
    ) -> None:
        self._run, self._set, self._batch, self._how, self._say = run, set_name, batch, how, say
        self._total, self._done, self._told, self._begun = total, 0, -1, 0.0
        self._weights: Mapping[str, Any] = {}
        self._found: dict[Key, dict[str, Any]] = {}

    def answer(self, prompts: Sequence[Prompt], kept: Mapping[Key, Any]) -> dict[Key, Any]:
        """Ask what is not kept yet; returns the new comparisons."""
        events: queue.Queue[Event] = queue.Queue()
        models = AnswerProcess(self._run, events.put)
        try:
            for index in range(self._how.answers):
                asked = [prompt for prompt in prompts if (_key(prompt), index) not in kept]
                if asked:
                    sampling = self._how.sampling
                    request = models.batch(
                        [prompt.opening for prompt in asked],
                        dataclasses.replace(sampling, seed=sampling.seed + index),
                        self._how.sides,
                        analyse=self._how.analyse,
                    )
                    self._collect(events, request, asked, index)
        finally:
            models.close()
            if self._told >= 0 and sys.stderr.isatty():
                print(file=sys.stderr)
        return self._found

    def _collect(
        self, events: queue.Queue[Event], request: int, prompts: Sequence[Prompt], index: int
    ) -> None:
        waiting: dict[int, dict[str, Event]] = {}
        while True:
            event = events.get()
            kind = event["event"]
            if kind == "loading":
                self._say(one_line(event.get("message", "Loading the models.")))
            elif kind == "error":
                raise failed(event, self._run)
            elif event.get("id") != request:
                continue
            elif kind == "weights":
                self._tell_weights(event)
            elif kind in ("answer", "analysis"):
                number = int(event.get("prompt") or 0)
                sides = waiting.setdefault(number, {})
                sides.setdefault(str(event["side"]), {}).update(facts_of(event))
                if self._whole(sides):
                    self._keep(prompts[number], index, waiting.pop(number))
            elif kind == "done":
                for number, sides in waiting.items():
                    if self._whole(sides, analysed=False):
                        self._keep(prompts[number], index, sides)
                return

    def _whole(self, sides: Mapping[str, Event], *, analysed: bool = True) -> bool:
        wanted = [sides.get(side, {}) for side in self._how.sides]
        if not all("text" in one and one.get("finish") != "cancelled" for one in wanted):
            return False
        return all("pieces" in one for one in wanted) or not (analysed and self._how.analyse)

    def _keep(self, prompt: Prompt, index: int, answers: dict[str, Event]) -> None:
        asked = Asked(
            prompt.opening, self._how.sampling, index=index, prompt_id=prompt.id,
            category=prompt.category, prompt_set=self._set, batch=self._batch,
            weights=self._weights,
        )  # fmt: skip
        save_comparison(self._run, asked, answers)
        record = {"answers": answers, "sides": self._weights.get("sides") or {}}
        self._found[_key(prompt), index] = record
        self._done += 1
        self._progress()

    def _tell_weights(self, event: Event) -> None:
        if not self._weights:
            self._begun = time.monotonic()
            for line in weights_lines(event, self._how.sides):
                self._say(line)
        self._weights = event

    def _progress(self) -> None:
        """One line that is redrawn; where it cannot be, ten lines in all."""
        part = TOLD_PARTS * self._done // self._total
        terminal = sys.stderr.isatty()
        if not terminal and part == self._told:
            return
        self._told = part
        passed = time.monotonic() - (self._begun or time.monotonic())
        left = passed / self._done * (self._total - self._done)
        words = f"{self._done} of {self._total} prompts answered, {duration(left)} left"
        if terminal:
            print(f"\r{clean(words)}   ", end="", file=sys.stderr, flush=True)
        else:
            self._say(words)

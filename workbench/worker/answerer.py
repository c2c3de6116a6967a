"""Answers of the sides of one run, to one conversation or to many."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.judge.answers import SIDES, Sampling
from workbench.run.directory import RunDirectory
from workbench.run.sides import TUNED, find_side, list_sides, tuned_sides
from workbench.worker.decode import Answer
from workbench.worker.log_ratios import prompt_distances, token_log_ratios
from workbench.worker.requests import (
    bad_request,
    prompt_ids,
    read_answers,
    read_messages,
    read_sampling,
)
from workbench.worker.row_cache import KeptRow, most_rows
from workbench.worker.row_decoder import Decoder, Row, common_length, decode
from workbench.worker.side_models import Loaded, SideModels

FLUSH_SECONDS = 0.05
MOST_KEPT = 2

Emit = Callable[..., None]
"""Called with an event's name and its fields."""


@dataclass
class Task:
    """What one request has made so far.

    Attributes:
        prompts: by the number of the prompt and the side, its tokens.
        rows: by the number of the prompt, the side and the index.
        streams: whether text is sent while it grows.
    """

    loaded: dict[str, Loaded]
    sampling: Sampling
    prompts: dict[tuple[int, str], list[int]]
    streams: bool
    analyse: bool
    answers: int = 1
    rows: dict[tuple[int, str, int], Row] = field(default_factory=dict)
    kept: dict[str, list[KeptRow]] = field(default_factory=dict)

    @property
    def first(self) -> str:
        """The side that the others are measured against."""
        return next(iter(self.loaded))


class Answerer:
    """Answers the requests of one run.

    Args:
        say: called with a sentence while loading takes time.
    """

    def __init__(self, run: RunDirectory, say: Callable[[str], None]) -> None:
        self.run = run
        self.models = SideModels(run, say)
        self._kept: dict[str, list[KeptRow]] = {}
        self._distances: dict[tuple[object, ...], dict[str, float]] = {}
        self._told: list[str] = []

    @property
    def path(self) -> str:
        """The base model, as loaded."""
        return self.models.path

    def forget(self) -> None:
        """Drop the models: nobody knows in what state an exception has left them."""
        self._kept, self._distances = {}, {}
        self.models.forget()

    def outdated(self) -> bool:
        """Whether nothing is loaded, or the run has trained on since it told its sides."""
        return not self.models.loaded or self._sides() != self._told

    def _sides(self) -> list[str]:
        tuned = [TUNED] if tuned_sides(self.run) else []
        return [*(side.spec for side in list_sides(self.run)), *tuned]

    def load(self) -> None:
        """Load the base model unless that is done; the weights of a side come when it is asked.

        Raises:
            ProblemError, OSError, RuntimeError: the model cannot be loaded.
        """
        if not self.models.loaded:
            self.models.load()

    def description(self) -> dict[str, Any]:
        """What the `ready` event tells."""
        model = self.models.base
        self._told = self._sides()
        return {
            "sides": self._told,
            "device": str(model.device),
            "dtype": str(model.dtype).removeprefix("torch."),
            "model": self.path,
            "folders": {name: str(side.folder) for name, side in tuned_sides(self.run).items()},
        }

    def answer(self, request: Mapping[str, Any], emit: Emit, may_go_on: Callable[[], bool]) -> None:
        """Serve a `generate` or `batch` request; its events are those of `judge.answers`.

        Args:
            may_go_on: asked before each token; False ends the answers as they are.

        Raises:
            ProblemError: the request is wrong, or the run has no such side.
        """
        task = self._read(request)
        self._tell_weights(task, emit)
        self._decode(task, emit, may_go_on)
        if task.analyse and may_go_on():
            for number in sorted({key[0] for key in task.rows}):
                self._analyse(task, number, emit)

    def _read(self, request: Mapping[str, Any]) -> Task:
        sampling, streams = read_sampling(request), request.get("op") == "generate"
        specs = [str(spec) for spec in request.get("sides") or SIDES]
        conversations = _conversations(request, specs)
        answers = read_answers(request) if streams else 1
        loaded = self.models.get([find_side(self.run, spec) for spec in specs])
        limit = getattr(self.models.base.config, "max_position_embeddings", None)
        prompts = {
            (number, spec): prompt_ids(self.models.tokenizer, read_messages(messages), limit)
            for number, by_side in enumerate(conversations)
            for spec, messages in by_side.items()
        }
        analyse = bool(request.get("analyse", streams))
        task = Task(loaded, sampling, prompts, streams, analyse, answers)
        for key, prompt in prompts.items():
            room = sampling.max_new_tokens
            room = room if limit is None else min(room, int(limit) - len(prompt))
            for index in range(answers):
                task.rows[key[0], key[1], index] = self._row(task, key, index, room)
        return task

    def _row(self, task: Task, key: tuple[int, str], index: int, room: int) -> Row:
        number, spec = key
        answer = Answer(spec, self.models.tokenizer, index, number)
        adapter = task.loaded[spec].adapter
        seed = (task.sampling.seed + index) % 2**63
        return Row(answer, task.prompts[key], adapter, room, seed)

    def _tell_weights(self, task: Task, emit: Emit) -> None:
        """Whose weights answer, and how far apart they are on what all sides have read."""
        prompts = [prompt for (number, _), prompt in task.prompts.items() if number == 0]
        length = min(common_length(prompts[0], prompt) for prompt in prompts)
        shared = prompts[0][: max(1, length)]
        marks = [(spec, one.mark) for spec, one in task.loaded.items()]
        key = (tuple(shared), tuple(marks))
        task.kept = {spec: list(self._kept.get(one.mark, ())) for spec, one in task.loaded.items()}
        if key not in self._distances:
            groups = self.models.groups(task.loaded)
            found, read = prompt_distances(groups, shared, task.first)
            self._distances = {key: found}
            for spec, row in read.items():
                task.kept[spec].append(row)
        distances = self._distances[key]
        sides = {
            spec: self._weights(task, one, distances[spec]) for spec, one in task.loaded.items()
        }
        emit("weights", sides=sides, max_delta_logit=distances)

    def _weights(self, task: Task, one: Loaded, distance: float) -> dict[str, Any]:
        first, side = task.loaded[task.first], one.side
        same = distance == 0 or (one.zero and first.side.folder is None)
        return {
            "label": side.label,
            "run": side.run,
            "stage": side.stage,
            "step": side.step,
            "folder": str(side.folder or ""),
            "sha256": one.sha256,
            "same_as": first.side.label if one is not first and same else "",
        }

    def _decode(self, task: Task, emit: Emit, may_go_on: Callable[[], bool]) -> None:
        ended: dict[str, list[KeptRow]] = {spec: [] for spec in task.loaded}
        flushed = time.monotonic()

        def let_go(row: Row, kept: KeptRow | None) -> None:
            answer = row.answer
            if kept is not None:
                ended[answer.side].append(kept)
            if task.streams:
                flush()
            else:
                emit("answer", **_fields(answer))

        def flush() -> None:
            nonlocal flushed
            flushed = time.monotonic()
            for (_, side, index), row in task.rows.items():
                if piece := row.answer.take_unsent():
                    emit("text", side=side, index=index, text=piece)

        def going() -> bool:
            if task.streams and time.monotonic() - flushed >= FLUSH_SECONDS:
                flush()
            return may_go_on()

        decoders, waiting = self._decoders(task, let_go)
        longest = max(len(row.prompt) + row.limit for row in task.rows.values())
        together = task.answers * len(task.loaded) if task.streams else 1
        decode(decoders, waiting, max(together, most_rows(self.models.base, longest)), going)
        if task.streams:
            for row in task.rows.values():
                emit("answer", **_fields(row.answer))
            kept = {spec: [*task.kept[spec], *rows] for spec, rows in ended.items()}
            task.kept = kept
            # The prompt's own rows serve a retry, the answers' the next turn.
            self._kept = {
                one.mark: kept[spec][-MOST_KEPT - task.answers :]
                for spec, one in task.loaded.items()
            }

    def _decoders(
        self, task: Task, let_go: Callable[[Row, KeptRow | None], None]
    ) -> tuple[list[Decoder], dict[int, list[Row]]]:
        decoders, waiting = [], {}
        for number, group in enumerate(self.models.groups(task.loaded)):
            specs = {one.side.spec for one in group}
            rows = [row for key, row in task.rows.items() if key[1] in specs]
            # Prompts of like length beside each other are padded least, and the longest come
            # first, so that a lack of memory shows at once.
            waiting[number] = sorted(rows, key=lambda row: -len(row.prompt))
            for row in rows:
                row.kept = _best(task.kept[row.answer.side], row.prompt) if task.streams else None
            decoders.append(Decoder(group[0].voice, task.sampling, let_go, keep=task.streams))
        return decoders, waiting

    def _analyse(self, task: Task, number: int, emit: Emit) -> None:
        """Send what the weights of the sides made of each token of the answers to a prompt."""
        specs = list(task.loaded)
        for index in range(task.answers):
            answers = {spec: task.rows[number, spec, index].answer for spec in specs}
            first = answers[task.first].ids
            places = {
                spec: _first_difference(first, answer.ids)
                for spec, answer in answers.items()
                if spec != task.first
            }
            told = [place for place in places.values() if place >= 0]
            places[task.first] = min(told, default=-1)
            for spec, answer in answers.items():
                own = specs[-1] if spec == task.first else spec
                prompt = task.prompts[number, spec]
                known = {
                    side: row
                    for side in (own, task.first)
                    if (row := _best(task.kept[side], prompt)) is not None
                }
                ratios = token_log_ratios(
                    task.loaded[own], task.loaded[task.first], prompt, answer.ids, known
                )
                pieces = [
                    [text, round(ratio, 4)]
                    for text, ratio in zip(answer.pieces, ratios, strict=True)
                ]
                emit(
                    "analysis",
                    side=spec,
                    index=index,
                    prompt=number,
                    pieces=pieces,
                    first_difference=places[spec],
                )


def _conversations(request: Mapping[str, Any], specs: Sequence[str]) -> list[dict[str, Any]]:
    """By prompt, each side's conversation."""
    if request.get("op") == "batch":
        prompts = request.get("prompts")
        if not isinstance(prompts, list) or not prompts:
            raise bad_request("the request has no prompts")
        return [dict.fromkeys(specs, messages) for messages in prompts]
    messages = request.get("messages")
    if isinstance(messages, dict):
        if missing := [spec for spec in specs if spec not in messages]:
            raise bad_request(f"the request has no messages for {', '.join(missing)}")
        return [{spec: messages[spec] for spec in specs}]
    return [dict.fromkeys(specs, messages)]


def _best(kept: Sequence[KeptRow], prompt: Sequence[int]) -> KeptRow | None:
    """The row that has read most of a prompt."""
    return max(kept, key=lambda row: common_length(row.ids, prompt), default=None)


def _first_difference(one: Sequence[int], other: Sequence[int]) -> int:
    """Number of the first token that differs, -1 where none does."""
    length = common_length(one, other)
    return -1 if length == len(one) == len(other) else length


def _fields(answer: Answer) -> dict[str, Any]:
    return {
        "side": answer.side,
        "index": answer.index,
        "prompt": answer.prompt,
        "text": answer.text,
        "tokens": len(answer.ids),
        "seconds": round(answer.seconds, 3),
        "first_seconds": round(answer.first_seconds, 3),
        "finish": answer.finish,
    }

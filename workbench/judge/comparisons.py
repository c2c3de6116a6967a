"""comparisons.jsonl: what the sides of a run have answered to the same prompt."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.base.files import append_json
from workbench.base.tail import read_jsonl
from workbench.judge.answers import ANALYSIS_FIELDS, ANSWER_FIELDS, Message, Sampling

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory


@dataclass(frozen=True)
class Asked:
    """What was asked of which sides.

    Attributes:
        messages: The conversation that all sides were given.
        histories: By side, where each side went on with its own; `messages` is then the first's.
        index: Which of several answers to the same prompt this is.
        prompt_id, category, prompt_set: Where the prompt came from; empty where it was typed.
        batch: Name of the batch that it belongs to, empty for none.
        weights: The `weights` event: whose weights answered, and how far they are apart.
    """

    messages: Sequence[Message]
    sampling: Sampling
    histories: Mapping[str, Sequence[Message]] = field(default_factory=dict)
    index: int = 0
    prompt_id: str = ""
    category: str = ""
    prompt_set: str = ""
    batch: str = ""
    weights: Mapping[str, Any] = field(default_factory=dict)


def save_comparison(
    run: RunDirectory, asked: Asked, answers: Mapping[str, Mapping[str, Any]]
) -> str:
    """Append one comparison to the run's comparisons.jsonl and return its id.

    Args:
        answers: side -> its `answer` event, with the fields of its `analysis` event where there
            is one.

    Raises:
        OSError: it cannot be written.
    """
    comparison = secrets.token_hex(6)
    kept = {side: _answer(answer) for side, answer in answers.items()}
    record: dict[str, Any] = {
        "time": time.time(),
        "comparison": comparison,
        "messages": [dict(message) for message in asked.messages],
        "prompt_id": asked.prompt_id,
        "category": asked.category,
        "set": asked.prompt_set,
        "index": asked.index,
        "sampling": asdict(asked.sampling),
        "seed": asked.sampling.seed + asked.index,
        "sides": asked.weights.get("sides") or {side: {} for side in answers},
        "max_delta_logit": asked.weights.get("max_delta_logit") or {},
        "answers": kept,
        "batch": asked.batch,
    }
    if asked.histories:
        record["histories"] = {
            side: [dict(message) for message in history]
            for side, history in asked.histories.items()
        }
    append_json(run.comparisons, record)
    return comparison


def _answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: answer.get(name) for name in ANSWER_FIELDS}
    return kept | {name: answer[name] for name in ANALYSIS_FIELDS if name in answer}


def load_comparisons(run: RunDirectory) -> list[dict[str, Any]]:
    """Every comparison kept in the run, oldest first; lines that are no comparison are left out."""
    return [
        record
        for record in read_jsonl(run.comparisons)
        if isinstance(record.get("messages"), list) and isinstance(record.get("answers"), dict)
    ]

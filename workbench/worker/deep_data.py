"""What a stage would make of its data: token lengths, and rows that are cut or lost."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from workbench.base.problems import Problem
from workbench.worker.stage_config import StageConfig
from workbench.worker.trainers import trainer_class

SAMPLE_ROWS = 2000
STREAM_ROWS = 200
PAIR = ("prompt", "chosen", "rejected")
IGNORED = -100
"""TRL's label of a token that is not scored."""


def sample_of(split: Any, seed: int) -> Any:
    """Rows of a split to measure: all, or as many as are measured in a few seconds."""
    from datasets import Dataset

    if not hasattr(split, "__len__"):
        return Dataset.from_list(list(split.take(STREAM_ROWS)))
    if len(split) <= SAMPLE_ROWS:
        return split
    return split.shuffle(seed=seed).select(range(SAMPLE_ROWS))


def tokenise(config: StageConfig, rows: Any, tokenizer: Any) -> Any:
    """Rows as TRL's own trainer prepares them, before anything is cut or packed."""
    arguments = copy.copy(config.training)
    arguments.max_length = None
    first = rows[0]
    only = getattr(arguments, "completion_only_loss", None)
    template = None
    if getattr(arguments, "assistant_only_loss", False):
        from trl.chat_template_utils import get_training_chat_template, has_generation_markers

        if not has_generation_markers(tokenizer.chat_template):
            template = get_training_chat_template(tokenizer)
    trainer = SimpleNamespace(
        _tokenizer=tokenizer,
        chat_template=template,
        completion_only_loss={"prompt", "completion"} <= set(first) if only is None else only,
    )
    prepare = trainer_class(config.stage)._prepare_dataset  # type: ignore[attr-defined]
    # The positions are TRL 1.16's: packing and formatting_func are SFT's alone.
    further = () if config.stage == "dpo" else (False, None)
    return prepare(trainer, rows, tokenizer, arguments, *further, "sample")


def measure(config: StageConfig, prepared: Any) -> dict[str, Any]:
    """Token lengths of tokenised rows, and the rows that `max_length` cuts or drops.

    Returns:
        `tokens`: per part p50, p95 and max; `truncated` and `dropped`: rows of the sample.
    """
    most, mode = config.training.max_length, config.training.truncation_mode
    if config.stage == "dpo":
        columns = {name: lengths(prepared, f"{name}_ids") for name in PAIR}
        whole = [p + max(c, r) for p, c, r in zip(*columns.values(), strict=True)]
        lost = [p >= most for p in columns["prompt"]] if most else []
        lost = lost if mode == "keep_start" else []
    else:
        labels = prepared["labels"]
        whole = [len(row) for row in labels]
        answers = [sum(label != IGNORED for label in row) for row in labels]
        columns = {"row": whole, "scored": answers}
        keep = slice(-most, None) if most and mode == "keep_end" else slice(most)
        lost = [all(label == IGNORED for label in row[keep]) for row in labels]
    packed = bool(getattr(config.training, "packing", False))
    return {
        "tokens": {name: spread(values) for name, values in columns.items()},
        "truncated": 0 if packed or not most else sum(length > most for length in whole),
        "dropped": 0 if packed else sum(lost),
        "longest": max(whole, default=0),
        "p95": spread(whole)["p95"],
    }


def lengths(prepared: Any, column: str) -> list[int]:
    """Tokens of each row in a column."""
    return [len(ids) for ids in prepared[column]]


def spread(values: Sequence[int]) -> dict[str, int]:
    """Median, 95th percentile and greatest of some lengths."""
    if not values:
        return {"p50": 0, "p95": 0, "max": 0}
    ordered = sorted(values)
    at_95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"p50": int(statistics.median(ordered)), "p95": at_95, "max": ordered[-1]}


def teachless(config: StageConfig, rows: Any) -> dict[str, int]:
    """Rows that teach nothing: pairs of equal answers, and answers without a text."""
    names = ("chosen", "rejected") if config.stage == "dpo" else ("completion",)
    present = [name for name in names if name in rows.column_names]
    same = empty = 0
    for row in rows.select_columns(present) if present else ():
        answers = [row[name] for name in present]
        same += len(answers) == 2 and answers[0] == answers[1]
        empty += any(not text_of(answer).strip() for answer in answers)
    return {"same": same, "empty": empty}


def text_of(answer: Any) -> str:
    """An answer's text; of messages that of the last one, a call of a tool included."""
    if isinstance(answer, str):
        return answer
    if not isinstance(answer, list) or not answer or not isinstance(answer[-1], Mapping):
        return ""
    return str(answer[-1].get("content") or answer[-1].get("tool_calls") or "")


def check_template(rows: Any, tokenizer: Any) -> Iterator[Problem]:
    """Conversations need a chat template."""
    from trl import is_conversational

    if is_conversational(rows[0]) and not tokenizer.chat_template:
        what = "the data are conversations, and the tokenizer has no chat template"
        hint = "Take the model's chat version, or set chat_template_path in an SFT stage. "
        hint += "Pairs that were mapped stay texts with data_format: pair_texts."
        yield Problem(what, "model_name_or_path", hint)


def check_measured(config: StageConfig, measured: Mapping[str, Any]) -> Iterator[Problem]:
    """What to say of the sample: rows that are lost, cut, or teach nothing."""
    rows, most = measured["sample"], config.training.max_length
    hint = f"Raise max_length; 95 % of the rows fit into {measured['p95']} tokens."
    if measured["dropped"]:
        every = measured["dropped"] == rows
        what = f"{measured['dropped']} of {rows} rows lose their whole answer at max_length {most}"
        yield Problem(what, "max_length", hint, "error" if every else "warning")
    elif measured["truncated"] > rows / 10:
        what = f"max_length {most} cuts {measured['truncated']} of {rows} rows"
        yield Problem(what, "max_length", hint, "warning")
    if measured["same"]:
        what = f"{measured['same']} of {rows} pairs have equal answers"
        yield Problem(what, "datasets", "Delete them: they hold no preference.", "warning")
    if measured["empty"]:
        what = f"{measured['empty']} of {rows} rows have an empty answer"
        yield Problem(what, "datasets", "Delete or complete them.", "warning")

"""samples.jsonl: what weights answered to the recipe's probe prompts while they were trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.base.files import is_number
from workbench.base.tail import read_jsonl
from workbench.run.directory import RunDirectory
from workbench.run.metrics import MetricsReader, is_step

BASE = "base"


@dataclass(frozen=True)
class Sample:
    """One answer.

    Attributes:
        time: Unix seconds.
        stage, step: Of the training, when it was asked.
        side: `base`, or the stage whose weights answered.
        tokens: Length of the answer, without its end token.
        checkpoint: Asked at a save, not before or after the stage.
        cut: The answer has no end of its own: it was as long as it might be.
    """

    time: float
    stage: str
    step: int
    side: str
    prompt: str
    answer: str
    tokens: int
    checkpoint: bool = False
    cut: bool = False


def read_samples(run: RunDirectory, metrics: MetricsReader | None = None) -> list[Sample]:
    """All answers that count, in the order in which they were asked.

    An answer is left out where the run went back behind its step and trained it again, and where
    the same weights were asked the same again.

    Args:
        metrics: The run's metrics, if they have been read already.
    """
    if metrics is None:
        metrics = MetricsReader(run)
        metrics.read_all()
    returns = Returns(metrics.events)
    newest: dict[tuple[str, int, bool, str], Sample] = {}
    for row in read_jsonl(run.samples):
        sample = _parse(row)
        if sample is None:
            continue
        place = sample.stage, sample.step
        if sample.side == BASE or not returns.superseded(*place, sample.time):
            newest[(sample.side, sample.step, sample.checkpoint, sample.prompt)] = sample
    return list(newest.values())


class Returns:
    """Where a run went back to: what it did behind those steps before does not count.

    Args:
        events: Of metrics.jsonl, `stage` and `resume` among them.
    """

    def __init__(self, events: Iterable[Mapping[str, Any]]) -> None:
        self._found: list[tuple[float, str, int]] = []
        listed = list(events)
        for event, after in zip(listed, [*listed[1:], {}], strict=False):
            if event.get("event") != "stage" or not is_number(event.get("time")):
                continue
            resumed = after.get("event") == "resume" and after.get("stage") == event.get("stage")
            step = after.get("step") if resumed else None
            last = step if is_step(step) else -1
            self._found.append((float(event["time"]), str(event.get("stage")), last))

    def superseded(self, stage: str, step: int, time: float) -> bool:
        """Whether a step of a stage that was done at this Unix time was done again."""
        return any(
            stage == name and time < when and step > last for when, name, last in self._found
        )


def _parse(row: Mapping[str, Any]) -> Sample | None:
    texts = [row.get(name) for name in ("stage", "side", "prompt", "answer")]
    step, time, tokens = row.get("step"), row.get("time"), row.get("tokens")
    if not is_step(step) or not all(isinstance(text, str) for text in texts):
        return None
    stage, side, prompt, answer = map(str, texts)
    return Sample(
        time=float(time) if time is not None and is_number(time) else 0.0,
        stage=stage,
        step=step,
        side=side,
        prompt=prompt,
        answer=answer,
        tokens=tokens if is_step(tokens) else 0,
        checkpoint=row.get("checkpoint") is True,
        cut=row.get("cut") is True,
    )

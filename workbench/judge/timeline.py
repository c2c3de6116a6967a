"""A run's checkpoints on one line: what each answered, its margin, and which one is the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from workbench.base.files import is_number
from workbench.base.repetition import repetition
from workbench.judge.differences import Piece, word_differences
from workbench.run.metrics import MetricsReader, is_step
from workbench.run.samples import BASE, Returns, Sample, read_samples

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory

DEGENERATE = 0.3
"""Mean repetition from which on answers are loops; ordinary text stays below a tenth."""
MARGIN = "eval_rewards/margins"
ACCURACY = "eval_rewards/accuracies"
LOSS = "eval_loss"
NO_BEST = "No best checkpoint: there are no held-out metrics beside answers yet."


@dataclass(frozen=True)
class Mark:
    """One place on the line.

    Attributes:
        stage, step: Of the training; the base model has no stage and stands at step 0.
        spec: The side that has these weights: `base`, `dpo:8`, or a stage for its final weights.
        margin, accuracy, loss: Of the held-out rows, measured at this step or before it.
        answers: By prompt; empty where the checkpoint was not asked.
        kept: Whether the weights are still on the disk.
    """

    stage: str
    step: int
    spec: str
    margin: float | None = None
    accuracy: float | None = None
    loss: float | None = None
    answers: Mapping[str, Sample] = field(default_factory=dict)
    kept: bool = True

    @property
    def label(self) -> str:
        """`base`, `dpo step 8`."""
        return f"{self.stage} step {self.step}" if self.stage else BASE

    @property
    def final(self) -> bool:
        """Whether these are the weights with which the stage ended."""
        return self.spec == self.stage

    @property
    def repetition(self) -> float | None:
        """Mean share of repeated word sequences in the answers; None without answers."""
        texts = [sample.answer for sample in self.answers.values()]
        return fmean(map(repetition, texts)) if texts else None

    @property
    def tokens(self) -> float | None:
        """Mean length of the answers; None without answers."""
        return fmean(one.tokens for one in self.answers.values()) if self.answers else None


@dataclass(frozen=True)
class Timeline:
    """All checkpoints of a run, the base model first.

    Attributes:
        prompts: In the order in which they were first asked.
        best: See `best_mark`.
    """

    marks: tuple[Mark, ...] = ()
    prompts: tuple[str, ...] = ()
    best: Mark | None = None

    def before(self, place: int, prompt: str) -> Sample | None:
        """The answer to a prompt at the nearest earlier place that has one."""
        for mark in reversed(self.marks[:place]):
            if prompt in mark.answers:
                return mark.answers[prompt]
        return None

    def best_line(self) -> str:
        """The best checkpoint in one sentence."""
        best = self.best
        if best is None:
            return NO_BEST
        facts = [
            f"held-out accuracy {100 * best.accuracy:.0f} %" if best.accuracy is not None else "",
            f"margin {best.margin:.2f}" if best.margin is not None else "",
            f"loss {best.loss:.2f}" if best.accuracy is None and best.loss is not None else "",
            f"repetition {best.repetition:.2f}" if best.repetition is not None else "",
        ]
        gone = "" if best.kept else "; its weights are deleted since (save_total_limit)"
        return f"Best: {best.label}, {', '.join(fact for fact in facts if fact)}{gone}."


def read_timeline(run: RunDirectory, metrics: MetricsReader | None = None) -> Timeline:
    """The timeline of a run, finished or at work. Call it from a thread.

    Args:
        metrics: The run's metrics, if they have been read already.
    """
    if metrics is None:
        metrics = MetricsReader(run)
        metrics.read_all()
    samples = read_samples(run, metrics)
    answers: dict[tuple[str, int, bool], dict[str, Sample]] = {}
    for sample in samples:
        place = (sample.side, sample.step, sample.checkpoint)
        answers.setdefault(place, {})[sample.prompt] = sample
    places = {place for place in answers if place[0] != BASE}
    places |= {(stage, step, True) for stage, step in _saved(metrics)}
    finals = {(stage, step) for stage, step, checkpoint in places if not checkpoint}
    # The last checkpoint has the weights that the stage ended with.
    places = {place for place in places if not place[2] or place[:2] not in finals}
    stages = _stages(metrics, samples)
    ordered = sorted(places, key=lambda place: (stages.index(place[0]), place[1], not place[2]))
    base = {prompt: one for place, found in answers.items() if place[0] == BASE
            for prompt, one in found.items()}  # fmt: skip
    marks = [Mark("", 0, BASE, answers=base)] if base else []
    marks += [_mark(run, metrics, place, answers) for place in ordered]
    prompts = tuple(dict.fromkeys(sample.prompt for sample in samples))
    return Timeline(tuple(marks), prompts, best_mark(tuple(marks)))


def best_mark(marks: tuple[Mark, ...]) -> Mark | None:
    """The checkpoint that did best on the held-out rows and does not answer in loops.

    Of the newest stage that has held-out metrics: the highest accuracy, the higher margin where
    several share it, and the earlier one where that is equal too. Stages without rewards (SFT)
    go by the lowest loss. Left out are places without answers of their own, those whose mean
    repetition is above `DEGENERATE`, and those that answered with nothing.
    """
    sound = [
        mark
        for mark in marks
        if mark.repetition is not None and mark.repetition <= DEGENERATE and mark.tokens
    ]
    measured = [mark for mark in sound if mark.accuracy is not None or mark.loss is not None]
    measured = [mark for mark in measured if mark.stage == measured[-1].stage]
    return max(measured, key=_merit, default=None)


def _merit(mark: Mark) -> tuple[float, float, float]:
    """Greater is better; an accuracy is never compared with a missing one of the same stage."""
    loss = -mark.loss if mark.loss is not None else float("-inf")
    if mark.accuracy is None:
        return (-1.0, 0.0, loss)
    return (mark.accuracy, mark.margin if mark.margin is not None else float("-inf"), 0.0)


def changes(before: Sample | None, now: Sample) -> list[Piece]:
    """What an answer has that the one before had not, and the other way round.

    Where an answer was cut, what the other one goes on with is no difference.
    """
    if before is None:
        return [("same", now.answer)] if now.answer else []
    pieces = word_differences(before.answer, now.answer)
    if pieces and before.cut and pieces[-1][0] == "second":
        pieces[-1] = ("same", pieces[-1][1])
    elif pieces and now.cut and pieces[-1][0] == "first":
        pieces.pop()
    return pieces


def _saved(metrics: MetricsReader) -> list[tuple[str, int]]:
    """Stage and step of each checkpoint that was written, without those that were trained again."""
    returns = Returns(metrics.events)
    found = []
    for event in metrics.events:
        stage, step, time = event.get("stage"), event.get("step"), event.get("time")
        if event.get("event") != "checkpoint" or not isinstance(stage, str) or not is_step(step):
            continue
        when = float(time) if time is not None and is_number(time) else 0.0
        if not returns.superseded(stage, step, when):
            found.append((stage, step))
    return found


def _stages(metrics: MetricsReader, samples: list[Sample]) -> list[str]:
    events = (event.get("stage") for event in metrics.events if event.get("event") != "end")
    named = [stage for stage in events if isinstance(stage, str)]
    return list(dict.fromkeys([*named, *(sample.side for sample in samples)]))


def _mark(
    run: RunDirectory,
    metrics: MetricsReader,
    place: tuple[str, int, bool],
    answers: Mapping[tuple[str, int, bool], Mapping[str, Sample]],
) -> Mark:
    stage, step, checkpoint = place
    value = _at(metrics, stage, step)
    folder = run.path / stage / f"checkpoint-{step}" if checkpoint else run.path / stage
    return Mark(
        stage,
        step,
        f"{stage}:{step}" if checkpoint else stage,
        value(MARGIN),
        value(ACCURACY),
        value(LOSS),
        answers.get(place, {}),
        folder.is_dir(),
    )


def _at(metrics: MetricsReader, stage: str, step: int) -> Callable[[str], float | None]:
    def value(name: str) -> float | None:
        known = [one for at, one in metrics.points(name, stage) if at <= step]
        return known[-1] if known else None

    return value


def timeline_json(timeline: Timeline) -> dict[str, Any]:
    """The timeline for scripts."""
    return {
        "prompts": list(timeline.prompts),
        "best": timeline.best.spec if timeline.best else None,
        "best_line": timeline.best_line(),
        "marks": [
            {
                "spec": mark.spec,
                "label": mark.label,
                "stage": mark.stage,
                "step": mark.step,
                "final": mark.final,
                "kept": mark.kept,
                "margin": mark.margin,
                "accuracy": mark.accuracy,
                "loss": mark.loss,
                "repetition": mark.repetition,
                "answers": {
                    prompt: {"answer": one.answer, "tokens": one.tokens, "cut": one.cut}
                    for prompt, one in mark.answers.items()
                },
            }
            for mark in timeline.marks
        ],
    }

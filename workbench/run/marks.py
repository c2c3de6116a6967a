"""What happened at which step of a stage: checkpoints, resumes, stops, the best evaluation."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from workbench.run.curves import Points
from workbench.run.states import STATES, label

MarkKind = Literal["checkpoint", "resume", "stop", "eval_best"]
KEPT_MARKS = 1000
BEST_METRIC = "eval_loss"


@dataclass(frozen=True)
class Mark:
    """One place on a stage's axis of steps.

    Attributes:
        label: A word or two for people, without the step.
    """

    kind: MarkKind
    step: int
    label: str


class MarkList:
    """The marks of a stage, the last ones of very many, without those that a resume superseded."""

    def __init__(self) -> None:
        self._marks: deque[Mark] = deque(maxlen=KEPT_MARKS)

    def checkpoint(self, step: int) -> None:
        """A checkpoint was written."""
        self._marks.append(Mark("checkpoint", step, "checkpoint"))

    def resume(self, step: int) -> None:
        """The stage went on from a checkpoint of this step."""
        self._marks.append(Mark("resume", step, "resumed"))

    def stop(self, step: int, state: object) -> None:
        """The run ended in a state other than `finished`."""
        known = state if isinstance(state, str) and state in STATES else "ended"
        if known == "finished":
            return
        if self._marks and (self._marks[-1].kind, self._marks[-1].step) == ("stop", step):
            # An attempt to go on that failed before its first step.
            self._marks.pop()
        self._marks.append(Mark("stop", step, label(known)))

    def forget_after(self, step: int) -> None:
        """Forget the marks of higher steps."""
        self._marks = deque((mark for mark in self._marks if mark.step <= step), KEPT_MARKS)

    @property
    def last_step(self) -> int:
        """The highest step of a mark, 0 without any."""
        return max((mark.step for mark in self._marks), default=0)

    def all(self, held_out: Points) -> tuple[Mark, ...]:
        """By step, in the order of events where it is the same.

        Args:
            held_out: `(step, eval_loss)`; of two or more the lowest is marked.
        """
        best: tuple[Mark, ...] = ()
        if len(held_out) > 1:
            step, value = min(held_out, key=lambda point: point[1])
            best = (Mark("eval_best", step, f"best {BEST_METRIC} {value:.4g}"),)
        return tuple(sorted((*self._marks, *best), key=lambda mark: mark.step))

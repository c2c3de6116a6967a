"""What a reader keeps of one stage: its curves, axes and marks."""

from __future__ import annotations

from array import array
from typing import Any, TypeGuard

from workbench.base.files import is_number
from workbench.run.axes import Axis, AxisCurve, TrainingClock, make_axis
from workbench.run.batches import MAX_STEP, Batch
from workbench.run.curves import KEPT_POINTS, Curve
from workbench.run.marks import BEST_METRIC, Mark, MarkList

NOT_METRICS = frozenset(("time", "stage", "step", "event", "non_finite", "epoch"))
MAX_NAMES = 512
BUDGET_POINTS = 2**21
"""As many points (16 bytes each) all curves of a run keep together, where each keeps enough."""
LEAST_POINTS = 1024


class Budget:
    """How many points each curve may keep, so that many names or stages cost no more memory."""

    def __init__(self) -> None:
        self._curves: list[Curve] = []
        self._limit = KEPT_POINTS

    def new_curve(self) -> Curve:
        """A curve with a fair share; where shares shrink, those of all curves do."""
        curve = Curve()
        self._curves.append(curve)
        while self._limit > LEAST_POINTS and self._limit * len(self._curves) > BUDGET_POINTS:
            self._limit //= 2
            for number, known in enumerate(self._curves):
                known.restrict(self._share(number))
        curve.restrict(self._share(len(self._curves) - 1))
        return curve

    def release(self, curve: Curve) -> None:
        """The curve is gone; shares stay as they are."""
        self._curves.remove(curve)

    def _share(self, number: int) -> int:
        # Curves that fill up together are not all thinned in the same moment.
        return self._limit - number % 16 * (self._limit // 64)


class StageHistory:
    """One stage of a run.

    Attributes:
        curves: By metric.
    """

    def __init__(self, budget: Budget) -> None:
        self.curves: dict[str, Curve] = {}
        self.marks = MarkList()
        self._budget = budget
        self._clock = TrainingClock()
        self._seconds = AxisCurve()
        self._epochs = AxisCurve()
        self._last_step = 0

    def add_row(self, step: int, row: dict[str, Any]) -> dict[str, float]:
        """Take a log record; returns the metrics of it that were taken."""
        self._last_step = max(self._last_step, step)
        time, epoch = as_number(row.get("time")), as_number(row.get("epoch"))
        if time is not None:
            self._clock.see(time)
            self._seconds.add(step, *self._clock.seconds([time]))
        if epoch is not None:
            self._epochs.add(step, epoch)
        found = {name: float(value) for name, value in row.items() if is_metric(name, value)}
        for name in [name for name in found if name not in self.curves]:
            if len(self.curves) >= MAX_NAMES:
                del found[name]
            else:
                self.curves[name] = self._budget.new_curve()
        for name, value in found.items():
            self.curves[name].add(step, value)
        return found

    def add_batch(self, batch: Batch) -> dict[str, float] | None:
        """Take log records, as `add_row` of each in turn; returns the last value of each metric.

        None where only `add_row` can: a name is new, or steps are known already.
        """
        taken: list[tuple[str, Curve, array[int], array[float]]] = []
        for part in batch.parts:
            for name, values in part.metrics.items():
                curve = self.curves.get(name)
                if curve is not None and curve.last_step < part.steps[0]:
                    taken.append((name, curve, part.steps, values))
                elif curve is not None or len(self.curves) < MAX_NAMES:
                    return None
        self._last_step = max(self._last_step, batch.steps[-1])
        steps, times = batch.times
        if times:
            self._clock.see(times[0])
            self._clock.see(times[-1])
            self._seconds.extend(steps, array("d", self._clock.seconds(times)))
        self._epochs.extend(*batch.epochs)
        for _, curve, its_steps, values in taken:
            curve.extend(its_steps, values)
        return {name: values[-1] for name, _, _, values in taken}

    def begin(self, time: float | None) -> None:
        """The stage begins, or is about to go on."""
        self._clock.begin(time)

    def begin_anew(self) -> None:
        """What was trained before is forgotten."""
        self.forget_after(-1)
        self._clock.begin_anew()

    def go_on(self, step: int, time: float | None) -> None:
        """The stage goes on from a checkpoint; what lies behind it is forgotten."""
        self.forget_after(step)
        self._clock.go_on(time)
        self.marks.resume(step)

    def checkpoint(self, step: int, time: float | None) -> None:
        """A checkpoint was written."""
        self.marks.checkpoint(step)
        if time is not None:
            self._clock.see(time)

    def end(self, state: object, time: float | None) -> None:
        """The run ended while this stage was the newest one."""
        self.marks.stop(max(self._last_step, self.marks.last_step), state)
        if time is not None:
            self._clock.end(time)

    def forget_after(self, step: int) -> None:
        """Forget what was logged of higher steps."""
        for name, curve in list(self.curves.items()):
            curve.forget_after(step)
            if not len(curve):
                self._budget.release(self.curves.pop(name))
        self._seconds.forget_after(step)
        self._epochs.forget_after(step)
        self.marks.forget_after(step)
        self._last_step = min(self._last_step, max(0, step))

    def lasts(self) -> dict[str, float]:
        """The newest value of each metric."""
        values = ((name, curve.last) for name, curve in self.curves.items())
        return {name: value for name, value in values if value is not None}

    def axis(self, kind: str) -> Axis:
        """An axis of the stage; see `AXES`."""
        if kind == "time":
            return make_axis(kind, self._seconds.points(), from_nothing=self._clock.known_start)
        if kind == "epoch":
            return make_axis(kind, self._epochs.points())
        if kind == "tokens" and "num_tokens" in self.curves:
            return make_axis(kind, self.curves["num_tokens"].points())
        return Axis(kind)

    def all_marks(self) -> tuple[Mark, ...]:
        """Its marks by step."""
        held_out = self.curves.get(BEST_METRIC)
        return self.marks.all(held_out.points() if held_out else ())


def is_step(value: Any) -> TypeGuard[int]:
    """Whether a value is the number of an optimizer step."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_STEP


def as_number(value: Any) -> float | None:
    """A value read from JSON as a finite number; None where it is none."""
    return float(value) if is_number(value) else None


def is_metric(name: str, value: Any) -> bool:
    """Whether an entry of a log record is a metric with a finite value."""
    return name not in NOT_METRICS and is_number(value)

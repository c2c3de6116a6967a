"""What the worker does between the steps of TRL's trainer."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from workbench.worker.batch_counts import BatchCounts
from workbench.worker.machine import memory_metrics
from workbench.worker.rank_clock import RankClock, rank_clock_for
from workbench.worker.rank_file import RankFile
from workbench.worker.run_writer import RunWriter
from workbench.worker.step_clock import StepClock, clock_for
from workbench.worker.world import World

FATAL_METRICS = ("loss", "grad_norm")
PACE_STEPS = 50
"""The median of so many last steps is the pace of a run."""


def mean_loss(history: list[dict[str, Any]]) -> float:
    """Mean over all logged steps, those before a resume too, which the Trainer's own mean loses."""
    total, step = 0.0, 0
    for row in history:
        if "loss" in row:
            total, step = total + row["loss"] * (row["step"] - step), row["step"]
    return total / step if step else math.nan


class EvaluationStoppedError(Exception):
    """A stop was asked for while the held-out rows were scored, which can take minutes."""


class RunCallback(TrainerCallback):  # type: ignore[misc]
    """Writes metrics and signs of life, obeys a stop, and ends a run that has diverged.

    Args:
        world, file: This process among those that train together, and its record; all of them stop
            at the same step.

    Attributes:
        diverged: `(step, metric, value)` of the first non-finite loss or gradient norm.
        stopped: Whether the stage ended early because a stop was asked for.
        resumed: Whether training went on from a checkpoint.
    """

    def __init__(
        self,
        writer: RunWriter,
        stage: str,
        world: World | None = None,
        file: RankFile | None = None,
    ) -> None:
        self.writer = writer
        self.world = world or World()
        self.file = file
        self._stop_asked: Callable[[], bool] | None = None
        self.stage = stage
        self.diverged: tuple[int, str, float] | None = None
        self.stopped = False
        self.resumed = False
        self.clock = StepClock()
        self._rank_clock = RankClock()
        self._counts = BatchCounts(stage)
        self._tokens = 0.0
        self._clock = self._step_began = time.monotonic()
        self._steps: deque[float] = deque(maxlen=PACE_STEPS)

    def measure(self, trainer: Any) -> None:
        """Let the log records say where the trainer's time goes, and what they are averages of."""
        self.clock = clock_for(trainer)
        self._counts = BatchCounts(self.stage, trainer.args.world_size)
        self._counts.watch(trainer)
        self.clock.watch(trainer)
        self._rank_clock = rank_clock_for(trainer)
        self._rank_clock.watch(trainer)

    def count_from(self, tokens: float) -> None:
        """Take this many tokens as seen before, so that the first speed after a resume is right."""
        self._tokens = tokens

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._clock = time.monotonic()
        step, max_steps = state.global_step, state.max_steps
        self.writer.update(
            state="running", stage=self.stage, step=step, max_steps=max_steps, heartbeat=time.time()
        )
        self.writer.event("stage", stage=self.stage, max_steps=max_steps)
        self.resumed = step > 0
        if step:
            self.writer.event("resume", stage=self.stage, step=step)
        self.clock.start()
        self._rank_clock.start()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._step_began = time.monotonic()
        # Asked while the step is computed: the answer costs no time of its own.
        self._stop_asked = self.world.ask(self.writer.stop_requested)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.clock.optimizer_begins()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.clock.optimizer_ends()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._steps.append(time.monotonic() - self._step_began)
        pace = round(statistics.median(self._steps), 4)
        self._tick(state, step_seconds=pace)
        with self._rank_clock.communication():
            asked = self._stop_asked is not None and self._stop_asked()
        # Alone a process need not wait for the next step to know it.
        asked = asked or (self.writer.stop_requested and not self.world.is_shared)
        if asked and state.global_step < state.max_steps:
            # Logging now closes the window of the running average, so the resumed run loses none.
            self.stopped = True
            control.should_log = control.should_save = control.should_training_stop = True
            control.should_evaluate = False

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.stopped or self.diverged:
            control.should_evaluate = control.should_save = False

    def _tick(self, state: Any, **changes: Any) -> None:
        self.writer.tick(step=state.global_step, **changes)
        if self.file is not None:
            self.file.tick(state.global_step)

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._tick(state)

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._tick(state)
        if self.world.any(self.writer.stop_requested):
            raise EvaluationStoppedError

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        values = dict(logs or {})
        if "loss" in values:
            counts = self._counts.take()
            values |= counts | self._speed(values | counts) | memory_metrics() | self.clock.take()
            values |= self._rank_metrics(counts)
        if "train_loss" in values:
            # What came behind the last step's record; zeros would hide that one's values.
            values |= {name: spent for name, spent in self.clock.take().items() if spent}
            if self.resumed:
                values["train_loss"] = mean_loss(state.log_history)
        self._tick(state)
        faults = self.writer.metrics(self.stage, state.global_step, values)
        # With fp16 the loss scaler meets infinite gradients by design and skips those steps.
        fatal = [n for n in FATAL_METRICS if n in faults and not (args.fp16 and n == "grad_norm")]
        if fatal and self.diverged is None and "loss" in values:
            self.diverged = (state.global_step, fatal[0], float(values[fatal[0]]))
            control.should_training_stop = True
            control.should_save = control.should_evaluate = False

    def _rank_metrics(self, counts: dict[str, float]) -> dict[str, float]:
        """Keep how fast this process is; what there is to say of all that train together."""
        figures = self._rank_clock.take(counts.get("samples", 0.0) / self.world.size)
        if self.file is not None and figures:
            self.file.tell(figures)
        return self._rank_clock.share(figures)

    def _speed(self, values: dict[str, Any]) -> dict[str, float]:
        now, tokens = time.monotonic(), float(values.get("num_tokens", 0.0))
        elapsed, gained = now - self._clock, tokens - self._tokens
        self._clock, self._tokens = now, tokens
        if elapsed <= 0:
            return {}
        speed = {"tokens_per_second": gained / elapsed} if gained > 0 else {}
        if "samples" in values:
            speed["samples_per_second"] = values["samples"] / elapsed
        return speed

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._clock = time.monotonic()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._clock = time.monotonic()

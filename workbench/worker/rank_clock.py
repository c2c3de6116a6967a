"""How fast each of several processes is, and how long it stands still for the others.

Three things are measured, none of them estimated:

- Calls of torch.distributed that wait for the other processes, from their beginning to their end.
- The gradients' way between the processes, by the timer that DDP has of its own. What lies behind
  the end of the backward pass is waited for; what lies before it is hidden.
- The tokens of the batches that this process computes.

What FSDP and DeepSpeed gather between the layers is on no clock here, so that with them nothing is
said of communication. Waiting for a slower process is communication of the faster one:
`run/scaling.py` tells them apart by comparing the processes.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed

from workbench.run.rank_figures import FIGURES, rank_metrics
from workbench.worker.step_clock import StepClock, event_maker

COLLECTIVES = (
    *("all_gather", "all_gather_into_tensor", "all_gather_object", "all_reduce", "barrier"),
    *("broadcast", "broadcast_object_list", "gather", "gather_object", "reduce", "scatter"),
    *("scatter_object_list", "_broadcast_coalesced"),
)
COMMUNICATION, ASIDE = "communication", "aside"
EVERY_STEP, ON_DEVICE_STEPS = 1, 10
"""Of so many steps DDP times one. Reading the times of a GPU waits for its last backward pass."""
NANOSECONDS = 1e9


class RankClock:
    """Counts and times one process between one `take` and the next.

    Evaluations and saves are left out, and so is the first wait behind one: one process writes, the
    others have only come to wait for it.

    Args:
        processes: How many train together. Alone, there is nothing to measure.
        clock: Tells communication from what is left aside and the rest.
        sample_steps: Of so many steps DDP times one.
    """

    def __init__(
        self, processes: int = 1, clock: StepClock | None = None, sample_steps: int = EVERY_STEP
    ) -> None:
        self._processes = processes
        self._clock = clock or step_clock()
        self._gradients = GradientTimer(sample_steps)
        self._tokens: Any = 0
        self._gather: Callable[[Any], Any] | None = None
        self._device: Any = None
        self._aside = True

    def start(self) -> None:
        """Forget what was before: the first step begins now."""
        self._clock.start()
        self._tokens, self._aside = 0, True

    def communication(self) -> AbstractContextManager[None]:
        """What happens within waits for the other processes."""
        kind, self._aside = ASIDE if self._aside else COMMUNICATION, False
        return self._clock.section(kind)

    def watch(self, trainer: Any, distributed: Any = None) -> None:
        """Look at each batch, at DDP's timer, and at what is called of torch.distributed.

        Args:
            distributed: The module whose functions are timed from now on; torch's if not given.
        """
        if self._processes < 2:
            return
        distributed = distributed or torch.distributed
        self._gather, self._device = trainer.accelerator.gather, trainer.args.device
        trainer.compute_loss = self._counted(trainer.compute_loss)
        trainer.evaluate = self._left_aside(trainer.evaluate)
        trainer._save_checkpoint = self._left_aside(trainer._save_checkpoint)
        for name in COLLECTIVES:
            setattr(distributed, name, self._waited_for(getattr(distributed, name)))

    def _counted(self, compute_loss: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(compute_loss)
        def counted(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            result = compute_loss(model, inputs, *args, **kwargs)
            if model.training:
                # A tensor on the model's device: reading it now would wait for the GPU.
                self._tokens = self._tokens + tokens_of(inputs)
                self._gradients.look(model)
            return result

        return counted

    def _left_aside(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def aside(*args: Any, **kwargs: Any) -> Any:
            with self._clock.section(ASIDE):
                result = function(*args, **kwargs)
            self._aside = True
            return result

        return aside

    def _waited_for(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if kwargs.get("async_op"):
                return function(*args, **kwargs)
            with self.communication():
                return function(*args, **kwargs)

        return timed

    def take(self, rows: float) -> dict[str, float]:
        """The figures of this process since the last take; see `FIGURES`. Empty of one alone.

        Args:
            rows: That this process has trained on meanwhile.
        """
        if self._processes < 2:
            return {}
        spent = self._clock.take()
        tokens, self._tokens = float(self._tokens), 0
        called = spent[f"seconds/{COMMUNICATION}"]
        seconds = called + spent["seconds/other"]
        if seconds <= 0:
            return {}
        figures = {"tokens_per_second": tokens / seconds, "samples_per_second": rows / seconds}
        figures |= {"seconds": seconds, "threads": float(torch.get_num_threads())}
        waited, hidden = self._gradients.take()
        if waited is not None:
            # Events of a GPU and the clock of its program may differ by a little.
            exposed = min(seconds, called + waited)
            figures["compute_seconds"] = seconds - exposed
            figures["exposed_share"] = exposed / seconds
            figures["communication_share"] = min(1.0, (exposed + hidden) / seconds)
        return figures

    def share(self, figures: dict[str, float]) -> dict[str, float]:
        """Tell the other processes this one's figures; what a log record says of all of them.

        All processes must call it at the same step.
        """
        if self._gather is None:
            return {}
        mine = [figures.get(name, math.nan) for name in FIGURES]
        told = self._gather(torch.tensor(mine, dtype=torch.float32, device=self._device))
        rows: Sequence[Sequence[float]] = told.view(-1, len(FIGURES)).tolist()
        return rank_metrics([dict(zip(FIGURES, row, strict=True)) for row in rows])


class GradientTimer:
    """Reads DDP's own timer: how long gradients were on their way, and how much of it was hidden.

    The time of a step is known when the next one begins. Steps that are not timed count as the mean
    of those that are.
    """

    def __init__(self, sample_steps: int) -> None:
        self._sample_steps = sample_steps
        self._model: Any = None
        self._iteration = 0
        self._steps = 0
        self._timed: list[tuple[float, float]] = []
        self._mean: tuple[float, float] | None = None

    def look(self, model: Any) -> None:
        """A forward pass of a model has been queued."""
        if not hasattr(model, "_get_ddp_logging_data"):
            return
        if model is not self._model:
            self._model, self._iteration, self._mean = model, 0, None
            model._set_ddp_runtime_logging_sample_rate(self._sample_steps)
        if not model.require_backward_grad_sync:
            return
        self._steps += 1
        data = model._get_ddp_logging_data()
        iteration = data.get("iteration", 0)
        if iteration > self._iteration and "backward_comm_time" in data:
            self._iteration = iteration
            hidden = max(0, data.get("backward_compute_comm_overlap_time", 0)) / NANOSECONDS
            waited = max(0.0, data["backward_comm_time"] / NANOSECONDS - hidden)
            self._timed.append((waited, hidden))

    def take(self) -> tuple[float | None, float]:
        """Seconds that were waited, None while nobody knows, and seconds that were hidden."""
        timed, steps = self._timed, self._steps
        self._timed, self._steps = [], 0
        if timed:
            waited, hidden = (sum(column) / len(timed) for column in zip(*timed, strict=True))
            self._mean = waited, hidden
        if self._mean is None:
            return None, 0.0
        return self._mean[0] * steps, self._mean[1] * steps


def tokens_of(inputs: Any) -> Any:
    """Tokens of a batch, as TRL counts them: padding left out."""
    if "attention_mask" in inputs:
        return inputs["attention_mask"].sum()
    return inputs["input_ids"].numel() if "input_ids" in inputs else 0


def step_clock(
    clock: Callable[[], float] = time.perf_counter, make_event: Callable[[], Any] | None = None
) -> StepClock:
    """What tells communication from what is left aside and from all the rest."""
    return StepClock(clock, make_event, (COMMUNICATION, ASIDE), (COMMUNICATION,))


def rank_clock_for(trainer: Any) -> RankClock:
    """The clock of a process, by its device and by how many train together."""
    make_event = event_maker(trainer.args.device)
    steps = EVERY_STEP if make_event is None else ON_DEVICE_STEPS
    return RankClock(trainer.args.world_size, step_clock(make_event=make_event), steps)

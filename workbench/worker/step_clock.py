"""Where the time of a stage goes: data, forward, backward, optimizer, evaluation, saving."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

KINDS = ("data", "forward", "backward", "optimizer", "eval", "save")
ON_DEVICE = ("forward", "backward", "optimizer")


class StepClock:
    """Adds up wall seconds by kind, between one `take` and the next.

    Of nested sections the outermost counts, so that the forward passes of an evaluation are
    evaluation. A GPU works behind its program's back: there the passes are measured by events in
    its queue, which are read when the seconds are taken and cost no waiting before that.

    Args:
        clock: Seconds that never go back.
        make_event: Makes an event of the GPU's queue with timing; None measures by the clock alone.
        kinds: What the sections are; the rest is `other`.
        on_device: Those whose work a GPU has in its queue.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        make_event: Callable[[], Any] | None = None,
        kinds: Sequence[str] = KINDS,
        on_device: Collection[str] = ON_DEVICE,
    ) -> None:
        self._kinds = kinds
        self._on_device = on_device
        self._clock = clock
        self._make_event = make_event
        self._open = ""
        self._began = clock()
        self._seconds = dict.fromkeys(self._kinds, 0.0)
        self._events: list[tuple[str, Any, Any]] = []
        self._optimizer_began: Any = None

    def start(self) -> None:
        """Forget what was before: the first step begins now."""
        self._began = self._clock()
        self._seconds = dict.fromkeys(self._kinds, 0.0)
        self._events.clear()

    @contextmanager
    def section(self, kind: str) -> Iterator[None]:
        """Count what happens within as one of the kinds."""
        if self._open:
            yield
            return
        self._open = kind
        began = self._now(kind)
        try:
            yield
        finally:
            self._open = ""
            self._add(kind, began)

    def optimizer_begins(self) -> None:
        """The update of the weights begins."""
        self._optimizer_began = self._now("optimizer")

    def optimizer_ends(self) -> None:
        """The update of the weights is done, or at least in the GPU's queue."""
        if self._optimizer_began is not None:
            self._add("optimizer", self._optimizer_began)
        self._optimizer_began = None

    def _now(self, kind: str) -> Any:
        if self._make_event is None or kind not in self._on_device:
            return self._clock()
        event = self._make_event()
        event.record()
        return event

    def _add(self, kind: str, began: Any) -> None:
        if isinstance(began, float):
            self._seconds[kind] += self._clock() - began
        else:
            self._events.append((kind, began, self._now(kind)))

    def take(self) -> dict[str, float]:
        """`seconds/KIND` since the last take, and `seconds/other`; together the time that passed.

        While a GPU still works on what was queued, the next batch may be fetched at the same time;
        the sum may then be a little more than the time that passed.
        """
        for kind, began, ended in self._events:
            ended.synchronize()
            self._seconds[kind] += began.elapsed_time(ended) / 1000
        now = self._clock()
        passed = now - self._began
        values = {f"seconds/{kind}": round(spent, 6) for kind, spent in self._seconds.items()}
        values["seconds/other"] = round(max(0.0, passed - sum(self._seconds.values())), 6)
        self.start()
        return values

    def watch(self, trainer: Any) -> None:
        """Put the clock around what a trainer calls; the optimizer is told by its callbacks."""
        for owner, name, kind in (
            (trainer, "get_batch_samples", "data"),
            (trainer, "compute_loss", "forward"),
            (trainer.accelerator, "backward", "backward"),
            (trainer, "evaluate", "eval"),
            (trainer, "_save_checkpoint", "save"),
        ):
            setattr(owner, name, self._timed(getattr(owner, name), kind))

    def _timed(self, function: Callable[..., Any], kind: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.section(kind):
                return function(*args, **kwargs)

        return timed


def clock_for(trainer: Any) -> StepClock:
    """The clock of a trainer's device."""
    return StepClock(make_event=event_maker(trainer.args.device))


def event_maker(device: Any) -> Callable[[], Any] | None:
    """Makes events of a device's queue; None where the program waits for its device anyway."""
    if device.type != "cuda":
        return None
    import torch

    return functools.partial(torch.cuda.Event, enable_timing=True)

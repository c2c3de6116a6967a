"""Where the time goes, and what the averages are over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from worker_helpers import Clock

from workbench.worker.batch_counts import BatchCounts
from workbench.worker.step_clock import KINDS, StepClock


class Event:
    """An event of a queue that is a second behind its program."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.at = 0.0
        self.waited = False

    def record(self) -> None:
        self.at = self._clock.now + 1.0

    def synchronize(self) -> None:
        self.waited = True

    def elapsed_time(self, end: Event) -> float:
        assert end.waited
        return (end.at - self.at) * 1000


def trainer_of(clock: Clock) -> Any:
    """A trainer whose calls take a known time."""

    def evaluate() -> str:
        trainer.compute_loss()
        clock.work(5.0)
        return "metrics"

    trainer = SimpleNamespace(
        get_batch_samples=lambda: clock.work(0.5),
        compute_loss=lambda: clock.work(2.0),
        accelerator=SimpleNamespace(backward=lambda: clock.work(3.0)),
        evaluate=evaluate,
        _save_checkpoint=lambda: clock.work(0.25),
    )
    return trainer


def test_each_kind_gets_its_seconds_and_they_add_up() -> None:
    clock = Clock()
    watch, trainer = StepClock(clock), trainer_of(clock)
    watch.watch(trainer)
    watch.start()
    trainer.get_batch_samples()
    trainer.compute_loss()
    trainer.accelerator.backward()
    watch.optimizer_begins()
    clock.work(0.125)
    watch.optimizer_ends()
    clock.work(0.0625)
    assert trainer.evaluate() == "metrics"
    trainer._save_checkpoint()
    values = watch.take()
    assert values == {
        "seconds/data": 0.5,
        "seconds/forward": 2.0,
        "seconds/backward": 3.0,
        "seconds/optimizer": 0.125,
        "seconds/eval": 7.0,
        "seconds/save": 0.25,
        "seconds/other": 0.0625,
    }
    assert sum(values.values()) == clock.now - 100.0
    assert set(watch.take().values()) == {0.0}


def test_a_failing_call_is_counted_too() -> None:
    clock = Clock()
    watch = StepClock(clock)

    def fail() -> None:
        with watch.section("save"):
            clock.work(1.0)
            raise OSError

    with pytest.raises(OSError, match=r"^$"):
        fail()
    with watch.section("data"):
        clock.work(2.0)
    values = watch.take()
    assert (values["seconds/save"], values["seconds/data"]) == (1.0, 2.0)


def test_on_a_gpu_passes_are_measured_by_events_in_its_queue() -> None:
    clock = Clock()
    events: list[Event] = []

    def make_event() -> Event:
        events.append(Event(clock))
        return events[-1]

    watch, trainer = StepClock(clock, make_event), trainer_of(clock)
    watch.watch(trainer)
    trainer.get_batch_samples()
    assert not events
    trainer.compute_loss()
    trainer.accelerator.backward()
    assert len(events) == 4
    assert not any(event.waited for event in events)
    values = watch.take()
    assert [values[f"seconds/{kind}"] for kind in KINDS[:3]] == [0.5, 2.0, 3.0]
    assert values["seconds/other"] == 0.0


def test_pairs_are_counted_with_the_lengths_of_their_answers() -> None:
    counts = BatchCounts("dpo", processes=2)
    mask = torch.tensor([[0, 1, 1, 1], [0, 0, 1, 1], [0, 1, 0, 0], [0, 1, 1, 0]])
    counts.add({"completion_mask": mask})
    counts.add({"completion_mask": mask[[0, 2]]})
    assert counts.take() == {
        "samples": 6,
        "lengths/chosen": pytest.approx(8 / 3),
        "lengths/rejected": pytest.approx(4 / 3),
    }
    assert counts.take() == {}


def test_rows_of_sft_are_counted_joined_or_not() -> None:
    counts = BatchCounts("sft")
    labels = torch.tensor([[-100, 5, 6, 7], [-100, -100, 8, 9]])
    counts.add({"labels": labels})
    assert counts.take() == {"samples": 2, "lengths/completion": 2.5}
    places = torch.tensor([[0, 1, 2, 0, 1, 0]])
    counts.add({"labels": torch.tensor([[-100, 1, 2, -100, 3, 4]]), "position_ids": places})
    assert counts.take() == {"samples": 3, "lengths/completion": pytest.approx(4 / 3)}


def test_batches_of_evaluations_and_unknown_ones_do_not_count() -> None:
    counts = BatchCounts("dpo")
    trainer = SimpleNamespace(compute_loss=lambda model, inputs, **_: "loss")
    counts.watch(trainer)
    batch = {"completion_mask": torch.ones((4, 3), dtype=torch.long)}
    assert trainer.compute_loss(SimpleNamespace(training=False), batch) == "loss"
    assert trainer.compute_loss(SimpleNamespace(training=True), {"pixels": 1}) == "loss"
    assert counts.take() == {}
    trainer.compute_loss(SimpleNamespace(training=True), batch, num_items_in_batch=3)
    assert counts.take()["samples"] == 2

"""How long a run still takes, against streams whose end is known."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from workbench.base.files import append_json
from workbench.run.directory import RunDirectory
from workbench.run.metrics import MetricsReader
from workbench.run.pace import Eta, Outlook, eta
from workbench.run.record import RunRecord
from workbench.run.schedule import Plan, Rhythm

NIGHT_SECONDS = 8 * 3600.0


@dataclass
class Trainer:
    """A stage on a clock of its own, which writes what the worker writes.

    Attributes:
        held_out: Rows of its evaluation.
        sizes: Seconds of a step, an evaluation, a save.
        measured: Whether it writes `seconds/*`, as older versions did not.
    """

    run: RunDirectory
    steps: int = 200
    log: int = 5
    evals: int = 40
    saves: int = 50
    held_out: int = 64
    sizes: tuple[float, float, float] = (2.0, 60.0, 20.0)
    measured: bool = True
    now: float = 1_800_000_000.0
    step: int = 0
    spent: dict[str, float] = field(default_factory=dict)
    logged: int = 0
    median: float = 0.0
    looks: list[tuple[float, int, float, Eta | None]] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        self.reader = MetricsReader(self.run)
        self.config = {
            "eval_strategy": "steps",
            "eval_steps": self.evals,
            "save_strategy": "steps",
            "save_steps": self.saves,
            "logging_steps": self.log,
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 2,
        }

    def write(self, **row: Any) -> None:
        append_json(self.run.metrics, {"time": self.now, "stage": "dpo", **row})

    def record(self, **changes: Any) -> RunRecord:
        known = {"state": "running", "stages": ["dpo"], "stage": "dpo", "step": self.step}
        known |= {"max_steps": self.steps, "step_seconds": self.median, "heartbeat": self.now}
        return RunRecord(**{**known, **changes})

    def pass_time(self, kind: str, seconds: float) -> None:
        self.now += seconds
        self.spent[kind] = self.spent.get(kind, 0.0) + seconds

    def begin(self, step: int = 0) -> None:
        self.step = self.logged = step
        self.spent = {}
        self.write(event="stage", max_steps=self.steps)
        if step:
            self.write(event="resume", step=step)
        self.pass_time("other", 5 * self.sizes[0])  # the first step warms up

    def train(self, until: int) -> None:
        """Train, with a look in the midst of each step."""
        while self.step < until:
            whole = self.sizes[0] * self.chance.lognormvariate(0.0, 0.2) / 1.02
            for kind, share in (("data", 0.1), ("forward", 0.3), ("backward", 0.3)):
                self.pass_time(kind, share * whole)
            self.look()
            self.pass_time("backward", 0.3 * whole)
            self.step += 1
            self.median = self.sizes[0] * 0.9
            self.after_step()

    def after_step(self) -> None:
        last = self.step == self.steps
        if self.step % self.log == 0:
            row: dict[str, Any] = {"step": self.step, "loss": 0.5, "epoch": self.step / 100}
            if self.measured:
                row |= {f"seconds/{kind}": spent for kind, spent in self.spent.items()}
                row["samples"] = 8 * (self.step - self.logged)
            self.write(**row)
            self.spent, self.logged = {}, self.step
        if self.step % self.evals == 0 or last:
            self.pass_time("eval", self.sizes[1] / 2)
            self.look()
            self.pass_time("eval", self.sizes[1] / 2)
            self.write(step=self.step, eval_loss=0.6, eval_runtime=self.sizes[1])
        if self.step % self.saves == 0 or last:
            self.pass_time("save", self.sizes[2])
            self.write(event="checkpoint", step=self.step, path="checkpoint")

    def look(self, **changes: Any) -> Eta | None:
        self.reader.read_all()
        record = self.record(**changes)
        found = eta(record, self.reader, Plan("dpo", self.config, self.held_out), self.now)
        self.looks.append((self.now, self.step, self.sizes[0], found))
        return found

    def errors(self, since: float) -> list[float]:
        """Each look's error as a share of the truth, where there is a step's time left or more."""
        return [
            abs(found.stage_seconds - (self.now - when)) / (self.now - when)
            for when, step, one, found in self.looks
            if when >= since and step >= 0.1 * self.steps and self.now - when > 10 * one
            for found in [found or Eta(0.0, 0.0)]
        ]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("sizes", [(2.0, 60.0, 3.0), (2.0, 20.0, 1.0), (0.2, 5.0, 0.5)])
def test_it_is_right_from_a_tenth_of_the_stage_on(
    run: RunDirectory, sizes: tuple[float, float, float], measured: bool
) -> None:
    """Held-out rows as dear as the time of one says: 64 of them take 64 forward passes."""
    forward = 0.3 * sizes[0] / 8
    trainer = Trainer(run, sizes=sizes, measured=measured, held_out=round(sizes[1] / forward))
    if not measured:
        trainer.sizes = (*sizes[:2], 0.0)
    trainer.begin()
    trainer.train(trainer.steps)
    assert max(trainer.errors(0.0)) < 0.10


def test_it_is_right_after_a_night_without_training(run: RunDirectory) -> None:
    trainer = Trainer(run, held_out=800)
    trainer.begin()
    trainer.train(117)
    trainer.now += NIGHT_SECONDS
    back = trainer.now
    trainer.begin(100)
    trainer.train(trainer.steps)
    assert max(trainer.errors(back)) < 0.10
    # The first look came before the first step; the pace was that of the night before.
    assert next(step for when, step, _, _ in trainer.looks if when >= back) == 100


def test_a_resume_on_a_slower_machine_counts_its_own_pace(run: RunDirectory) -> None:
    trainer = Trainer(run, evals=1000, saves=1000, held_out=0)
    trainer.begin()
    trainer.train(100)
    trainer.now += NIGHT_SECONDS
    trainer.begin(100)
    trainer.sizes = (8.0, 0.0, 0.0)
    trainer.train(115)
    since = trainer.now
    trainer.train(trainer.steps)
    assert max(trainer.errors(since)) < 0.15


def test_a_machine_that_sleeps_does_not_slow_the_steps_down(run: RunDirectory) -> None:
    trainer = Trainer(run, evals=1000, saves=1000, held_out=0, measured=False)
    trainer.begin()
    trainer.train(50)
    trainer.now += NIGHT_SECONDS
    trainer.train(60)
    found = trainer.look()
    assert found is not None
    assert found.stage_seconds == pytest.approx(140 * 2.0, rel=0.15)


def test_nothing_is_told_where_nothing_trains(run: RunDirectory) -> None:
    trainer = Trainer(run)
    assert trainer.look() is None  # no step, no past
    trainer.begin()
    trainer.train(20)
    assert trainer.look() is not None
    for state in ("starting", "stopping", "stalled", "finished"):
        assert trainer.look(state=state) is None
    assert trainer.look(max_steps=0) is None


def test_a_step_that_hangs_never_leaves_less_than_the_steps_behind_it(run: RunDirectory) -> None:
    trainer = Trainer(run, evals=1000, saves=1000, held_out=0)
    trainer.begin()
    trainer.train(100)
    trainer.now += 10_000.0
    found = trainer.look()
    assert found is not None
    assert found.stage_seconds == pytest.approx(99 * 2.0, rel=0.15)


def test_foreign_records_do_no_harm(run: RunDirectory) -> None:
    trainer = Trainer(run)
    trainer.begin()
    append_json(run.metrics, {"event": "checkpoint", "stage": "dpo", "step": "x", "time": 1})
    append_json(run.metrics, {"event": "resume", "stage": "dpo", "step": None, "time": "now"})
    append_json(run.metrics, {"stage": "dpo", "step": 1, "loss": 1, "time": "late"})
    append_json(run.metrics, {"stage": "dpo", "step": 2, "loss": 1, "time": 5, "seconds/data": "x"})
    trainer.config = {"eval_steps": "often", "save_steps": -3, "eval_delay": "late"}
    trainer.config |= {"eval_strategy": "steps", "per_device_train_batch_size": None}
    trainer.train(30)
    assert trainer.look() is not None


def test_later_stages_are_counted_as_far_as_they_are_known(run: RunDirectory) -> None:
    trainer = Trainer(run)
    trainer.begin()
    trainer.train(50)
    trainer.reader.read_all()

    def told(*later: float | None) -> Eta:
        found = eta(trainer.record(), trainer.reader, None, trainer.now, later)
        assert found is not None
        return found

    alone = told()
    assert (alone.run_seconds, alone.exact) == (alone.stage_seconds, True)
    assert told(100.0).run_seconds == pytest.approx(alone.stage_seconds + 100.0)
    assert told(100.0, None).exact is False
    assert told(None).run_seconds == alone.stage_seconds


def test_an_outlook_reads_the_config_of_the_stage(run: RunDirectory) -> None:
    trainer = Trainer(run, evals=20, saves=1000, sizes=(2.0, 60.0, 0.0))
    run.config("dpo").write_text("eval_strategy: steps\neval_steps: 20\nsave_strategy: 'no'\n")
    trainer.begin()
    trainer.train(40)
    trainer.reader.read_all()
    found = Outlook(run, clock=lambda: trainer.now).eta(trainer.record(), trainer.reader)
    assert found is not None
    assert found.stage_seconds == pytest.approx(160 * 2.0 + 8 * 60.0, rel=0.10)


def test_how_often_something_falls_due() -> None:
    by_steps = Rhythm(10, 35)
    assert [by_steps.due(step, 35) for step in (0, 9, 10, 29, 30, 34, 35)] == [4, 4, 3, 2, 1, 1, 0]
    assert by_steps.due(-1, 35) == 4
    assert Rhythm(10, 30).due(0, 30) == 3
    assert Rhythm(10, 35, first_step=20).due(0, 35) == 3
    assert Rhythm(10, 35, first_step=36).due(0, 35) == 0
    assert Rhythm(0, 35).due(0, 35) == 0
    assert Rhythm(12.5, 25).due(0, 25) == 2


def test_fractions_defaults_and_epochs() -> None:
    plan = Plan("dpo", {"eval_strategy": "steps", "eval_steps": 0.25, "save_strategy": "epoch"})
    assert plan.evals(90, 30.0).every == 23
    assert plan.saves(90, 30.0).every == 30
    assert plan.saves(90, 0.0).due(0, 90) == 0
    by_log = Plan("dpo", {"eval_strategy": "steps", "logging_steps": 7})
    assert by_log.evals(70, 0.0).every == 7
    assert Plan("dpo", {}).evals(70, 0.0).every == 0
    delayed = Plan("dpo", {"eval_strategy": "epoch", "eval_delay": 2})
    assert delayed.evals(90, 30.0).due(0, 90) == 2

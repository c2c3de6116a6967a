"""How fast each of several processes is, and how long it stands still for the others."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from worker_helpers import Clock

from workbench.run.rank_figures import FIGURES
from workbench.worker.rank_clock import COLLECTIVES, GradientTimer, RankClock, step_clock


class DataParallel:
    """What DDP's wrapper tells, which knows of a step when the next one begins."""

    training = True

    def __init__(self) -> None:
        self.require_backward_grad_sync = True
        self.rate = 0
        self.data: dict[str, int] = {}

    def _set_ddp_runtime_logging_sample_rate(self, rate: int) -> None:
        self.rate = rate

    def _get_ddp_logging_data(self) -> dict[str, int]:
        return self.data

    def timed(self, iteration: int, whole: float, hidden: float) -> None:
        self.data = {
            "iteration": iteration,
            "backward_comm_time": round(whole * 1e9),
            "backward_compute_comm_overlap_time": round(hidden * 1e9),
        }


class Watched:
    """A trainer, torch.distributed and a clock that count seconds which nobody has to wait for."""

    def __init__(self, processes: int = 2) -> None:
        self.clock = Clock()
        self.model = DataParallel()
        self.told: list[torch.Tensor] = []
        self.distributed = SimpleNamespace(
            **dict.fromkeys(COLLECTIVES, self._collective), world_size=2
        )
        self.trainer: Any = SimpleNamespace(
            args=SimpleNamespace(device=torch.device("cpu")),
            accelerator=SimpleNamespace(gather=self._gather),
            compute_loss=lambda model, inputs: self.clock.work(2.0),
            evaluate=self._evaluate,
            _save_checkpoint=lambda: self.clock.work(4.0),
        )
        self.ranks = RankClock(processes, step_clock(self.clock))
        self.ranks.watch(self.trainer, self.distributed)
        self.ranks.start()
        self.distributed.barrier(0.0)  # the first one only brings the processes together

    def _collective(self, seconds: float, async_op: bool = False) -> None:
        self.clock.work(seconds)

    def _gather(self, mine: torch.Tensor) -> torch.Tensor:
        self.told.append(mine)
        return torch.cat([mine, mine])

    def _evaluate(self) -> None:
        self.distributed.all_gather(1.0)
        self.clock.work(9.0)

    def step(self, mask: list[list[int]] | None = None) -> None:
        self.trainer.compute_loss(self.model, {"attention_mask": torch.tensor(mask or [[1, 1]])})


def test_what_is_called_of_torch_distributed_is_communication() -> None:
    watched = Watched()
    watched.model.timed(1, 0.0, 0.0)
    watched.step([[1, 1, 1], [1, 0, 0]])
    watched.distributed.all_gather(0.5)
    watched.distributed.all_reduce(1.5)
    found = watched.ranks.take(rows=2)
    assert found["seconds"] == pytest.approx(4.0)
    assert found["tokens_per_second"] == pytest.approx(1.0)
    assert found["samples_per_second"] == pytest.approx(0.5)
    assert found["compute_seconds"] == pytest.approx(2.0)
    assert found["exposed_share"] == found["communication_share"] == pytest.approx(0.5)


def test_a_call_that_does_not_wait_is_none() -> None:
    watched = Watched()
    watched.model.timed(1, 0.0, 0.0)
    watched.step()
    watched.distributed.all_reduce(1.0, async_op=True)
    assert watched.ranks.take(1)["exposed_share"] == 0.0


def test_gradients_are_hidden_behind_the_backward_pass_or_waited_for() -> None:
    watched = Watched()
    assert watched.model.rate == 0
    watched.model.timed(1, 1.5, 0.5)
    watched.step()
    assert watched.model.rate == 1
    watched.clock.work(2.0)
    found = watched.ranks.take(1)
    assert found["exposed_share"] == pytest.approx(0.25)
    assert found["communication_share"] == pytest.approx(0.375)
    assert found["compute_seconds"] == pytest.approx(3.0)


def test_before_ddp_has_timed_a_step_nothing_is_said() -> None:
    watched = Watched()
    watched.step()
    watched.distributed.all_gather(1.0)
    found = watched.ranks.take(1)
    assert "exposed_share" not in found
    assert found["tokens_per_second"] > 0


def test_with_another_engine_nothing_is_said_of_communication() -> None:
    watched = Watched()
    model = SimpleNamespace(training=True)
    for _ in range(3):
        watched.trainer.compute_loss(model, {"attention_mask": torch.ones(1, 2)})
        found = watched.ranks.take(1)
    assert sorted(found) == ["samples_per_second", "seconds", "threads", "tokens_per_second"]
    assert watched.ranks.share(found) == {}


def test_evaluations_and_saves_are_left_aside_with_the_wait_behind_them() -> None:
    watched = Watched()
    watched.model.timed(1, 0.0, 0.0)
    watched.step()
    watched.trainer.evaluate()
    watched.trainer._save_checkpoint()
    watched.distributed.all_gather(3.0)  # for the one that has written
    watched.distributed.all_gather(2.0)
    found = watched.ranks.take(1)
    assert found["seconds"] == pytest.approx(4.0)
    assert found["exposed_share"] == pytest.approx(0.5)


def test_only_batches_of_training_count() -> None:
    watched = Watched()
    watched.model.training = False
    watched.step()
    watched.model.training = True
    watched.trainer.compute_loss(watched.model, {"input_ids": torch.zeros(1, 8)})
    assert watched.ranks.take(1)["tokens_per_second"] == pytest.approx(2.0)


def test_steps_that_are_not_timed_count_as_the_others() -> None:
    timer, model = GradientTimer(10), DataParallel()
    timer.look(model)
    assert model.rate == 10
    assert timer.take() == (None, 0.0)
    for iteration in (1, 1, 2, 2):
        model.timed(iteration, 3.0 * iteration, 1.0 * iteration)
        timer.look(model)
    waited, hidden = timer.take()
    assert waited == pytest.approx(4 * 3.0)
    assert hidden == pytest.approx(4 * 1.5)
    # Without a new time the last one is the best that is known.
    timer.look(model)
    assert timer.take() == (pytest.approx(3.0), pytest.approx(1.5))


def test_batches_whose_gradients_stay_here_are_no_steps() -> None:
    timer, model = GradientTimer(1), DataParallel()
    model.require_backward_grad_sync = False
    model.timed(1, 1.0, 0.0)
    timer.look(model)
    model.require_backward_grad_sync = True
    timer.look(model)
    timer.look(model)
    assert timer.take()[0] == pytest.approx(2.0)


def test_all_processes_tell_each_other() -> None:
    watched = Watched()
    figures = {"seconds": 4.0, "compute_seconds": 3.0, "exposed_share": 0.25}
    told = watched.ranks.share({**figures, "communication_share": 0.5})
    assert told["ranks/exposed_share"] == pytest.approx(0.25)
    assert told["ranks/communication_share"] == pytest.approx(0.5)
    row = dict(zip(FIGURES, watched.told[0].tolist(), strict=True))
    assert row["compute_seconds"] == 3.0
    assert math.isnan(row["tokens_per_second"])


def test_alone_nothing_is_touched_or_told() -> None:
    distributed = SimpleNamespace(barrier=len)
    trainer: Any = SimpleNamespace(compute_loss=len)
    clock = RankClock(1)
    clock.watch(trainer, distributed)
    assert (trainer.compute_loss, distributed.barrier) == (len, len)
    assert clock.take(4) == clock.share({}) == {}


def test_two_real_processes_tell_which_is_slow(tmp_path: Path) -> None:
    """Rank 1 sleeps in each step; rank 0 stands still in DDP's backward pass meanwhile."""
    asleep, steps = 0.1, 10
    output = tmp_path / "told.json"
    script = Path(__file__).with_name("two_clocks.py")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [*launcher, "--nproc-per-node", "2", str(script), str(output), str(asleep)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(output.read_text())
    figures, metrics = told["figures"], told["metrics"]
    assert figures["tokens_per_second"] * figures["seconds"] == pytest.approx(steps * 4 * 64)
    assert figures["exposed_share"] * figures["seconds"] > 0.9 * steps * asleep
    assert metrics["ranks/slowest"] == 1.0
    assert metrics["ranks/slowest_lag"] > 1.0
    assert metrics["ranks/waiting_share"] > 0.3

"""Runs with something wrong from a known step on, each with what must be found."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from series import BETA, Shape, dpo_run, pairs_row, sft_rows, stage_of, travelled

from workbench.run.health import Answer, RunHistory


@dataclass(frozen=True)
class Fault:
    """A run with something wrong from a step on.

    Attributes:
        rule: What must fire, first between steps `low` and `high`.
        severity: At least.
        also: Rules whose alarms are consequences of the fault and right.
        key: The setting that the finding names.
        hits: Of ten seeds, in how many it is found at least: noise hides some faults.
    """

    rule: str
    history: Callable[[int], RunHistory]
    low: int
    high: int
    severity: str
    key: str
    also: frozenset[str] = frozenset()
    hits: int = 10


def _identical(row: dict[str, float], progress: float, rng: random.Random) -> None:
    for name in ("rewards/margins", "rewards/accuracies"):
        if name in row:
            row[name] = 0.0
    if "loss" in row:
        row["loss"] = math.log(2)
    for prefix in ("", "eval_"):
        if f"{prefix}logps/chosen" in row:
            row[f"{prefix}logps/rejected"] = row[f"{prefix}logps/chosen"] + rng.gauss(0, 0.05)
            row[f"{prefix}lengths/rejected"] = row[f"{prefix}lengths/chosen"]
            row[f"{prefix}rewards/rejected"] = row[f"{prefix}rewards/chosen"]
            row[f"{prefix}rewards/margins"] = row[f"{prefix}rewards/accuracies"] = 0.0


def identical(seed: int) -> RunHistory:
    """Chosen and rejected answers are the same."""
    return dpo_run(seed, Shape(reach=0.0, spread=0.0), _identical)


def no_gradient(seed: int) -> RunHistory:
    """No weight takes part in the loss."""

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        for name in ("rewards/margins", "rewards/chosen", "rewards/rejected", "grad_norm"):
            if name in row:
                row[name] = 0.0
        row["rewards/accuracies"] = 0.0

    return dpo_run(seed, Shape(reach=0.0), change)


def displaced(seed: int) -> RunHistory:
    """From step 30 on chosen answers lose what rejected ones lose, and a bit less."""

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        lost = 110 * max(0.0, progress - 30 / 80)
        for side in ("chosen", "rejected"):
            for prefix in ("", "eval_"):
                if f"{prefix}rewards/{side}" in row:
                    row[f"{prefix}rewards/{side}"] -= BETA * lost
                    row[f"{prefix}logps/{side}"] -= lost

    return dpo_run(seed, Shape(drift=0.0), change)


def saturated(seed: int) -> RunHistory:
    """All is learned soon after step 60 of 300."""
    return dpo_run(seed, Shape(rows=300, reach=90.0, spread=0.15, speed=8, drift=0.3))


def worse(seed: int) -> RunHistory:
    """From step 20 on the policy turns to the rejected answers."""

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        if progress > 0.25 and "rewards/margins" in row:
            nats = -12 * (progress - 0.25)
            row |= pairs_row(rng, 4, nats, 0.5 + 0.7 * abs(nats), 0.0, Shape())

    return dpo_run(seed, Shape(reach=0.3, evaluations=0), change)


def shuffled(seed: int) -> RunHistory:
    """Labels are random: the weights move, and nothing follows for the next pair."""

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        prefix = "" if "loss" in row else "eval_"
        size = 12 * travelled(progress, 4)
        pairs = random.Random(seed) if prefix else rng
        drawn = pairs_row(pairs, 4 if not prefix else 44, 0.0, 0.05 + size, 0.0, Shape())
        drawn = {f"{prefix}{name}": value for name, value in drawn.items()}
        for side in ("chosen", "rejected"):
            drawn[f"{prefix}rewards/{side}"] += BETA * 0.6 * size
        row |= drawn

    return dpo_run(seed, Shape(), change)


def by_heart(seed: int) -> RunHistory:
    """Random labels over many epochs: training pairs are known, held-out ones are not."""

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        if "eval_loss" in row:
            size = 12 * travelled(progress, 4)
            drawn = pairs_row(random.Random(seed), 44, 0.0, 0.05 + size, 0.0, Shape())
            row |= {f"eval_{name}": value for name, value in drawn.items()}

    return dpo_run(seed, Shape(rows=200, spread=0.5), change)


def lengthy(seed: int) -> RunHistory:
    """Chosen answers are twice as long in nearly all pairs, and the policy follows."""
    shape = Shape(ratio=2.2)

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        for prefix in ("", "eval_"):
            if f"{prefix}rewards/margins" in row:
                more = row[f"{prefix}lengths/chosen"] - row[f"{prefix}lengths/rejected"]
                row[f"{prefix}rewards/margins"] += 0.02 * more * travelled(progress, 4)

    before = tuple(Answer(-1, f"p{n}", 30 + n, 0.02, False) for n in range(5))
    asked = tuple(Answer(step, f"p{n}", 30 + n + step, 0.02, False)
                  for step in (40, 80) for n in range(5))  # fmt: skip
    return dpo_run(seed, shape, change, answers=before + asked)


def exploding(seed: int) -> RunHistory:
    """From step 50 on gradients are forty to ninety times as large."""

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        if "grad_norm" in row and progress > 50 / 80:
            row["grad_norm"] *= rng.uniform(40, 90)

    return dpo_run(seed, Shape(), change)


def spiking(seed: int) -> RunHistory:
    """From step 40 on each fourth gradient is a hundred times as large."""

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        if "grad_norm" in row and row["step"] >= 40 and row["step"] % 4 == 0:
            row["grad_norm"] = 100 * rng.lognormvariate(1, 0.3)

    return dpo_run(seed, Shape(), change)


def too_fast(seed: int) -> RunHistory:
    """A learning rate of 5e-3: after the warm-up margins fly apart on both sides."""

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        prefix = "" if "loss" in row else "eval_"
        size = 400 * travelled(progress, 4)
        drawn = pairs_row(rng, 4 if not prefix else 44, 0.2 * size, 0.05 + size, -2.0, Shape())
        row |= {f"{prefix}{name}": value for name, value in drawn.items()}

    return dpo_run(seed, Shape(rate=5e-3), change)


def too_slow(seed: int) -> RunHistory:
    """A learning rate of 1e-8."""
    return dpo_run(seed, Shape(rate=1e-8, reach=0.05, spread=1.0, drift=0.1, evaluations=0))


def overdone(seed: int) -> RunHistory:
    """From step 100 on the held-out loss rises again."""

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        if "eval_loss" in row and progress > 0.5:
            row["eval_loss"] += 0.8 * (progress - 0.5)
            row["eval_rewards/margins"] *= 1 - 0.8 * (progress - 0.5)

    return dpo_run(seed, Shape(rows=200, evaluations=10, held_out=200), change)


def runaway(seed: int) -> RunHistory:
    """From step 30 on both answers leave what the reference would write, upwards and downwards."""

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        gone = 500 * max(0.0, progress - 30 / 80)
        for prefix in ("", "eval_"):
            if f"{prefix}rewards/chosen" in row:
                row[f"{prefix}rewards/rejected"] -= BETA * gone
                row[f"{prefix}logps/rejected"] -= gone

    return dpo_run(seed, Shape(drift=0.3), change)


def broken(seed: int) -> RunHistory:
    """The loss is NaN at step 33."""
    history = dpo_run(seed, Shape())
    return RunHistory((replace(history.stages[0].until(33), faults=((33, "loss"),)),))


def starving(seed: int) -> RunHistory:
    """From step 20 on half of the time goes into loading."""

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        if "seconds/data" in row and progress > 0.25:
            row["seconds/data"] = row["seconds/forward"] + row["seconds/backward"]

    return dpo_run(seed, Shape(), change)


def _ranks(
    row: dict[str, float], rng: random.Random, exposed: float, waiting: float, slow: int | None
) -> None:
    """What four processes say; without a slow one another is the slowest in each row."""
    if "seconds/forward" in row:
        row["ranks/exposed_share"] = exposed * rng.lognormvariate(0, 0.1)
        row["ranks/communication_share"] = min(1.0, row["ranks/exposed_share"] + 0.05)
        row["ranks/waiting_share"] = waiting * rng.lognormvariate(0, 0.1)
        row["ranks/slowest"] = float(rng.randrange(4) if slow is None else slow)
        row["ranks/slowest_lag"] = rng.lognormvariate(-1.5, 0.5) if slow is None else 0.6


def well_balanced(seed: int) -> RunHistory:
    """Four processes of which each is the slowest now and then: nothing is wrong."""
    return dpo_run(seed, Shape(), lambda row, _, rng: _ranks(row, rng, 0.3, 0.1, None))


def lagging(seed: int) -> RunHistory:
    """From step 20 on rank 3 computes much longer than the others."""

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        slow = progress > 0.25
        _ranks(row, rng, 0.55 if slow else 0.2, 0.45 if slow else 0.1, 3 if slow else None)

    return dpo_run(seed, Shape(), change)


def talkative(seed: int) -> RunHistory:
    """From step 20 on the processes stand still for each other in most of the time."""

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        _ranks(row, rng, 0.85 if progress > 0.25 else 0.2, 0.05, None)

    return dpo_run(seed, Shape(), change)


def leaking(seed: int) -> RunHistory:
    """Memory grows by 10 MB a step, from step 1 on."""

    def change(row: dict[str, float], progress: float, rng: random.Random) -> None:
        if "memory/rss_gb" in row:
            row["memory/rss_gb"] += 0.01 * row["step"]

    return dpo_run(seed, Shape(rows=300), change)


def standing(seed: int) -> RunHistory:
    """The run has stood still at step 47."""
    stage = dpo_run(seed, Shape()).stages[0].until(47)
    return RunHistory((replace(stage, stalls=(47,), state="stalled"),))


def looping(seed: int) -> RunHistory:
    """At step 60 the answers run in circles."""
    before = tuple(Answer(-1, f"p{n}", 40, 0.03, False) for n in range(4))
    asked = tuple(Answer(step, f"p{n}", 40, 0.8 if step >= 60 else 0.03, step >= 60)
                  for step in (20, 40, 60, 80) for n in range(4))  # fmt: skip
    return dpo_run(seed, Shape(), answers=before + asked)


def endless(seed: int) -> RunHistory:
    """At step 40 the answers do not end."""
    before = tuple(Answer(-1, f"p{n}", 40, 0.03, False) for n in range(4))
    asked = tuple(Answer(step, f"p{n}", 55, 0.03, step >= 40)
                  for step in (20, 40, 60, 80) for n in range(4))  # fmt: skip
    return dpo_run(seed, Shape(), answers=before + asked)


def sft_still(seed: int) -> RunHistory:
    """An SFT loss that stays where it is."""
    rows = sft_rows(seed, 160, fall=-0.03)
    return RunHistory((stage_of("sft", rows, config={"use_peft": True, "learning_rate": 1e-6}),))


def sft_rising(seed: int) -> RunHistory:
    """An SFT loss that rises from step 40 on."""
    rows = sft_rows(seed, 80)
    for row in rows:
        row["loss"] *= 1 + 3 * max(0.0, row["step"] / 80 - 0.5)
    return RunHistory((stage_of("sft", rows, config={"use_peft": True, "learning_rate": 2e-3}),))


FAULTS = (
    Fault("identical_pairs", identical, 6, 8, "alarm", "dpo.columns"),
    Fault("no_gradient", no_gradient, 6, 8, "alarm", "dpo.learning_rate"),
    Fault("likelihood_displacement", displaced, 40, 60, "alarm", "dpo.loss_type"),
    Fault("saturation", saturated, 10, 30, "warning", "dpo.max_steps"),
    Fault("worse_than_chance", worse, 30, 60, "alarm", "dpo.columns",
          also=frozenset({"rate_too_high"})),
    Fault("random_labels", shuffled, 40, 80, "alarm", "dpo.dataset_name", hits=9),
    Fault("learned_by_heart", by_heart, 40, 160, "alarm", "dpo.max_steps", hits=7),
    Fault("length_hacking", lengthy, 10, 12, "alarm", "dpo.loss_type"),
    Fault("gradient_explosion", exploding, 51, 55, "alarm", "dpo.learning_rate"),
    Fault("gradient_explosion", spiking, 44, 52, "alarm", "dpo.learning_rate"),
    Fault("rate_too_high", too_fast, 5, 5, "alarm", "dpo.learning_rate",
          also=frozenset({"likelihood_displacement", "kl_runaway", "random_labels"})),
    Fault("rate_too_low", too_slow, 32, 40, "warning", "dpo.learning_rate"),
    Fault("over_optimisation", overdone, 120, 180, "warning", "dpo.max_steps", hits=7),
    Fault("kl_runaway", runaway, 36, 50, "alarm", "dpo.beta"),
    Fault("non_finite", broken, 33, 33, "alarm", "dpo.learning_rate"),
    Fault("slow_data", starving, 24, 30, "warning", "dpo.dataloader_num_workers"),
    Fault("straggler", lagging, 34, 42, "warning", ""),
    Fault("communication", talkative, 28, 34, "warning", "dpo.per_device_train_batch_size"),
    Fault("memory_creep", leaking, 200, 240, "warning", "dpo.save_steps"),
    Fault("stalled", standing, 47, 47, "alarm", ""),
    Fault("degeneration", looping, 60, 60, "alarm", "dpo.learning_rate"),
    Fault("degeneration", endless, 40, 40, "warning", "dpo.max_length"),
    Fault("sft_flat", sft_still, 64, 150, "warning", "sft.learning_rate", hits=7),
    Fault("rate_too_high", sft_rising, 45, 76, "alarm", "sft.learning_rate"),
)  # fmt: skip
"""Each rule with the fault that it is for."""

"""Series of metrics as real runs log them, healthy ones.

Each pair is drawn on its own, so that the noise of a row is that of its number of pairs.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench.run.health import Answer, RunHistory, StageHistory

BETA = 0.1
Rows = list[dict[str, float]]
Change = Callable[[dict[str, float], float, random.Random], None]


@dataclass(frozen=True)
class Shape:
    """What a DPO run is like.

    Attributes:
        rows: Log rows.
        logging_steps: Steps between two of them.
        pairs: Pairs a step.
        reach: Nats by which chosen and rejected answers are apart in the end.
        spread: Deviation of a pair's nats, as a share of their mean: 0.6 ranks 95 % of the pairs
            right, 2 ranks 69 %.
        drift: What the chosen answers gain (lose) of each nat of the margin.
        evaluations: How many there are.
        held_out: Pairs of an evaluation.
    """

    rows: int = 80
    logging_steps: int = 1
    pairs: int = 4
    reach: float = 25.0
    spread: float = 0.7
    drift: float = 0.2
    rate: float = 5e-5
    evaluations: int = 5
    held_out: int = 44
    logp: float = 110.0
    norm: float = 2.0
    ratio: float = 0.9
    speed: float = 4.0
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return self.rows * self.logging_steps


def random_shape(rng: random.Random) -> Shape:
    """A healthy run of any usual kind."""
    rows = rng.choice((20, 40, 80, 80, 100, 200))
    spread = rng.uniform(0.4, 1.6)
    # Margins of a Gaussian with this spread cost more again beyond 2 / spread ** 2.
    best = 1.5 / spread**2 / BETA
    return Shape(
        rows=rows,
        logging_steps=rng.choice((1, 1, 2, 5)),
        pairs=rng.choice((4, 4, 8, 16)),
        reach=min(best, rng.choice((2, 5, 10, 20, 30)) * rng.uniform(0.8, 1.2)),
        spread=spread,
        drift=rng.uniform(-0.3, 0.5),
        rate=rng.choice((5e-6, 1e-5, 2e-5, 5e-5, 1e-4)),
        evaluations=rng.choice((0, 1, 4, 8)),
        held_out=rng.choice((20, 44, 100, 400)),
        logp=rng.uniform(80, 250),
        norm=rng.uniform(0.8, 5),
        ratio=rng.uniform(0.5, 1.15),
        speed=rng.uniform(3, 6),
    )


def schedule(progress: float, warmup: float = 0.1) -> float:
    """Share of the highest learning rate: linear up, linear down."""
    return progress / warmup if progress < warmup else (1 - progress) / (1 - warmup)


def travelled(progress: float, speed: float) -> float:
    """How much of its way a policy has gone, 0 to nearly 1: it follows the learning rate."""
    warmup = 0.1
    if progress < warmup:
        area = progress**2 / (2 * warmup)
    else:
        area = 0.5 - (1 - progress) ** 2 / (2 * (1 - warmup))
    return 1 - math.exp(-2 * speed * area)


def pairs_row(
    rng: random.Random, count: int, nats: float, spread: float, drift: float, shape: Shape
) -> dict[str, float]:
    """A log row's preference metrics, from so many pairs."""
    sums = dict.fromkeys(
        ("loss", "rewards/accuracies", "rewards/margins", "rewards/chosen", "rewards/rejected",
         "logps/chosen", "logps/rejected", "lengths/chosen", "lengths/rejected"), 0.0
    )  # fmt: skip
    for _ in range(count):
        margin = rng.gauss(nats, spread)
        chosen = drift * nats + rng.gauss(0, 0.3 + 0.1 * abs(nats))
        first = shape.logp * rng.lognormvariate(0, 0.35)
        second = shape.logp / shape.ratio * rng.lognormvariate(0, 0.35)
        reward = BETA * margin
        sums["loss"] += math.log1p(math.exp(-reward)) if reward > -500 else -reward
        sums["rewards/accuracies"] += margin > 0
        sums["rewards/margins"] += reward
        sums["rewards/chosen"] += BETA * chosen
        sums["rewards/rejected"] += BETA * (chosen - margin)
        sums["logps/chosen"] += chosen - first
        sums["logps/rejected"] += chosen - margin - second
        sums["lengths/chosen"] += first / 1.4
        sums["lengths/rejected"] += second / 1.4
    return {name: value / count for name, value in sums.items()}


def machine_row(rng: random.Random, progress: float) -> dict[str, float]:
    """Seconds and memory of a row: allocators fill up, then stay."""
    step = rng.lognormvariate(0.5, 0.2)
    shares = {"data": 0.02, "forward": 0.36, "backward": 0.55, "optimizer": 0.04, "other": 0.03}
    seconds = {f"seconds/{k}": v * step * rng.lognormvariate(0, 0.1) for k, v in shares.items()}
    memory = 2.0 + 0.4 * (1 - math.exp(-progress * 12)) + rng.gauss(0, 0.02)
    return {**seconds, "memory/rss_gb": memory, "tokens_per_second": 800 / step}


def dpo_rows(seed: int, shape: Shape, change: Change | None = None) -> Rows:
    """The log rows of a DPO run.

    Args:
        change: Alters a row, told the progress, before it is kept.
    """
    rng = random.Random(seed)
    rows = []
    evaluate = {
        round((n + 1) * shape.rows / shape.evaluations) for n in range(shape.evaluations)
    } if shape.evaluations else set()  # fmt: skip
    for number in range(1, shape.rows + 1):
        progress = number / shape.rows
        # The first step is scored before any weight has moved.
        nats = shape.reach * travelled((number - 1) / shape.rows, shape.speed)
        spread = 0.02 + shape.spread * nats
        count = shape.pairs * shape.logging_steps
        row = pairs_row(rng, count, nats, spread, shape.drift, shape)
        if number == 1 and shape.logging_steps == 1:
            row |= {"loss": math.log(2), "rewards/accuracies": 0.0}
            row |= {f"rewards/{name}": 0.0 for name in ("margins", "chosen", "rejected")}
        row["step"] = number * shape.logging_steps
        row["samples"] = count
        row["learning_rate"] = shape.rate * schedule(progress)
        row["grad_norm"] = shape.norm * (1 - 0.6 * progress) * rng.lognormvariate(0, 0.5)
        row |= machine_row(rng, progress)
        if change:
            change(row, progress, rng)
        rows.append(row)
        if number in evaluate:
            # The same pairs each time.
            pairs = random.Random(seed)
            held = pairs_row(pairs, shape.held_out, 0.9 * nats, spread, shape.drift, shape)
            row = {f"eval_{name}": value for name, value in held.items()}
            row |= {"eval_runtime": 2.0, "eval_samples_per_second": shape.held_out / 2}
            row["step"] = number * shape.logging_steps
            if change:
                change(row, progress, rng)
            rows.append(row)
    return rows


def sft_rows(
    seed: int, rows: int = 40, *, start: float = 3.2, fall: float = 0.25, noise: float = 0.08
) -> Rows:
    """The log rows of an SFT run whose loss falls by a share."""
    rng = random.Random(seed)
    found = []
    for number in range(1, rows + 1):
        progress = number / rows
        loss = start * (1 - fall * travelled(progress, 4)) * rng.lognormvariate(0, noise)
        row = {"step": number, "loss": loss, "samples": 8.0, "lengths/completion": 40.0}
        row["learning_rate"] = 2e-4 * schedule(progress)
        row["grad_norm"] = 1.5 * rng.lognormvariate(0, 0.4)
        found.append(row | machine_row(rng, progress))
    return found


def stage_of(name: str, rows: Rows, **options: Any) -> StageHistory:
    """A stage's history from its log rows."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for key, value in row.items():
            if key != "step":
                curves.setdefault(key, []).append((int(row["step"]), float(value)))
    given = {"max_steps": int(rows[-1]["step"]), **options}
    return StageHistory(name, {key: tuple(points) for key, points in curves.items()}, **given)


def config_of(shape: Shape) -> dict[str, Any]:
    """The resolved config of a DPO stage."""
    return {
        "use_peft": True,
        "lora_r": 8,
        "learning_rate": shape.rate,
        "beta": BETA,
        "per_device_train_batch_size": shape.pairs,
        "gradient_accumulation_steps": 1,
        "logging_steps": shape.logging_steps,
        "max_steps": shape.steps,
        "eval_strategy": "steps" if shape.evaluations else "no",
        "max_length": 256,
        **shape.config,
    }


def dpo_run(
    seed: int, shape: Shape | None = None, change: Change | None = None, **options: Any
) -> RunHistory:
    """A run of one DPO stage; see `dpo_rows`."""
    shape = shape or Shape()
    given = {"config": config_of(shape), "max_steps": shape.steps, **options}
    return RunHistory((stage_of("dpo", dpo_rows(seed, shape, change), **given),))


def long_run(seed: int, rows: int = 2000) -> RunHistory:
    """A healthy run with very many log rows."""
    return dpo_run(seed, Shape(rows=rows, evaluations=20, reach=15.0))


def healthy(seed: int) -> RunHistory:
    """SFT and DPO of a healthy run of any usual kind."""
    rng = random.Random(seed)
    shape = random_shape(rng)
    config = {"use_peft": True, "learning_rate": 2e-4, "eval_strategy": "no", "logging_steps": 1}
    rows = sft_rows(
        seed, rng.choice((20, 40, 100)), start=rng.uniform(1.5, 3.5), fall=rng.uniform(0.15, 0.45)
    )
    before = tuple(Answer(-1, f"p{n}", rng.randint(30, 100), 0.02, n == 0) for n in range(5))
    asked = tuple(
        Answer(step, one.prompt, max(5, round(one.tokens * rng.uniform(0.5, 1.2))), 0.03, False)
        for step in (shape.steps // 2, shape.steps)
        for one in before
    )
    dpo = dpo_run(seed, shape, answers=before + asked).stages[0]
    return RunHistory((stage_of("sft", rows, config=config), dpo))

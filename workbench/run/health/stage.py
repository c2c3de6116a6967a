"""One stage of a run as the rules see it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import Any

from workbench.base.files import is_number
from workbench.recipe.schema import STAGES, load_schema
from workbench.run.curves import Points

LEAST_WINDOW, MOST_WINDOW = 5, 40
WINDOW_SHARE = 4
LN_2 = math.log(2)
"""DPO's sigmoid loss before the policy has moved (Rafailov et al. 2023, arXiv:2305.18290)."""
NEAR_LN_2 = 0.05
"""A first loss that near to it tells the sigmoid loss where no setting does."""
SIGMOID: tuple[list[str], ...] = (["sigmoid"], [])
DEFAULT_BETA, LEAST_BETA = 0.1, 1e-6
MOST_ROWS = 1_000_000
"""More rows behind one point are a damaged file."""

Table = list[tuple[float, ...]]


@dataclass(frozen=True)
class Answer:
    """What is measured of an answer to a probe prompt; see `run.samples.Sample`.

    Attributes:
        step: Of the stage, when it was asked; -1 before the stage.
        prompt: Tells prompts apart.
        repetition: 0 varied, near 1 a loop.
        cut: It had no end of its own.
    """

    step: int
    prompt: str
    tokens: int
    repetition: float
    cut: bool


@dataclass(frozen=True)
class StageHistory:
    """All that is known of a stage up to a step.

    Attributes:
        curves: Points by metric name, by rising step: rows as they were logged, all of a short
            stage, an even sample of a long one.
        config: The resolved TRL config.
        whole: Whether the config holds all that the stage was trained with; of an imported run it
            holds what its files tell, and the rest is unknown instead of TRL's default.
        max_steps: Optimizer steps planned, 0 while unknown.
        faults: `(step, metric)` of non-finite values.
        answers: To the probe prompts, those before the stage among them.
        stalls: Steps at which the run was noticed to stand still.
        state: Of the run, where this is its current stage; else empty.
        last: Nothing behind this step is looked at.
        processes: How many train together, each with a batch of its own.
    """

    name: str
    curves: Mapping[str, Points]
    config: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = True
    max_steps: int = 0
    faults: tuple[tuple[int, str], ...] = ()
    answers: tuple[Answer, ...] = ()
    stalls: tuple[int, ...] = ()
    state: str = ""
    last: int | None = None
    processes: int = 1
    _cache: dict[str, Points] = field(default_factory=dict, repr=False, compare=False)
    _tables: dict[tuple[str, ...], Table] = field(default_factory=dict, repr=False, compare=False)

    def until(self, step: int) -> StageHistory:
        """The same stage as it was after a step."""
        return replace(
            self,
            last=step,
            faults=tuple(fault for fault in self.faults if fault[0] <= step),
            answers=tuple(answer for answer in self.answers if answer.step <= step),
            stalls=tuple(stall for stall in self.stalls if stall <= step),
            _cache={},
            _tables={},
        )

    def points(self, name: str) -> Points:
        """`(step, value)` of a metric; empty where it was not logged."""
        points = self.curves.get(name, ())
        if self.last is None or not points or points[-1][0] <= self.last:
            return points
        if name not in self._cache:
            end = bisect_right(points, self.last, key=lambda point: point[0])
            self._cache[name] = points[:end]
        return self._cache[name]

    def values(self, name: str) -> list[float]:
        """A metric's values in their order."""
        return [value for _, value in self.points(name)]

    def table(self, *names: str) -> Table:
        """`(step, value, value, ...)` of the log rows that have all of these metrics."""
        if names not in self._tables:
            self._tables[names] = self._table(names)
        return self._tables[names]

    def _table(self, names: tuple[str, ...]) -> Table:
        columns = [self.points(name) for name in names]
        if not all(columns):
            return []
        steps = [[step for step, _ in points] for points in columns]
        if all(one == steps[0] for one in steps):
            values = ([value for _, value in points] for points in columns)
            return list(zip(steps[0], *values, strict=True))
        known = [dict(points) for points in columns[1:]]
        return [
            (step, value, *(one[step] for one in known))
            for step, value in columns[0]
            if all(step in one for one in known)
        ]

    @cached_property
    def steps(self) -> list[int]:
        """The steps that were logged, all metrics of training taken together by their loss."""
        return [step for step, _ in self.points("loss") or self.points("learning_rate")]

    @cached_property
    def step(self) -> int:
        """The last step that was logged, 0 before the first."""
        return self.steps[-1] if self.steps else 0

    @cached_property
    def preference(self) -> bool:
        """Whether pairs are trained on."""
        return bool(self.points("rewards/margins"))

    @cached_property
    def planned(self) -> float:
        """Steps that the stage will have; infinite while unknown."""
        return float(self.max_steps) if self.max_steps > 0 else math.inf

    @property
    def progress(self) -> float:
        """The part of the stage that is done, 0 to 1; 0 while its length is unknown."""
        return min(1.0, self.step / self.planned)

    @property
    def known(self) -> bool:
        """Whether a setting that the config lacks had TRL's default."""
        return self.whole and bool(self.config)

    def setting(self, key: str) -> Any:
        """A setting as the stage was trained with it; None where that is not known."""
        if key in self.config:
            return self.config[key]
        if not self.known:
            return self.rate or None if key == "learning_rate" else None
        known = load_schema().field(key, self.name) if self.name in STAGES else None
        return known.default if known else None

    def number(self, key: str, otherwise: float = 0.0) -> float:
        """A setting that is a number."""
        value = self.setting(key)
        return float(value) if is_number(value) else otherwise

    @cached_property
    def lora(self) -> bool:
        """Whether an adapter is trained. Where nobody knows, the rates of adapters, which allow
        more, judge the run."""
        unknown = "use_peft" not in self.config and not self.known
        return unknown or bool(self.setting("use_peft"))

    @cached_property
    def rate(self) -> float:
        """The highest learning rate: the config's, else the highest that was logged; 0 unknown."""
        rate = self.number("learning_rate") if "learning_rate" in self.config else 0.0
        return rate or max(self.values("learning_rate"), default=0.0)

    @cached_property
    def beta(self) -> float:
        """DPO's beta."""
        beta = self.number("beta", DEFAULT_BETA)
        return beta if beta >= LEAST_BETA else DEFAULT_BETA

    @cached_property
    def losses(self) -> list[str]:
        """DPO's losses."""
        value = self.setting("loss_type")
        value = value if isinstance(value, list) else [] if value is None else [value]
        return [str(one) for one in value]

    @cached_property
    def pure_sigmoid(self) -> bool:
        """Whether the logged loss is DPO's own, which is ln 2 where nothing is learned."""
        if "loss_type" not in self.config and not self.known:
            return any(abs(loss - LN_2) < NEAR_LN_2 for loss in self.values("loss")[:1])
        weights = self.setting("loss_weights")
        return self.losses in SIGMOID and weights in (None, [1.0], [1])

    @cached_property
    def stride(self) -> int:
        """Optimizer steps between two log rows."""
        if self.known or "logging_steps" in self.config:
            steps = self.number("logging_steps", 1.0)
            share = math.ceil(steps * self.max_steps) if 0 < steps < 1 else steps
            return max(1, int(share))
        gaps = [late - early for early, late in pairwise(self.steps)]
        return min(gaps, default=1)

    def rows_of(self, step: int) -> float:
        """Rows (pairs in DPO) that a log row's averages are over."""
        logged = self._sizes.get(step, 0.0)
        return min(logged, MOST_ROWS) if logged >= 1 else self._rows_by_config

    @property
    def counted(self) -> bool:
        """Whether it is known of how many rows a log row tells; else `rows_of` is the least."""
        return self.known or bool(self._sizes)

    @cached_property
    def _sizes(self) -> dict[int, float]:
        return dict(self.curves.get("samples", ()))

    @cached_property
    def _rows_by_config(self) -> float:
        batch = self.number("per_device_train_batch_size", 1.0)
        rows = batch * self.number("gradient_accumulation_steps", 1.0) * self.processes
        rows *= self.stride
        return min(max(1.0, rows), MOST_ROWS)

    @cached_property
    def wins(self) -> list[tuple[int, float, float]]:
        """`(step, right, pairs)` of each log row: how many chosen answers had the higher reward."""
        found = []
        for step, share in self.points("rewards/accuracies"):
            pairs = self.rows_of(step)
            found.append((step, min(1.0, max(0.0, share)) * pairs, pairs))
        return found

    @cached_property
    def held_out(self) -> list[tuple[int, float, float]]:
        """`(step, right, pairs)` of each evaluation; the pairs by its time and its speed."""
        table = self.table("eval_rewards/accuracies", "eval_runtime", "eval_samples_per_second")
        counted = (
            (int(step), min(1.0, max(0.0, share)), round(min(max(0.0, time * speed), MOST_ROWS)))
            for step, share, time, speed in table
        )
        return [(step, share * pairs, float(pairs)) for step, share, pairs in counted if pairs > 0]

    @cached_property
    def length(self) -> float:
        """Tokens of an answer, the mean of chosen and rejected ones; 0 where it is not logged."""
        rows = self.table("lengths/chosen", "lengths/rejected")
        return median((chosen + rejected) / 2 for _, chosen, rejected in rows) if rows else 0.0


def window(count: int) -> int:
    """How many of so many log rows stand for the present: a quarter, 5 to 40."""
    return max(LEAST_WINDOW, min(MOST_WINDOW, count // WINDOW_SHARE))


def total(rows: Iterable[tuple[int, float, float]]) -> tuple[float, float]:
    """Pairs ranked right, and all pairs, of `StageHistory.wins`."""
    listed = list(rows)
    return sum(row[1] for row in listed), sum(row[2] for row in listed)

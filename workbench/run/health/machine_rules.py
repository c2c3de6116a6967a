"""Rules on what goes wrong whatever is trained: numbers, standstill, loading, memory."""

from __future__ import annotations

from statistics import median

from workbench.run.health.finding import Symptom
from workbench.run.health.numbers import blocks, kendall
from workbench.run.health.rates import lower
from workbench.run.health.registry import rule
from workbench.run.health.stage import StageHistory, window
from workbench.run.health.words import arrow, num, percent

SECONDS = ("data", "forward", "backward", "optimizer", "eval", "save", "other")
SLOW_SHARE = 0.3
"""Share of the time spent on waiting for data that is worth a change; a batch of tokenized rows
takes milliseconds, so that loading seldom has 5 %."""
SLOW_ROWS, SLOW_SECONDS = 10, 5.0
CREEP_BLOCKS, CREEP_ROWS, CREEP_STEPS = 10, 30, 200
"""In the first hundred steps memory grows in good runs too, by half, until the longest batches have
been met."""
CREEP_TREND = 0.8
CREEP_SHARE, CREEP_GB = 0.15, 0.3
"""Growth after the beginning that counts: allocators keep a few percent for themselves."""
CREEP_LATE = 0.35
"""The second half must have this part of the growth: caches fill up and then stay."""
SETTLED = 0.2
"""The beginning of a stage in which memory may grow: buffers and the optimizer's state."""


@rule("a value is not a number")
def non_finite(s: StageHistory) -> Symptom | None:
    """NaN or infinity in a metric; with fp16 the loss scaler meets infinite gradients by design."""
    fp16 = bool(s.setting("fp16"))
    faults = [
        fault for fault in s.faults if not (fp16 and fault[1].removeprefix("eval_") == "grad_norm")
    ]
    if not faults:
        return None
    step, name = faults[0]
    logged = [at for at, _ in s.points(name)]
    now = not logged or faults[-1][0] >= logged[-1]
    key, change = "learning_rate", arrow(s, "learning_rate", lower(s))
    if fp16:
        key, change = "bf16", "false -> true, and fp16: false"
    return Symptom(
        "alarm",
        f"{name} was no finite number at step {step}; {len(faults)} such values in all.",
        "Weights that have met NaN or infinity are lost, and so is what is trained after them. "
        "The learning rate is the usual cause, the number format the second.",
        key,
        change,
        step,
        now,
    )


@rule("the run stands still")
def stalled(s: StageHistory) -> Symptom | None:
    """Live processes without a sign of life, now or before."""
    now = s.state == "stalled"
    if not now and not s.stalls:
        return None
    step = s.stalls[-1] if s.stalls else s.step
    return Symptom(
        "alarm" if now else "warning",
        f"No sign of life for more than ten steps' time at step {step}"
        + ("." if now else ", after which it went on."),
        "The process lives but does not train: it waits for a disk, a network or another process. "
        "stacks.log in the run's folder shows where each of its threads stood.",
        "",
        "read stacks.log and train.log, then stop the run and resume it",
        step,
        now,
        "" if now else "the run stood still",
    )


@rule("loading data is slow")
def slow_data(s: StageHistory) -> Symptom | None:
    """The trainer waits for its rows."""
    names = [f"seconds/{kind}" for kind in SECONDS if s.points(f"seconds/{kind}")]
    if "seconds/data" not in names:
        return None
    # The first row counts what the loader does once.
    rows = s.table(*names)[1:]
    recent = rows[-max(SLOW_ROWS, window(len(rows))) :]
    totals = [sum(row[1:]) for row in recent]
    spent, place = sum(totals), 1 + names.index("seconds/data")
    if len(recent) < SLOW_ROWS or spent < SLOW_SECONDS:
        return None
    share = sum(row[place] for row in recent) / spent
    usual = median(row[place] / total for row, total in zip(recent, totals, strict=True) if total)
    if share < SLOW_SHARE or usual < SLOW_SHARE:
        return None
    workers = int(s.number("dataloader_num_workers"))
    return Symptom(
        "warning",
        f"{percent(share)} of the time goes into waiting for data, {percent(usual)} in the usual "
        f"row, over the last {len(recent)} rows.",
        "The device idles while rows are read and put together. Processes beside the training can "
        "make the batches ahead.",
        "dataloader_num_workers",
        arrow(s, "dataloader_num_workers", workers + 2),
    )


@rule("memory keeps growing")
def memory_creep(s: StageHistory) -> Symptom | None:
    """Memory that rises steadily long after the start, and does not slow down."""
    return _creep(s, "memory/gpu_gb", "GPU memory") or _creep(s, "memory/rss_gb", "memory")


def _creep(s: StageHistory, name: str, called: str) -> Symptom | None:
    points = s.points(name)
    points = points[int(SETTLED * len(points)) :]
    if len(points) < CREEP_ROWS or s.step < CREEP_STEPS:
        return None
    levels = blocks([value for _, value in points], CREEP_BLOCKS)
    growth, half = levels[-1] - levels[0], levels[-1] - levels[CREEP_BLOCKS // 2]
    if growth < max(CREEP_GB, CREEP_SHARE * levels[0]) or half < CREEP_LATE * growth:
        return None
    if kendall(levels) < CREEP_TREND:
        return None
    first, last = points[0][0], points[-1][0]
    per_step = growth / max(1, last - first)
    key, change = "save_steps", "a smaller number, so that a lack of memory costs little"
    if name == "memory/gpu_gb":
        key, change = "torch_empty_cache_steps", arrow(s, "torch_empty_cache_steps", 50)
    elif s.number("dataloader_num_workers") > 0:
        key, change = "dataloader_num_workers", arrow(s, "dataloader_num_workers", 0)
    return Symptom(
        "warning",
        f"{called} rose from {num(levels[0])} to {num(levels[-1])} GB between steps {first} and "
        f"{last}, about {num(1000 * per_step)} GB in 1000 steps.",
        "Something keeps what it should let go, and the run ends when the memory does. A stopped "
        "and resumed run begins with fresh memory.",
        key,
        change,
    )

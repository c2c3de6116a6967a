"""Rules on several processes that train together: one that is slow, and communication."""

from __future__ import annotations

from collections import Counter
from statistics import median

from workbench.run.health.finding import Symptom
from workbench.run.health.machine_rules import SECONDS
from workbench.run.health.registry import rule
from workbench.run.health.stage import StageHistory, Table, window
from workbench.run.health.words import arrow, percent

ROWS, LEAST_SECONDS = 20, 10.0
LAG = 0.2
"""In a step some process is always the slowest, by the length of its rows; by a fifth, and always
the same one, is another thing."""
SAME = 0.9
SHARE = 0.5


@rule("one process is slower than the others")
def straggler(s: StageHistory) -> Symptom | None:
    """The same process computes longer than the others in nearly each row."""
    rows = _recent(s, "ranks/slowest", "ranks/slowest_lag", "ranks/waiting_share")
    if not rows:
        return None
    rank, times = Counter(row[1] for row in rows).most_common(1)[0]
    lag = median(row[2] for row in rows)
    if times < SAME * len(rows) or lag < LAG:
        return None
    return Symptom(
        "warning",
        f"Rank {rank:.0f} computed longest in {times} of the last {len(rows)} rows, "
        f"{percent(lag)} longer than the others, which waited "
        f"{percent(median(row[3] for row in rows))} of the time for it on average.",
        "All processes go on together, so that the slowest sets the pace of each. Heat, another "
        "program on its device or its cores, or a slower machine is the usual cause.",
        "",
        f"see what else runs where rank {rank:.0f} is: its host and pid stand in "
        f"ranks/{rank:.0f}.json",
    )


@rule("communication takes most of the time")
def communication(s: StageHistory) -> Symptom | None:
    """The processes stand still for each other's data, and not for a slow one among them."""
    rows = _recent(s, "ranks/exposed_share", "ranks/waiting_share")
    if not rows:
        return None
    share = median(row[1] - row[2] for row in rows)
    if share < SHARE:
        return None
    batch = max(1, int(s.number("per_device_train_batch_size", 8)))
    return Symptom(
        "warning",
        f"The processes stood still for each other's data in {percent(share)} of the time over the "
        f"last {len(rows)} rows.",
        "So many processes compute no more than half as many would do that never wait. More rows a "
        "process and step give each more to do between two waits, and so do fewer processes.",
        "per_device_train_batch_size",
        arrow(s, "per_device_train_batch_size", 2 * batch),
    )


def _recent(s: StageHistory, *names: str) -> Table:
    """The last log rows that have these metrics; empty while they tell too little."""
    rows = s.table(*names)[1:]
    recent = rows[-max(ROWS, window(len(rows))) :]
    if len(recent) < ROWS:
        return []
    known = [f"seconds/{kind}" for kind in SECONDS if s.points(f"seconds/{kind}")]
    spent = sum(sum(row[1:]) for row in s.table(*known) if row[0] >= recent[0][0]) if known else 0
    return recent if spent >= LEAST_SECONDS else []

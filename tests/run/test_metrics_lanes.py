"""Records taken by columns leave a reader exactly as records taken one by one do."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.run import axes, curves, metrics, stage_history
from workbench.run.axes import AXES
from workbench.run.directory import RunDirectory
from workbench.run.metrics import MetricsReader

TRAIN = ("loss", "grad_norm", "num_tokens", "rewards/margins")
odd_values = st.sampled_from(
    [None, True, False, "text", [1], {"a": 1}, 10**400, 2**70, float("nan"), float("inf"), 1e308]
)


@st.composite
def stretches(draw: st.DrawFn) -> list[bytes]:
    """Lines of a piece of a run: many alike, now and then one that is odd."""
    stage = draw(st.sampled_from(["dpo", "dpo", "dpo", "sft", "unknown"]))
    step = draw(st.sampled_from([0, 5, 40, 51, 100, 151]))
    gap = draw(st.integers(1, 7))
    names = draw(
        st.sampled_from([TRAIN, TRAIN[:2], ("eval_loss", "eval_runtime"), (*TRAIN, "note")])
    )
    head = draw(st.sampled_from([("time", "stage", "step"), ("stage", "step"), ("step", "stage")]))
    start = draw(st.floats(0, 1e4))
    lines: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 40))):
        row: dict[str, Any] = {"time": start + number * 1.5, "stage": stage, "step": step}
        row = {name: row[name] for name in head}
        row |= {name: (number * 7919 % 101) / (place + 3) for place, name in enumerate(names)}
        lines.append(row | {"epoch": step / 100})
        step += gap
    for _ in range(draw(st.integers(0, 2))):
        row = lines[draw(st.integers(0, len(lines) - 1))]
        row[draw(st.sampled_from(list(row)))] = draw(odd_values)
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), dict(lines[0]))
    if draw(st.integers(0, 9)) == 0:
        lines = [row | {"non_finite": ["entropy"]} for row in lines]
    return [json.dumps(line).encode() for line in lines]


events = st.fixed_dictionaries(
    {"event": st.sampled_from(["stage", "resume", "checkpoint", "end", "progress"])},
    optional={
        "stage": st.sampled_from(["dpo", "sft", 7]),
        "step": st.sampled_from([0, 5, 50, 150, "x"]),
        "time": st.floats(0, 2e4),
        "state": st.sampled_from(["stopped", "failed", "finished", 3]),
    },
).map(lambda event: [json.dumps(event).encode()])
restarts = st.builds(
    lambda time, step: [
        json.dumps({"time": time, "event": "stage", "stage": "dpo"}).encode(),
        json.dumps({"time": time, "event": "resume", "stage": "dpo", "step": step}).encode(),
    ],
    st.floats(0, 2e4),
    st.sampled_from([0, 5, 50, 150]),
)
damage = st.sampled_from(
    [b'{"stage": "dpo", "step": 9, "lo', b'{"a": 1}{"stage": "dpo", "step": 7, "loss": 1}', b"\xff"]
).map(lambda line: [line])
contents = st.lists(
    stretches() | stretches() | stretches() | events | restarts | damage, min_size=1, max_size=8
).map(lambda pieces: b"\n".join(line for piece in pieces for line in piece) + b"\n")


def state(reader: MetricsReader) -> dict[str, Any]:
    """All that can be asked of a reader, and what it keeps inside."""
    stages = list(reader._stages)
    kept = {
        (stage, name): (
            list(curve._steps),
            list(curve._values),
            curve.exact_from,
            curve.points(),
            curve.window(20, 90, limit=8),
        )
        for stage, history in reader._stages.items()
        for name, curve in history.curves.items()
    }
    return {
        "stages": (stages, reader.stages(), reader.names()),
        "curves": kept,
        "axes": [reader.axis(kind, stage) for kind in AXES for stage in stages],
        "seconds": [history._seconds.points() for history in reader._stages.values()],
        "marks": [reader.marks(stage) for stage in stages],
        "pace": [reader.pace_rows(stage) for stage in stages],
        "speed": [(reader.steps_per_second(one), reader.went_on(one)) for one in stages],
        # As text, because nan is never equal to itself.
        "records": repr((list(reader.recent), list(reader.events), list(reader.faults))),
        "latest": list(reader.latest.items()),
        "resumes": reader.resumes(),
    }


@settings(max_examples=150, deadline=None)
@given(content=contents, cuts=st.lists(st.integers(0, 8000), max_size=4))
def test_both_lanes_and_any_pieces_lead_to_the_same(content: bytes, cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        # So small that curves are thinned, and views of them.
        patch.setattr(stage_history, "KEPT_POINTS", 64)
        patch.setattr(stage_history, "LEAST_POINTS", 16)
        patch.setattr(stage_history, "BUDGET_POINTS", 200)
        patch.setattr(axes, "AXIS_POINTS", 48)
        patch.setattr(curves, "LIMIT_POINTS", 12)
        run = RunDirectory(Path(folder))
        growing = MetricsReader(run)
        done = 0
        for cut in [*sorted(min(cut, len(content)) for cut in cuts), len(content)]:
            with run.metrics.open("ab") as file:
                file.write(content[done:cut])
            done = cut
            growing.read_all()
            state(growing)
        quick = MetricsReader(run)
        quick.read_all()
        patch.setattr(metrics, "FEW_ROWS", len(content))
        plain = MetricsReader(run)
        plain.read_all()
        assert state(quick) == state(plain)
        assert state(growing) == state(plain)


def test_alike_records_are_taken_by_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the test above would compare the plain lane with itself."""
    run = RunDirectory(tmp_path)
    rows = [{"stage": "dpo", "step": step, "loss": 1 / (step + 1)} for step in range(500)]
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    one_by_one = []
    plain = MetricsReader._take
    monkeypatch.setattr(
        MetricsReader, "_take", lambda self, row: (one_by_one.append(row), plain(self, row))
    )
    reader = MetricsReader(run)
    reader.read_all()
    assert one_by_one == rows[:1]
    assert reader.points("loss", "dpo") == tuple((row["step"], row["loss"]) for row in rows)


def test_a_poll_is_short_and_the_first_one_shorter(tmp_path: Path) -> None:
    """Whoever waits for a screen gets the first curves soon, and is never held up for long."""
    run = RunDirectory(tmp_path)
    line = json.dumps({"stage": "dpo", "step": 1, "note": "x" * 900}) + "\n"
    run.metrics.write_text(line * 8000)
    times = iter(range(1000))
    reader = MetricsReader(run, clock=lambda: next(times) * metrics.POLL_SECONDS / 2.5)
    assert reader.poll()
    assert reader.more
    polls = 1
    while reader.more:
        reader.poll()
        polls += 1
    chunks = -(-len(line) * 8000 // (256 * 1024))
    # Each poll stops at the third chunk, when its time is over.
    assert polls == -(-chunks // 3)

"""Records taken by columns leave a reader exactly as records taken one by one do."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.run import axes, curves, metrics, stage_history, step_index
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


@st.composite
def evaluated(draw: st.DrawFn) -> list[bytes]:
    """Records of training and of evaluations, which come in turn, at the same steps or not."""
    shared = draw(st.sampled_from([{}, {}, {}, {"num_tokens": 5.0}]))
    later, every = draw(st.integers(-1, 1)), draw(st.integers(1, 3))
    left_out = draw(st.sampled_from(["", "", "time", "epoch"]))
    first, time = draw(st.sampled_from([0, 5, 40, 100, 151])), draw(st.floats(0, 1e4))
    lines: list[dict[str, Any]] = []
    for step in range(first, first + draw(st.integers(5, 40))):
        row = {"time": time + step, "stage": "dpo", "step": step, "loss": step % 7 / 3}
        lines.append(row | {"num_tokens": step * 10.0, "epoch": step / 100})
        if step % every == 0:
            place = {"time": time + step + 0.5, "stage": "dpo", "step": step + later}
            place |= {"epoch": step / 100}
            place = {name: place[name] for name in place if name != left_out}
            lines.append(place | {"eval_loss": step % 5 / 3} | shared)
    if draw(st.booleans()):
        row = lines[draw(st.integers(0, len(lines) - 1))]
        name = draw(st.sampled_from(list(row)))
        if draw(st.booleans()):
            row[name] = draw(odd_values)
        else:
            del row[name]
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
    stretches() | stretches() | evaluated() | evaluated() | events | restarts | damage,
    min_size=1,
    max_size=8,
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
        # As text, because nan is never equal to itself.
        "records": repr((list(reader.recent), list(reader.events), list(reader.faults))),
        "latest": reader.latest,
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


def window(reader: MetricsReader, name: str, low: int, high: int) -> list[tuple[int, float]]:
    points = reader.read_window("dpo", [name], low, high, 10_000)[name]
    return [point for point in points if low <= point[0] <= high]


@settings(max_examples=150, deadline=None)
@given(content=contents, low=st.integers(0, 200), width=st.integers(0, 60))
def test_a_window_that_is_read_again_is_exact(content: bytes, low: int, width: int) -> None:
    """Whatever was resumed, written twice or thinned."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(Path(folder))
        run.metrics.write_bytes(content)
        exact = MetricsReader(run)
        exact.read_all()
        patch.setattr(stage_history, "KEPT_POINTS", 16)
        patch.setattr(stage_history, "LEAST_POINTS", 8)
        patch.setattr(metrics, "READ_BYTES", 300)
        patch.setattr(step_index, "KEPT_PIECES", 6)
        thinned = MetricsReader(run)
        thinned.read_all()
        for name in ("loss", "eval_loss"):
            expected = exact.window(name, "dpo", low, low + width, 10_000)
            expected = [point for point in expected if low <= point[0] <= low + width]
            patch.setattr(stage_history, "KEPT_POINTS", 1000)
            assert window(thinned, name, low, low + width) == expected
            patch.setattr(stage_history, "KEPT_POINTS", 16)


def test_a_resume_between_pieces_is_not_taken_for_a_new_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event that says from where it goes on lies in lines that are not read again."""
    run = RunDirectory(tmp_path)
    rows = [json.dumps({"stage": "dpo", "step": step, "loss": step}) for step in range(100, 900)]
    first = "\n".join([*rows[:500], '{"event": "stage", "stage": "dpo"}', ""])
    loading = '{"event": "progress", "message": "loading"}\n' * 1000
    resume = '{"event": "resume", "stage": "dpo", "step": 400}\n'
    run.metrics.write_text(first + loading + resume + loading + "\n".join([*rows[301:], ""]))
    monkeypatch.setattr(metrics, "READ_BYTES", len(first))
    monkeypatch.setattr(stage_history, "KEPT_POINTS", 64)
    reader = MetricsReader(run)
    reader.read_all()
    monkeypatch.setattr(stage_history, "KEPT_POINTS", 65_536)
    assert window(reader, "loss", 380, 420) == [(step, step) for step in range(380, 421)]


def test_merged_pieces_still_tell_what_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_index, "KEPT_PIECES", 2)
    index = step_index.StepIndex()
    for start, low, high in ((0, 1, 50), (10, 5, 20)):
        index.enter(start, start + 10)
        index.note("dpo", low, high)
    index.forget_after("dpo", 30)
    index.enter(20, 30)
    index.note("dpo", 31, 40)
    assert index.pieces("dpo", 25, 35) == [
        step_index.Piece(0, 20, 1, 30, cut=True),
        step_index.Piece(20, 30, 31, 40),
    ]
    assert index.pieces("sft", 0, 99) == []


def test_too_wide_a_window_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(tmp_path)
    rows = [{"stage": "dpo", "step": step, "loss": step % 97} for step in range(5000)]
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(stage_history, "KEPT_POINTS", 512)
    reader = MetricsReader(run)
    reader.read_all()
    monkeypatch.setattr(stage_history, "KEPT_POINTS", 65_536)
    inside = [(step, float(step % 97)) for step in range(1000, 2001)]
    assert len(window(reader, "loss", 1000, 2000)) == 1001
    assert window(reader, "loss", 1000, 2000) == inside
    # Of the same lines nothing is read again, whatever is asked of them.
    monkeypatch.setattr(metrics, "read_lines_between", lambda *_: pytest.fail("read again"))
    assert window(reader, "loss", 1500, 1600) == inside[500:601]
    monkeypatch.undo()
    monkeypatch.setattr(metrics, "WINDOW_BYTES", 1000)
    assert len(window(reader, "loss", 1000, 2000)) < 200
    monkeypatch.undo()
    run.metrics.unlink()
    reader._again = None
    assert 0 < len(window(reader, "loss", 1000, 2000)) < 200


def test_a_window_is_exact_over_the_edge_of_what_was_thinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where it is long, it has the extremes, and its ends reach over its edges."""
    run = RunDirectory(tmp_path)
    rows = [{"stage": "dpo", "step": step, "loss": step % 97} for step in range(5000)]
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(stage_history, "KEPT_POINTS", 512)
    reader = MetricsReader(run)
    reader.read_all()
    monkeypatch.setattr(stage_history, "KEPT_POINTS", 65_536)
    edge = reader.exact_from("loss", "dpo")
    assert 4000 < edge < 4999
    points = window(reader, "loss", edge - 50, edge + 50)
    assert [step for step, _ in points] == list(range(edge - 50, edge + 51))
    few = reader.read_window("dpo", ["loss"], 3000.5, float("inf"), 100)["loss"]
    assert len(few) <= 100
    assert few[0][0] < 3000.5
    assert few[-1] == (4999, 4999 % 97)
    assert {value for _, value in few} >= {0.0, 96.0}


def test_alike_records_are_taken_by_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the test above would compare the plain lane with itself."""
    run = RunDirectory(tmp_path)
    rows = [{"stage": "dpo", "step": step, "loss": 1 / (step + 1)} for step in range(500)]
    for step in range(500, 600):
        rows.append({"stage": "dpo", "step": step, "eval_loss": 0.5})
        rows.append({"stage": "dpo", "step": step, "loss": 1 / (step + 1)})
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    one_by_one = []
    plain = MetricsReader._take
    monkeypatch.setattr(
        MetricsReader, "_take", lambda self, row: (one_by_one.append(row), plain(self, row))
    )
    reader = MetricsReader(run)
    reader.read_all()
    assert one_by_one == rows[:1] + rows[500:502]
    assert reader.points("loss", "dpo") == tuple((step, 1 / (step + 1)) for step in range(600))


def test_totals_by_columns_are_those_of_each_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where every step is evaluated, which takes time and gains no tokens."""
    run = RunDirectory(tmp_path)
    rows: list[dict[str, Any]] = [{"event": "stage", "stage": "dpo", "time": 99.0}]
    for step in range(1, 200):
        row = {"time": 100.0 + step * 5, "stage": "dpo", "step": step, "loss": 1.0}
        rows.append(row | {"num_tokens": step * 30.0, "samples": 4, "seconds/forward": 2.0})
        rows.append({"time": 103.0 + step * 5, "stage": "dpo", "step": step, "eval_loss": 1.0})
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    quick = MetricsReader(run)
    quick.read_all()
    monkeypatch.setattr(metrics, "FEW_ROWS", len(rows))
    plain = MetricsReader(run)
    plain.read_all()
    assert vars(quick.totals.stages["dpo"]) == vars(plain.totals.stages["dpo"])
    assert plain.totals.stages["dpo"].attempts == [[99.0, 103.0 + 199 * 5]]
    assert plain.totals.stages["dpo"].paced_rows == 4 * 199


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

"""The chart: what it keeps of many points, and that no value can break it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.tui.plot import Series, draw, thin, tick_labels, ticks

POINTS = st.lists(
    st.tuples(st.integers(0, 10**6), st.floats(allow_nan=True, allow_infinity=True)), max_size=60
).map(sorted)


@given(points=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=500), columns=st.integers(2, 60))
def test_thinning_keeps_extremes_and_ends(points: list[float], columns: int) -> None:
    curve = list(enumerate(points))
    kept = thin(curve, columns)
    assert len(kept) <= 2 * columns + 2
    assert kept[0] == curve[0]
    assert kept[-1] == curve[-1]
    assert max(value for _, value in kept) == max(points)
    assert min(value for _, value in kept) == min(points)
    assert set(kept) <= set(curve)
    assert kept == sorted(kept)


@settings(max_examples=60, deadline=None)
@given(points=POINTS, width=st.integers(1, 80), height=st.integers(1, 20))
def test_any_values_draw_within_their_cells(
    points: list[tuple[int, float]], width: int, height: int
) -> None:
    """Row 26."""
    chart = draw([Series("a", points), Series("b", points[::2], joined=False)], width, height)
    lines = chart.plain.split("\n")
    assert len(lines) <= height
    assert all(len(line) <= max(width, 0) for line in lines)


def test_a_chart_has_exactly_its_size() -> None:
    points = [(step, math.exp(-step / 30)) for step in range(1, 100)]
    lines = draw([Series("loss", points)], 40, 10).plain.split("\n")
    assert [len(line) for line in lines] == [40] * 10


def test_ascii_charts_use_ascii_only() -> None:
    points = [(step, step / 3) for step in range(1, 50)]
    chart = draw([Series("a", points), Series("b", points[::5])], 40, 10, ascii_only=True)
    assert chart.plain.isascii()
    assert "*" in chart.plain
    assert "o" in chart.plain


def test_curves_differ_by_marker_not_only_by_colour() -> None:
    rising = Series("a", [(x, x) for x in range(10)])
    falling = Series("b", [(x, 9 - x) for x in range(10)], joined=False)
    assert "•" in draw([rising, falling], 40, 10).plain


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, ["0.0", "0.5", "1.0"]),
        (0.61, 0.69, ["0.62", "0.64", "0.66", "0.68"]),
        (2e-5, 5e-5, ["2e-5", "3e-5", "4e-5", "5e-5"]),
        (0.0, 120.0, ["0", "50", "100"]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[str]) -> None:
    assert tick_labels(ticks(low, high, 3)) == expected

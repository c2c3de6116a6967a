"""The chart: what it keeps of many points, and that no value can break it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.tui.chart_picture import Words, frame, sketch, value_text, values_at
from workbench.tui.chart_view import MARKS, ChartMark, ChartView
from workbench.tui.plot import Series, thin, window
from workbench.tui.smoothing import SMOOTHINGS, Smoothing
from workbench.tui.ticks import clock, log_ticks, tick_labels, ticks, x_text, x_ticks

POINTS = st.lists(
    st.tuples(st.integers(0, 10**6), st.floats(allow_nan=True, allow_infinity=True)), max_size=60
).map(sorted)
ANY = st.none() | st.floats(-1e7, 1e7)
VIEWS = st.builds(
    ChartView,
    x_label=st.sampled_from(["step", "epoch", "tokens", "time", "whatever"]),
    low=ANY,
    high=ANY,
    log=st.booleans(),
    smoothing=st.sampled_from(SMOOTHINGS),
    cursor=ANY,
    marks=st.lists(
        st.builds(ChartMark, st.sampled_from(sorted(MARKS)), st.floats(-10, 1e6)), max_size=5
    ).map(tuple),
    ascii=st.booleans(),
)
LOSS = [(step, math.exp(-step / 30)) for step in range(1, 100)]
TWO = [Series("train", LOSS), Series("eval", LOSS[::10], "$accent", joined=False)]


def drawn(
    series: list[Series], width: int = 40, height: int = 12, view: ChartView | None = None
) -> list[str]:
    """The lines of a whole chart."""
    view = view or ChartView()
    words = Words((("loss", "bold"),))
    picture = sketch(series, view, width, height)
    rows = frame(picture, words, view, (width, height), focus=False)
    return ["".join(text for text, _ in row) for row in rows]


@given(points=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=500), columns=st.integers(2, 60))
def test_thinning_keeps_extremes_and_ends(points: list[float], columns: int) -> None:
    curve = list(enumerate(points))
    kept = thin(curve, columns, 0, len(points) - 1)
    assert len(kept) <= 2 * columns + 2
    assert kept[0] == curve[0]
    assert kept[-1] == curve[-1]
    assert max(value for _, value in kept) == max(points)
    assert min(value for _, value in kept) == min(points)
    assert set(kept) <= set(curve)
    assert kept == sorted(kept)


def test_a_new_point_changes_only_its_own_columns() -> None:
    """What a live run sends over the line is what is new."""
    points = [(x, math.sin(x / 7)) for x in range(900)]
    view = ChartView(low=0, high=1000)
    before = drawn([Series("a", points[:880])], 60, 12, view)
    after = drawn([Series("a", points)], 60, 12, view)
    assert before != after
    assert [line[:50] for line in before] == [line[:50] for line in after]


@settings(max_examples=150, deadline=None)
@given(points=POINTS, width=st.integers(1, 80), height=st.integers(1, 20), view=VIEWS)
def test_any_values_draw_exactly_their_cells(
    points: list[tuple[int, float]], width: int, height: int, view: ChartView
) -> None:
    """Row 26."""
    series = [
        Series("a", points),
        Series("b", points[::2], joined=False),
        Series("c", points[::3], sign="C"),
    ]
    lines = drawn(series, width, height, view)
    assert [len(line) for line in lines] == [width] * height
    if view.ascii:
        assert "".join(lines).isascii()


def test_curves_differ_by_marker_not_only_by_colour() -> None:
    rising = Series("a", [(x, x) for x in range(10)])
    falling = Series("b", [(x, 9 - x) for x in range(10)], joined=False)
    assert "•" in "".join(drawn([rising, falling]))
    plain = "".join(drawn([rising, falling], view=ChartView(ascii=True)))
    assert "*" in plain
    assert "o" in plain


def test_many_curves_carry_their_letters() -> None:
    """Up to eight runs in one chart are told apart without colour, in braille and in ASCII."""
    curves = [
        Series(name, [(x, x * (number + 1)) for x in range(100)], sign=name)
        for number, name in enumerate("ABCDEFGH")
    ]
    for view in (ChartView(), ChartView(ascii=True)):
        body = "".join(drawn(curves, 60, 20, view)[1:-2])
        assert set("ABCDEFGH") <= set(body)


def test_the_window_shows_its_part_and_lines_reach_the_edges() -> None:
    lines = drawn([Series("a", [(0, 0.0), (100, 1.0)])], view=ChartView(low=40, high=60))
    assert "".join(lines).count("⠉") + "".join(lines).count("⡠") + "".join(lines).count("⠔") > 2
    assert "0.40" in "".join(lines)
    assert "0.60" in "".join(lines)
    assert window([(0, 0.0), (10, 1.0)], 4, 6, joined=True) == [(4, 0.4), (6, 0.6)]
    assert window([(0, 0.0), (10, 1.0)], 4, 6, joined=False) == []


def test_a_log_axis_has_decades_and_says_what_it_cannot_show() -> None:
    points = [(x, 10.0 ** (x - 3)) for x in range(6)] + [(6, 0.0), (7, -1.0)]
    text = "\n".join(drawn([Series("a", points)], view=ChartView(log=True)))
    assert "0.1" in text
    assert "10" in text
    assert "2 not above 0 left out" in text
    falling = [(x, -1.0 * x) for x in range(1, 6)]
    picture = sketch([Series("a", falling)], ChartView(log=True), 40, 12)
    assert picture is not None
    assert not picture.log


def test_smoothing_keeps_the_raw_points_dim_behind() -> None:
    noisy = [(x, float(x % 2)) for x in range(60)]
    view = ChartView(smoothing=Smoothing("ema", 0.9), ascii=True)
    picture = sketch([Series("a", noisy, "$primary")], view, 40, 12)
    assert picture is not None
    styles = {style for row in picture.cells.styles for style in row}
    assert {"$faint", "$primary"} <= styles
    chars = {char for row in picture.cells.chars for char in row}
    assert {".", "*"} <= chars


def test_exponential_and_running_means() -> None:
    flat = [(x, 2.0) for x in range(20)]
    for smoothing in SMOOTHINGS:
        assert [y for _, y in smoothing.apply(flat)] == pytest.approx([2.0] * 20)
    steps = [(0, 0.0), (1, 1.0), (2, 1.0)]
    # By hand: weights 0.5^(n-i), normalised.
    ema = Smoothing("ema", 0.5).apply(steps)
    assert [y for _, y in ema] == pytest.approx([0, 0.5 / 0.75, 0.75 / 0.875])
    assert Smoothing("mean", 2).apply(steps) == [(0, 0.0), (1, 0.5), (2, 1.0)]


def test_marks_have_signs_of_their_own_on_the_axis() -> None:
    marks = tuple(ChartMark(kind, 10 + 20 * place) for place, kind in enumerate(MARKS))
    axis = drawn(TWO, 60, 12, ChartView(marks=marks))[-2]
    assert all(sign in axis for sign, _, _, _ in MARKS.values())
    axis = drawn(TWO, 60, 12, ChartView(marks=marks, ascii=True))[-2]
    assert all(sign in axis for _, sign, _, _ in MARKS.values())
    beyond = drawn(TWO, 60, 12, ChartView(marks=(ChartMark("stop", 1000.0),)))[-2]
    assert "■" not in beyond


def test_the_cursor_is_a_line_and_tells_exact_values() -> None:
    lines = drawn(TWO, 60, 12, ChartView(cursor=50))
    assert "┷" in lines[-2]
    assert all("│" in line[5:-1] for line in lines[1:3])
    found = values_at(TWO, 55)
    assert found == [(0, (55, LOSS[54][1])), (1, (51, LOSS[50][1]))]
    assert value_text(ChartView(), 55, found[0][1]) == "0.1599"
    assert value_text(ChartView(), 55, found[1][1]) == "0.1827 @51"


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


def test_axes_are_written_in_their_own_units() -> None:
    assert x_ticks("time", 0, 400, 4)[1] == ["0s", "2m", "4m", "6m"]
    assert x_ticks("tokens", 0, 2_000_000, 4)[1] == ["0", "500k", "1M", "1.5M", "2M"]
    assert x_ticks("epoch", 0, 1, 2)[1] == ["0.0", "0.5", "1.0"]
    assert [clock(s) for s in (5, 65, 3600, 5400, 90_000)] == ["5s", "1m05", "1h", "1h30", "1d1h"]
    assert x_text("epoch", 0.312) == "epoch 0.312"
    assert log_ticks(-3, 1, 3) == [0.001, 0.1, 10.0]

from __future__ import annotations

from array import array

from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.run import curves
from workbench.run.curves import KEPT_POINTS, LIMIT_POINTS, Curve


def long_curve(count: int, limit: int = KEPT_POINTS) -> Curve:
    """Noise with one deep valley and one high peak, a point at every third step."""
    curve = Curve(limit)
    values = [float(number * 7919 % 1000) for number in range(count)]
    values[count // 3], values[count // 2] = -50.0, 5000.0
    curve.extend(array("q", range(0, 3 * count, 3)), array("d", values))
    return curve


def test_a_view_has_the_ends_and_the_extremes_each_once() -> None:
    count = 50_000
    points = long_curve(count).points()
    assert LIMIT_POINTS / 3 < len(points) <= LIMIT_POINTS
    steps = [step for step, _ in points]
    assert steps == sorted(set(steps))
    assert points[0] == (0, 0.0)
    assert points[-1][0] == 3 * (count - 1)
    assert min(points, key=lambda point: point[1]) == (count // 3 * 3, -50.0)
    assert max(points, key=lambda point: point[1]) == (count // 2 * 3, 5000.0)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=120),
    gaps=st.lists(st.integers(1, 9), min_size=120, max_size=120),
    looks=st.sets(st.integers(0, 119)),
)
def test_a_view_that_grows_is_the_one_made_anew(
    values: list[float], gaps: list[int], looks: set[int]
) -> None:
    """What was looked at before makes no difference."""
    limit, curves.LIMIT_POINTS = curves.LIMIT_POINTS, 12
    try:
        watched, fresh, step = Curve(), Curve(), 0
        for number, value in enumerate(values):
            step += gaps[number]
            watched.add(step, value)
            fresh.add(step, value)
            if number in looks:
                watched.points()
        assert watched.points() == fresh.points()
        assert len(fresh.points()) <= 12
        assert fresh.points()[0] == (gaps[0], values[0])
        assert fresh.points()[-1] == (step, values[-1])
        assert {min(values), max(values)} <= {value for _, value in fresh.points()}
    finally:
        curves.LIMIT_POINTS = limit


def test_a_view_is_the_same_object_until_something_changes() -> None:
    curve = long_curve(10_000)
    before = curve.points()
    assert curve.points() is before
    curve.add(100_000, 7.0)
    assert curve.points()[-1] == (100_000, 7.0)
    curve.add(100_000, 8.0)
    assert curve.points()[-1] == (100_000, 8.0)


def test_a_window_is_exact_and_runs_over_its_edges() -> None:
    curve = long_curve(50_000)
    points = curve.window(30_001, 30_010)
    assert [step for step, _ in points] == [30_000, 30_003, 30_006, 30_009, 30_012]
    assert curve.window(-5, 4)[0] == (0, 0.0)
    assert curve.window(1e9, 2e9) == curve.points()[-1:]
    assert curve.exact_from == 0
    wide = curve.window(0, float("inf"), limit=100)
    assert len(wide) <= 100
    assert max(value for _, value in wide) == 5000.0
    assert Curve().window(0, 1) == ()


def test_a_full_curve_keeps_extremes_and_says_from_where_it_is_exact() -> None:
    curve = long_curve(50_000, limit=4096)
    assert len(curve) <= 4096
    assert curve.best("higher") == (5000.0, 75_000)
    assert curve.best("lower") == (-50.0, 50_000 // 3 * 3)
    exact = [step for step, _ in curve.window(curve.exact_from, float("inf"), 9999)]
    assert exact[1:] == list(range(curve.exact_from, 150_000, 3))
    assert 0 < curve.exact_from < 150_000
    curve.forget_after(10)
    assert curve.exact_from <= 11


def test_a_curve_stays_small_whatever_the_order_of_its_steps() -> None:
    """Points that come in behind what was thinned before are thinned too."""
    curve = Curve(1024)
    for step in [*range(20_000, 24_000), *range(20_000), *range(30_000, 26_000, -1)]:
        curve.add(step, float(step % 13))
        assert len(curve) <= 1024
    steps = [step for step, _ in curve.window(0, float("inf"), 2000)]
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (0, 30_000)


def test_a_curve_that_went_back_does_not_pass_for_exact() -> None:
    """Step 47 was thinned away, and nothing behind it is left to tell of that."""
    curve = Curve(16)
    for step in [*range(0, 90, 3), 40]:
        curve.add(step, float(step % 11))
    curve.forget_after(50)
    assert curve.exact_from == 51
    for step in range(20):
        curve.add(step, 0.0)
    assert curve.exact_from == 51


def test_the_earliest_of_equal_values_is_the_best() -> None:
    curve = Curve()
    for step, value in enumerate((3.0, 1.0, 1.0, 3.0)):
        curve.add(step, value)
    assert curve.best("lower") == (1.0, 1)
    assert curve.best("higher") == (3.0, 0)
    assert Curve().best("lower") is None


def test_a_curve_that_may_keep_less_is_thinned_at_once() -> None:
    curve = long_curve(5000)
    curve.restrict(1024)
    assert len(curve) <= 1024 // 4 + 4
    assert curve.points()[-1][0] == 14_997
    assert max(value for _, value in curve.points()) == 5000.0

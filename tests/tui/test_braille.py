"""Lines of braille."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.tui.braille import braille_cells
from workbench.tui.plot import Bounds

UNIT = (0.0, 0.0, 1.0, 1.0)
CURVES = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30
).map(sorted)  # fmt: skip


def dots(cells: dict[tuple[int, int], str]) -> set[tuple[int, int]]:
    """All dots as (column, row), counted from the upper left."""
    bits = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
    return {
        (2 * column + x, 4 * row + y)
        for (column, row), char in cells.items()
        for number, (x, y) in enumerate(bits)
        if (ord(char) - 0x2800) >> number & 1
    }


@given(points=CURVES, width=st.integers(1, 30), height=st.integers(1, 12))
def test_a_line_goes_through_its_points_without_a_gap(
    points: list[tuple[float, float]], width: int, height: int
) -> None:
    drawn = dots(braille_cells(points, UNIT, width, height))
    columns = {}
    for x, y in drawn:
        assert 0 <= x < 2 * width
        assert 0 <= y < 4 * height
        columns.setdefault(x, []).append(y)
    for x, y in points:
        place = int(0.5 + x * (2 * width - 1)), 4 * height - 1 - int(0.5 + y * (4 * height - 1))
        assert place in drawn
    first, last = min(columns), max(columns)
    for x in range(first, last + 1):
        assert len(columns[x]) == max(columns[x]) - min(columns[x]) + 1, "a column has one run"
        if x > first:
            before, here = columns[x - 1], columns[x]
            assert min(here) <= max(before) + 1
            assert min(before) <= max(here) + 1


def test_a_known_picture() -> None:
    rising = braille_cells([(0, 0), (1, 1)], UNIT, 4, 2)
    rows = ["".join(rising.get((x, y), " ") for x in range(4)) for y in range(2)]
    assert rows == ["  ⡠⠊", "⡠⠊  "]


def test_cells_and_axis_agree() -> None:
    """A mark at a point's x stands in the column that the curve has it in."""
    bounds = Bounds(0, 100, 0, 1)
    for x in range(0, 101, 7):
        cells = braille_cells([(x, 0.5)], (0, 0, 100, 1), 20, 5)
        assert {column for column, _ in cells} == {bounds.column(x, 20, fine=True)}
        assert {row for _, row in cells} == {bounds.row(0.5, 5, fine=True)}

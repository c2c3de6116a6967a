"""Arbitrary rows: no traceback, whatever the data hold."""

from __future__ import annotations

from typing import Any

from format_cases import CASES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.base.problems import ProblemError
from workbench.data.formats import names
from workbench.data.formats.catalogue import shapes
from workbench.data.formats.columns import ROLES
from workbench.data.formats.mapping import map_row
from workbench.data.formats.model import UnusableRowError, Wish
from workbench.data.formats.recognise import recognise
from workbench.data.formats.texts import example_parts

_KNOWN = sorted(
    {
        *(word for words in vars(names).values() if isinstance(words, tuple) for word in words),
        *(name for case in CASES for row in case.rows for name in row),
        *("role", "from", "value", "content", "type", "tool_calls", "replies", "rank", "images"),
    }
)
_WORDS = st.sampled_from(
    ("user", "human", "assistant", "gpt", "system", "tool", "function_call", "text", "a", "2", "")
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | _WORDS
    | st.text(max_size=6)
    | st.sampled_from(("\n\nHuman: x\n\nAssistant: y", "\n\nHuman: x\n\nAssistant:"))
)
_KEYS = st.sampled_from(_KNOWN) | st.text(max_size=4)
_MESSAGES = st.lists(
    st.fixed_dictionaries({"role": _WORDS, "content": _LEAVES}),
    max_size=4,
)
_VALUES = st.recursive(
    _LEAVES | _MESSAGES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_ROWS = st.lists(st.dictionaries(_KEYS, _VALUES, max_size=6), min_size=1, max_size=4)
_WISHES = st.builds(
    Wish,
    data_format=st.sampled_from(("", "", "", *shapes())),
    columns=st.just({}) | st.dictionaries(st.sampled_from(sorted(ROLES)), _KEYS, max_size=3),
    pairs=st.sampled_from(("all", "adjacent", "best_worst")),
)


def look(rows: list[dict[str, Any]], wish: Wish) -> None:
    try:
        found = recognise(rows, wish)
    except ProblemError:
        return
    assert 0 <= found.confidence <= 1
    assert bool(found.stage) != bool(found.missing)
    for row in rows:
        try:
            made = map_row(found, row, wish)
        except UnusableRowError:
            continue
        for pair in made:
            prompt, answers = example_parts(pair, found.stage)
            assert isinstance(prompt, str)
            assert len(answers) == (2 if found.stage == "dpo" else 1)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(_ROWS, _WISHES)
def test_arbitrary_rows(rows: list[dict[str, Any]], wish: Wish) -> None:
    look(rows, wish)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(CASES), st.data())
def test_rows_of_a_shape_with_other_values(case: Any, data: st.DataObject) -> None:
    """Rows that begin well: some cells, at any depth, hold something else."""
    row = _changed(case.rows[0], data)
    look([case.rows[0], row] if data.draw(st.booleans()) else [row], case.wish)


def _changed(value: Any, data: st.DataObject, depth: int = 0) -> Any:
    if depth and data.draw(st.integers(0, 5)) == 0:
        return data.draw(_VALUES)
    if isinstance(value, dict):
        return {key: _changed(cell, data, depth + 1) for key, cell in value.items()}
    if isinstance(value, list):
        return [_changed(cell, data, depth + 1) for cell in value]
    return value

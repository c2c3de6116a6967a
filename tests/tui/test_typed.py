"""What typed text means, and how values are shown."""

from __future__ import annotations

import pytest

from workbench.recipe.yaml_edit import REMOVE
from workbench.tui.typed import from_text, to_text


@pytest.mark.parametrize(
    ("type_name", "typed", "value"),
    [
        ("int", "16", 16),
        ("float", "3e-5", 3e-5),
        ("float", "a lot", "a lot"),
        ("float", "  ", REMOVE),
        ("list", "[q_proj, k_proj]", ["q_proj", "k_proj"]),
        ("list", "q_proj", ["q_proj"]),
        ("list", "1.0, 0.5", [1.0, 0.5]),
        ("list", '["a, b", c]', ["a, b", "c"]),
        ("dict", "{use_reentrant: false}", {"use_reentrant": False}),
        ("dict", "{use_reentrant: ", "{use_reentrant:"),
        ("str", "12", "12"),
        ("str", "[x", "[x"),
        ("lines", "one\n\n two \n", ["one", "two"]),
        ("new_set", "data/pairs.jsonl", {"path": "json", "data_files": "data/pairs.jsonl"}),
        ("new_set", "a.PARQUET", {"path": "parquet", "data_files": "a.PARQUET"}),
        ("new_set", "trl-lib/ultrafeedback", {"path": "trl-lib/ultrafeedback"}),
        ("any", "true", True),
    ],
)
def test_typed_text_becomes_a_value_of_the_type(type_name: str, typed: str, value: object) -> None:
    result = from_text(type_name, typed)
    assert result is value if value is REMOVE else result == value


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("float", 5e-05),
        ("float", 0.30000000000000004),
        ("list", ["a", "b c"]),
        ("list", ["a, b", "c"]),
        ("list", []),
        ("list", [1, 0.5, True]),
        ("list", ["", " x"]),
        ("dict", {"a": [1, {"b": None}]}),
        ("bool", False),
    ],
)
def test_a_shown_text_reads_back_as_its_value(type_name: str, value: object) -> None:
    assert from_text(type_name, to_text(value)) in (value, REMOVE if value == [] else value)


def test_values_as_text() -> None:
    assert to_text(["a", "b"]) == "a, b"
    shown = [
        to_text(value) for value in (5e-05, 2e-4, 1.23456e-5, 0.1, 3.0, 1e-3, 0.30000000000000004)
    ]
    assert shown == ["5e-5", "2e-4", "1.23456e-5", "0.1", "3", "0.001", "0.30000000000000004"]
    assert to_text(None) == ""

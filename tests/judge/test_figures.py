"""Values and intervals in words."""

from __future__ import annotations

import math

import pytest

from workbench.judge.figures import estimate, number, percent


def test_numbers_keep_the_digits_that_count() -> None:
    assert [number(value) for value in (0.12345, -12.345, 1234.5, 0, 5)] == [
        "0.123", "-12.3", "1234", "0", "5"
    ]  # fmt: skip
    assert number(0.12345, 2) == "0.12"
    assert percent(0.623) == "62 %"


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "0.5", True, [1]])
def test_what_is_no_number_is_a_dash(value: object) -> None:
    assert (number(value), percent(value), estimate({"value": value})) == ("-", "-", "-")


def test_a_value_never_stands_without_its_interval() -> None:
    found = {"value": 0.7361, "low": 0.6, "high": 0.87, "n": 50}
    assert estimate(found) == "0.736 (0.6 to 0.87)"
    assert estimate(found, narrow=True) == "0.736 [0.6, 0.87]"
    assert estimate(found, share=True, narrow=True) == "74 % [60 %, 87 %]"
    assert estimate({"value": 0.5}) == "0.5 (no interval)"
    assert estimate({"value": 0.5, "low": math.nan, "high": math.nan}) == "0.5 (no interval)"
    assert estimate(None) == "-"


def test_an_interval_of_a_share_without_width_is_wilsons() -> None:
    sure = {"value": 1.0, "low": 1.0, "high": 1.0, "n": 12}
    assert estimate(sure, share=True) == "100 % (76 % to 100 %)"
    assert estimate(sure, share=True, narrow=True) == "100 % [76 %, 100 %]"
    assert estimate(sure) == "1 (1 to 1)"
    impossible = {"value": 3.0, "low": 3.0, "high": 3.0, "n": 12}
    assert estimate(impossible, share=True) == "300 % (300 % to 300 %)"

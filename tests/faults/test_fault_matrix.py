"""Each row of the fault matrix has a test that injects its fault.

A test names its rows in its docstring: "Row 28.", "Rows 11, 48 and 49: ...".
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROWS = frozenset(range(1, 61))
NOT_APPLICABLE: dict[int, str] = {}
"""Rows that no test can be written for, each with the reason."""

CITATION = re.compile(r"\bRows? (\d+(?:(?:, | and |, and )\d+)*)")
TestFunction = ast.FunctionDef | ast.AsyncFunctionDef


def citations(source: str) -> Iterator[tuple[str, int]]:
    """Names of a module's tests with the rows that they cite; skipped tests cite nothing."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, TestFunction) or not node.name.startswith("test_"):
            continue
        if any(is_skip(decorator) for decorator in node.decorator_list):
            continue
        for found in CITATION.finditer(ast.get_docstring(node) or ""):
            for number in re.findall(r"\d+", found[1]):
                yield node.name, int(number)


def is_skip(decorator: ast.expr) -> bool:
    """Whether a decorator turns the test off on every machine."""
    return re.fullmatch(r"pytest\.mark\.(skip|xfail)\b.*", ast.unparse(decorator)) is not None


@pytest.fixture(scope="module")
def cited() -> dict[int, list[str]]:
    """The tests of each row, `file::name`."""
    found: dict[int, list[str]] = {}
    for file in sorted(TESTS.rglob("test_*.py")):
        for name, row in citations(file.read_text(encoding="utf-8")):
            found.setdefault(row, []).append(f"{file.relative_to(TESTS)}::{name}")
    return found


def test_every_row_has_a_test(cited: dict[int, list[str]]) -> None:
    assert sorted(ROWS - cited.keys() - NOT_APPLICABLE.keys()) == []


def test_no_row_is_cited_that_is_none(cited: dict[int, list[str]]) -> None:
    assert {row: tests for row, tests in cited.items() if row not in ROWS} == {}
    assert cited.keys() & NOT_APPLICABLE.keys() == set()


def test_what_counts_as_a_citation() -> None:
    source = '''
def test_one():
    """Row 7."""
async def test_more():
    """Each is shown. Rows 11, 48 and 49: in every screen."""
class TestIn:
    def test_inside(self):
        """Row 3: a typo."""
@pytest.mark.skip(reason="later")
def test_off():
    """Row 8."""
@pytest.mark.parametrize("skip", [1])
def test_not_off():
    """Row 9; row 10 is another's."""
def helper():
    """Row 12."""
def test_silent():
    "Nothing of row 5."
    text = """Row 6."""
'''
    assert sorted(citations(source)) == [
        ("test_inside", 3),
        ("test_more", 11),
        ("test_more", 48),
        ("test_more", 49),
        ("test_not_off", 9),
        ("test_one", 7),
    ]

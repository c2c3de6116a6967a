from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.base.paths import Paths, is_safe_name, safe_name
from workbench.base.problems import Problem, ProblemError


def test_one_variable_moves_everything(tmp_path: Path) -> None:
    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(tmp_path)})
    assert paths.runs == tmp_path / "runs"
    assert paths.recipes == tmp_path / "recipes"
    assert paths.models == tmp_path / "cache" / "models"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("", "unnamed"),
        ("..", "unnamed"),
        ("-rf", "rf"),
        ("my run\n\x1b[2J", "my-run-2J"),
        ("a" * 300, "a" * 64),
        ("smol.v2_x", "smol.v2_x"),
    ],
)
def test_names_for_files(text: str, name: str) -> None:
    assert safe_name(text) == name


@given(st.text())
def test_safe_names_are_safe(text: str) -> None:
    assert is_safe_name(safe_name(text))


def test_a_problem_reads_as_a_sentence() -> None:
    problem = Problem("beta: -1 is below 0", "trial.yaml:3:1", "Write a number such as 0.1.")
    assert str(problem) == "trial.yaml:3:1: beta: -1 is below 0. Write a number such as 0.1."
    assert str(ProblemError(problem, Problem("again"))) == f"{problem}\nagain."

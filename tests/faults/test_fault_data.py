"""Data that cannot be trained on, told before anything is launched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_model import write_tiny_recipe

from workbench.base.paths import Paths
from workbench.base.problems import Problem
from workbench.recipe.checks import check
from workbench.recipe.recipe import load_recipe


def problems_of(folder: Path, rows: list[dict[str, Any]], more: str = "") -> list[Problem]:
    """What is said before the launch about a DPO recipe on the given rows."""
    recipe = write_tiny_recipe(folder / "r.yaml", Path("org/m"), stages=("dpo",), more=more)
    # The tiny model needs a rate that a real one would be warned of.
    text = recipe.read_text().replace("learning_rate: 1.0e-2", "learning_rate: 1.0e-5")
    recipe.write_text(text.replace("eval_steps: 100", "eval_steps: 1"))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data" / "prefs.jsonl").write_text(lines)
    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(folder / "home")})
    return check(load_recipe(recipe), paths)


PAIR = {"prompt": "a", "chosen": "b", "rejected": "c"}


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([], "row"),
        ([{"prompt": "a", "good": "b"}] * 8, "nearest are pairs"),
        ([{**PAIR, "chosen": 3}] * 8, "no row fits: chosen is neither a"),
        ([{**PAIR, "chosen": None}] * 8, "no row fits: chosen is missing"),
        ([PAIR] * 3 + [{**PAIR, "chosen": 7}], "row 4: chosen is a number, in the first row a te"),
        ([PAIR, {"prompt": "a", "chosen": "b"}], "row 2: rejected is empty, in the first row"),
        ([PAIR, {**PAIR, "prompt": [{"role": "user", "content": "a"}]}], "row 2: prompt is a list"),
    ],
)
def test_data_that_cannot_be_trained_on(
    rows: list[dict[str, Any]], what: str, tmp_path: Path
) -> None:
    """Rows 15 and 16: told before the launch."""
    found = problems_of(tmp_path, rows)
    assert any(what in problem.what and problem.severity == "error" for problem in found), found
    assert all(problem.next_step for problem in found)


def test_pairs_without_a_preference_are_counted(tmp_path: Path) -> None:
    """Row 17: a warning, for the loss would stay where it begins."""
    rows = [PAIR, {**PAIR, "chosen": "c"}, {**PAIR, "rejected": ""}, *[PAIR] * 5]
    (found,) = problems_of(tmp_path, rows)
    assert found.what == "prefs.jsonl: 2 of 8 rows have equal answers, or an empty one"
    assert found.severity == "warning"


def test_fewer_rows_than_one_batch(tmp_path: Path) -> None:
    """Row 19: of 4 rows one is held out."""
    rows = [PAIR] * 4
    (found,) = problems_of(tmp_path, rows, "dataloader_drop_last: true\n")
    assert found.what == "3 rows fill no batch of 4, and dataloader_drop_last drops the rest"
    assert "per_device_train_batch_size" in found.next_step
    (found,) = problems_of(tmp_path, rows)
    assert found.severity == "warning"  # the step is made of 3 rows
    assert problems_of(tmp_path, rows * 2, "dataloader_drop_last: true\n") == []

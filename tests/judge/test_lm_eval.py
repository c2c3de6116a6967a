"""lm_eval as an external command, with a script in its place."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.base.problems import ProblemError
from workbench.judge.lm_eval import find_lm_eval, model_arguments, run_lm_eval, table_of

STUB = """#!{python}
import json, pathlib, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
folder = pathlib.Path(given["--output_path"]) / "some__model"
folder.mkdir(parents=True)
tuned = "peft=" in given["--model_args"]
score = {{"alias": "arc_easy", "acc,none": 0.5 if tuned else 0.25, "acc_stderr,none": 0.01}}
result = {{"results": {{"arc_easy": score}}, "lm_eval_version": "0.4.9", "given": given}}
(folder / "results_2026.json").write_text(json.dumps(result))
(pathlib.Path({kept!r}) / ("tuned" if tuned else "base")).write_text(json.dumps(given))
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Put a command `lm_eval` on an otherwise empty PATH."""

    def write(script: str) -> str:
        file = tmp_path / "bin" / "lm_eval"
        file.parent.mkdir()
        file.write_text(script)
        file.chmod(0o700)
        monkeypatch.setenv("PATH", str(file.parent))
        return find_lm_eval()

    return write


@pytest.fixture
def summary(tmp_path: Path) -> dict[str, Any]:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    weights = {"base": {"folder": ""}, "tuned": {"folder": str(adapter)}}
    model = {"model": "/models/small", "dtype": "float32", "device": "cpu"}
    return {"sides": ["base", "tuned"], "weights": weights, **model}


def test_both_sides_are_run_and_read(
    command: Callable[[str], str], summary: dict[str, Any], tmp_path: Path
) -> None:
    program = command(STUB.format(python=sys.executable, kept=str(tmp_path)))
    said: list[str] = []
    found = run_lm_eval(program, summary, "arc_easy", limit=5, say=said.append)
    assert said == ["lm_eval arc_easy on base", "lm_eval arc_easy on tuned"]
    assert found["table"] == [
        {
            "task": "arc_easy",
            "metric": "acc",
            "values": {
                "base": {"value": 0.25, "stderr": 0.01},
                "tuned": {"value": 0.5, "stderr": 0.01},
            },
        }
    ]
    assert (found["version"], found["limit"]) == ("0.4.9", 5)
    given = json.loads((tmp_path / "tuned").read_text())
    folder = summary["weights"]["tuned"]["folder"]
    assert given["--model_args"] == f"pretrained=/models/small,peft={folder},dtype=float32"
    assert (given["--tasks"], given["--device"], given["--limit"]) == ("arc_easy", "cpu", "5")


def test_whole_weights_are_the_model_themselves(summary: dict[str, Any], tmp_path: Path) -> None:
    assert model_arguments(summary, str(tmp_path)) == f"pretrained={tmp_path},dtype=float32"
    with pytest.raises(ProblemError, match="a path with a comma"):
        model_arguments(summary, f"{tmp_path},peft=/other")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "#!/bin/sh\necho 'Tasks not found: x' >&2\nexit 1\n",
            "lm_eval failed: Tasks not found: x",
        ),
        ("#!/bin/sh\nexit 3\n", "lm_eval failed: exit code 3"),
        ("#!/bin/sh\nexit 0\n", "lm_eval left no result"),
    ],
)
def test_a_failure_is_one_problem(
    script: str, message: str, command: Callable[[str], str], summary: dict[str, Any]
) -> None:
    with pytest.raises(ProblemError, match=message):
        run_lm_eval(command(script), summary, "x")


def test_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProblemError, match=r"not installed. Install it .*pip install 'lm_eval"):
        find_lm_eval()


def test_filters_and_odd_values() -> None:
    metrics = {"exact_match,strict-match": 0.1, "exact_match_stderr,strict-match": "N/A"}
    task = {**metrics, "alias": "gsm8k", "odd,none": "text"}
    assert table_of({"base": {"gsm8k": task, "broken": 3}}) == [
        {
            "task": "gsm8k",
            "metric": "exact_match (strict-match)",
            "values": {"base": {"value": 0.1, "stderr": None}},
        }
    ]

"""The client of the deeper check, with workers of a few lines in place of the real one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.recipe import Recipe, load_recipe
from workbench.run.deep import deep_check, events, resolve_all
from workbench.run.resolved import settings_of

Make = Callable[..., Recipe]
RECIPE = """\
model_name_or_path: org/model
dataset_name: org/pairs
use_peft: true
learning_rate: 1e-5
max_length: 64
"""
HEAD = """
import json, os, sys, time
job = json.load(open(os.path.join(sys.argv[1], "job.json")))
def say(event, stage="", **values):
    print(json.dumps({"event": event, "stage": stage, **values}), flush=True)
"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets a text of Python answer in place of the real worker."""
    folder = tmp_path / "workers"
    folder.mkdir()

    def use(code: str) -> None:
        (folder / "stand_in.py").write_text(HEAD + code)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        monkeypatch.setattr("workbench.run.deep.WORKER", "stand_in")

    return use


def test_what_the_worker_says_gets_its_place(
    worker: Callable[[str], None], make_recipe: Make, paths: Paths
) -> None:
    worker(
        "print('a library speaks')\n"
        "say('progress', message='reading\\x1b[2J')\n"
        "say('problem', 'dpo', what='too long', where='max_length', next_step='Less.')\n"
        "say('problem', 'dpo', what='odd', where='datasets', severity='warning')\n"
        "say('stage', 'dpo', rows=12, modules=4)\n"
        "say('end')\n"
    )
    said: list[str] = []
    report = deep_check(make_recipe(RECIPE, stage="dpo"), paths, say=said.append)
    assert [str(problem) for problem in report.problems] == [
        "trial.yaml:2:1: odd.",
        "trial.yaml:5:1: too long. Less.",
    ]
    assert [problem.severity for problem in report.problems] == ["warning", "error"]
    assert report.stages == {"dpo": {"rows": 12, "modules": 4}}
    assert said == ["reading"]
    assert report.looked


@pytest.mark.parametrize(
    ("code", "last"),
    [
        ("print('Error: no torch\\x1b[0m\\n', file=sys.stderr); sys.exit(1)", "Error: no torch"),
        ("os.kill(os.getpid(), 9)", "it said nothing"),
    ],
)
def test_a_worker_that_dies_is_one_problem(
    code: str, last: str, worker: Callable[[str], None], make_recipe: Make, paths: Paths
) -> None:
    worker(code)
    (problem,) = deep_check(make_recipe(RECIPE, stage="dpo"), paths).problems
    assert problem.what == f"the deeper look has failed: {last}"
    assert "doctor" in problem.next_step
    assert problem.severity == "error"


def test_a_recipe_with_errors_is_not_looked_into(
    worker: Callable[[str], None], make_recipe: Make, paths: Paths, tmp_path: Path
) -> None:
    worker(f"open({str(tmp_path / 'seen')!r}, 'w')")
    report = deep_check(make_recipe(f"{RECIPE}beta: -1\n", stage="dpo"), paths)
    assert len(report.problems) == 1
    assert not report.looked
    assert not (tmp_path / "seen").exists()
    with pytest.raises(ProblemError, match="beta"):
        resolve_all(make_recipe(f"{RECIPE}beta: -1\n", stage="dpo"), paths)


def test_a_missing_package_is_an_error_on_this_machine(
    worker: Callable[[str], None], make_recipe: Make, paths: Paths
) -> None:
    worker("say('end')")
    recipe = make_recipe(f"{RECIPE}report_to: clearml\n", stage="dpo")
    (problem,) = deep_check(recipe, paths).problems
    assert "needs the package clearml" in problem.what
    assert problem.severity == "error"


def test_what_check_has_said_is_not_said_again(
    worker: Callable[[str], None], make_recipe: Make, paths: Paths, tmp_path: Path
) -> None:
    worker(
        "say('problem', 'dpo', what='1 of 8 pairs have equal answers', severity='warning')\n"
        "say('problem', 'dpo', what='1 of 8 rows have an empty answer', severity='warning')\n"
        "say('end')\n"
    )
    rows = ['{"prompt": "a", "chosen": "b", "rejected": "b"}'] * 16
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    text = RECIPE.replace("dataset_name: org/pairs", "dataset_name: rows.jsonl")
    said = [one.what for one in deep_check(make_recipe(text, stage="dpo"), paths).problems]
    assert said == ["rows.jsonl: 16 of 16 rows have equal answers, or an empty one"]
    assert len(deep_check(make_recipe(RECIPE, stage="dpo"), paths).problems) == 2


def test_whoever_goes_away_ends_the_worker(
    worker: Callable[[str], None], make_recipe: Make, paths: Paths
) -> None:
    worker("say('progress', message=str(os.getpid()))\ntime.sleep(600)")
    asked = events(make_recipe(RECIPE, stage="dpo"), paths)
    pid = int(next(asked)["message"])
    assert psutil.pid_exists(pid)
    asked.close()
    assert not psutil.pid_exists(pid)


def test_the_worker_gets_the_configs_and_the_allowed_variables(
    worker: Callable[[str], None], make_recipe: Make, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker(
        "text = open(os.path.join(sys.argv[1], 'dpo.yaml')).read()\n"
        "say('problem', what=text + os.environ['OMP_NUM_THREADS'] + str(job))\n"
        "say('end')\n"
    )
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    recipe = make_recipe(f"{RECIPE}env: {{OMP_NUM_THREADS: 3}}\n", stage="dpo")
    (problem,) = deep_check(recipe, paths, trusted_model="org/model").problems
    assert "max_length: 64" in problem.what
    assert "3{'stages': ['dpo'], 'model': 'org/model'" in problem.what
    assert "'trusted_model': 'org/model', 'resolve_only': False, 'wishes': {'dpo'" in problem.what
    assert "OMP_NUM_THREADS" not in os.environ


def test_each_setting_says_where_it_comes_from(make_recipe: Make) -> None:
    text = "dpo:\n  beta: 0.3\n  max_length: 64\nlora_r: 8\nhub_token:\n"
    recipe = load_recipe(make_recipe(text).path)
    values = {
        "beta": 0.3,
        "max_length": 64,
        "lora_r": 8,
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "do_eval": True,
        "seed": 42,
        "model_name_or_path": "a/hf_" + "Abcdefghij0123456789klmnopqrstuvwx",
    }
    found = {
        one.key: one for one in settings_of(recipe, "dpo", values, {"use_cpu": True}, ["dpo.beta"])
    }
    assert {key: one.origin for key, one in found.items()} == {
        "model_name_or_path": "TRL",
        "lora_r": "trial.yaml:4:1",
        "use_cpu": "this machine",
        "report_to": "the workbench",
        "disable_tqdm": "the workbench",
        "do_eval": "TRL",
        "seed": "",
        "beta": "--set",
        "max_length": "trial.yaml:3:3",
    }
    assert "Abcdefghij" not in found["model_name_or_path"].value
    assert (found["beta"].value, found["beta"].default) == (0.3, 0.1)

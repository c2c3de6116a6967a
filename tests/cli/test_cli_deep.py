"""check --deep, show --resolved, show --diff, and --set on both."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.cli import main
from workbench.run.deep import DeepReport
from workbench.run.directory import RunDirectory

Capture = pytest.CaptureFixture[str]
FIGURES = {
    "rows": 12,
    "held_out": None,
    "sample": 12,
    "tokens": {"prompt": {"p50": 4, "p95": 5, "max": 6}},
    "truncated": 3,
    "dropped": 0,
    "modules": 8,
    "trainable": 1024,
    "total": 102400,
}


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the worker would say, without it."""

    def deep(recipe: Any, paths: Any, **_: Any) -> DeepReport:
        return DeepReport([], {"dpo": FIGURES}, {}, looked=True)

    def resolve(recipe: Any, paths: Any, **_: Any) -> DeepReport:
        values = {"beta": recipe.get("beta", "dpo"), "use_cpu": True, "seed": 42}
        found = {"dpo": {"values": values, "hardware": {"use_cpu": True}}}
        return DeepReport([], {}, found, looked=True)

    monkeypatch.setattr("workbench.cli.deep.deep_check", deep)
    monkeypatch.setattr("workbench.cli.deep.resolve_all", resolve)


def test_deep_says_what_a_stage_comes_to(
    recipe_file: Path, libraries: None, capsys: Capture
) -> None:
    assert main(["check", "--deep", "short.yaml"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "dpo: 12 rows: 25 % truncated, 0 % dropped",
        "dpo: tokens (p50/p95/max): prompt 4/5/6",
        "dpo: 8 modules adapted, trains 1,024 of 102,400 parameters (1.00 %)",
        "short.yaml: ready to train",
    ]
    assert main(["check", "--deep", "--json", "short.yaml"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["deep"] == {"dpo": FIGURES}


def test_deep_of_a_bad_recipe_is_the_check_of_it(recipe_file: Path, capsys: Capture) -> None:
    assert main(["check", "--deep", "short.yaml", "--set", "beta=-1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [
        "the model and the data are looked at once these are mended",
        "short.yaml: 1 to mend",
    ]


def test_set_passes_the_same_checks_everywhere(recipe_file: Path, capsys: Capture) -> None:
    bad = ["--set", "beta=-1"]
    assert main(["check", "short.yaml", *bad]) == 1
    said = [capsys.readouterr().out.splitlines()[0]]
    for command in ("run", "show"):
        assert main([command, "short.yaml", *bad]) == 1
        said.append(capsys.readouterr().err.splitlines()[0])
    assert set(said) == {"short.yaml:4:1: beta: -1 is not above 0. Write a number such as 0.1."}
    assert main(["check", "short.yaml", "--set", "betta=1"]) == 1
    assert "--set: there is no key betta. Did you mean beta?" in capsys.readouterr().out
    assert main(["show", "short.yaml", "--set", "beta=0.5"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["beta"] == 0.5


def test_resolved_is_yaml_that_says_where_values_come_from(
    recipe_file: Path, libraries: None, capsys: Capture
) -> None:
    assert main(["show", "--resolved", "short.yaml", "--set", "beta=0.5"]) == 0
    out = capsys.readouterr().out
    assert yaml.safe_load(out) == {"beta": 0.5, "use_cpu": True, "seed": 42}
    ends = {line.split(":")[0]: line.partition("  # ")[2] for line in out.splitlines()[1:]}
    assert ends == {"beta": "--set", "use_cpu": "this machine", "seed": ""}
    assert main(["show", "--resolved", "--json", "short.yaml"]) == 0
    (stage,) = json.loads(capsys.readouterr().out)
    assert stage["settings"]["beta"] == {"value": 0.1, "default": 0.1, "from": "short.yaml:4:1"}


def test_diff_of_recipes_and_runs(
    recipe_file: Path, make_run: Callable[..., RunDirectory], capsys: Capture
) -> None:
    other = recipe_file.with_name("other.yaml")
    other.write_text(recipe_file.read_text().replace("beta: 0.1", "beta: 0.4"))
    assert main(["show", "--diff", "short.yaml", "other.yaml"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "recipe short.yaml -> recipe other.yaml",
        "dpo:",
        "  beta: 0.1 -> 0.4",
    ]
    run = make_run(name="other")
    assert main(["show", "--diff", "other", "other.yaml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sides"][0] == {"name": run.id, "kind": "run"}
    assert found["differences"] == [{"group": "dpo", "key": "beta", "before": 0.1, "after": 0.4}]
    assert main(["show", "--diff", "short.yaml", "last"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing differs"


def test_a_name_that_a_run_and_a_recipe_have_is_told(
    home: Path, make_run: Callable[..., RunDirectory], capsys: Capture
) -> None:
    run = make_run(name="quickstart")
    assert main(["show", "--diff", "quickstart", "quickstart"]) == 0
    told = f"quickstart is read as a recipe; the run {run.id} has this name too"
    assert told in capsys.readouterr().out


def test_show_of_nothing_is_bad_usage(home: Path, capsys: Capture) -> None:
    assert main(["show"]) == 2
    assert "Give a RECIPE, or two with --diff A B." in capsys.readouterr().err
    assert main(["show", "--diff", "nowhere", "last"]) == 2


def test_show_as_json_has_config_and_totals(recipe_file: Path, capsys: Capture) -> None:
    assert main(["show", "short.yaml", "--json"]) == 0
    (stage,) = json.loads(capsys.readouterr().out)
    assert (stage["stage"], stage["steps"], stage["config"]["beta"]) == ("dpo", 6, 0.1)

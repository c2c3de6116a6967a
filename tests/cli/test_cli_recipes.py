"""recipes, check and show."""

import json
from pathlib import Path

import pytest
import yaml

from workbench.cli import main

Capture = pytest.CaptureFixture[str]


def test_recipes_lists_the_user_s_and_the_shipped(home: Path, capsys: Capture) -> None:
    folder = home / "recipes"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        '# needs: CPU, 1 GB\ntitle: "Mine\\e[2J"\nmodel_name_or_path: x\nbeta: 0.1\n'
    )
    (folder / "torn.yaml").write_text("beta: [1,\n")
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "FROM", "STAGES", "NEEDS", "TITLE"]
    assert lines[1].split() == ["mine", "user", "dpo", "CPU,", "1", "GB", "Mine"]
    assert lines[2].startswith("torn")
    assert "torn.yaml:2:1" in lines[2]
    assert any(line.split()[:3] == ["quickstart", "shipped", "sft+dpo"] for line in lines)


def test_recipes_as_json(home: Path, capsys: Capture) -> None:
    assert main(["recipes", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert entries["quickstart"]["stages"] == ["sft", "dpo"]
    assert entries["quickstart"]["path"].endswith("quickstart.yaml")


def test_a_good_recipe(recipe_file: Path, capsys: Capture) -> None:
    assert main(["check", "short.yaml"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "short.yaml: ready to train"


def test_every_problem_of_every_recipe_is_told(recipe_file: Path, capsys: Capture) -> None:
    bad = recipe_file.with_name("bad.yaml")
    bad.write_text(recipe_file.read_text() + "learning_rte: 1\nmax_length: 12.5\n")
    assert main(["check", "short.yaml", "bad.yaml", "nowhere"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "bad.yaml:9:1: there is no setting learning_rte. Did you mean learning_rate?" in lines
    assert any(line.startswith("bad.yaml:10:") for line in lines)
    assert any(line.startswith("nowhere: there is no such recipe. Known: ") for line in lines)
    assert lines.index("short.yaml: ready to train") < lines.index("bad.yaml: 2 to mend")
    assert lines[-1] == "nowhere: 1 to mend"


def test_check_as_json(recipe_file: Path, capsys: Capture) -> None:
    bad = recipe_file.with_name("bad.yaml")
    bad.write_text(recipe_file.read_text() + "learning_rte: 1\n")
    assert main(["check", "short.yaml", "bad.yaml", "--json"]) == 1
    good, wrong = json.loads(capsys.readouterr().out)
    assert (good["recipe"], good["ok"], wrong["ok"]) == ("short.yaml", True, False)
    assert {
        "what": "there is no setting learning_rte",
        "where": "bad.yaml:9:1",
        "next_step": "Did you mean learning_rate?",
        "severity": "error",
    } in wrong["problems"]


def test_show_is_the_config_that_trl_reads(recipe_file: Path, home: Path, capsys: Capture) -> None:
    assert main(["show", "short.yaml"]) == 0
    out = capsys.readouterr().out
    config = yaml.safe_load(out)
    assert config["model_name_or_path"] == str(recipe_file.with_name("tiny"))
    assert config["datasets"][0]["data_files"] == str(recipe_file.with_name("prefs.jsonl"))
    assert config["output_dir"] == str(home / "runs" / "RUN" / "dpo")
    assert "title" not in config
    comments = [line for line in out.splitlines() if line.startswith("#")]
    assert comments[:4] == [
        "# Short answers: stage dpo, as `trl dpo --config` reads it",
        "# effective batch size: 6",
        "# rows: 12",
        "# steps: 6",
    ]
    assert comments[4].startswith("# trainable: ")


def test_show_of_one_stage_of_a_shipped_recipe(home: Path, capsys: Capture) -> None:
    assert main(["show", "quickstart"]) == 0
    both = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [Path(config["output_dir"]).name for config in both] == ["sft", "dpo"]
    assert main(["show", "quickstart", "--stage", "dpo"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == both[1]


def test_a_copy_keeps_the_text_and_takes_settings(
    recipe_file: Path, home: Path, capsys: Capture
) -> None:
    assert main(["copy", "short.yaml", "mine", "--set", "beta=0.3"]) == 0
    assert "Next: dpo-workbench check mine" in capsys.readouterr().out
    assert main(["show", "--text", "short.yaml"]) == 0
    before = capsys.readouterr().out
    assert before == recipe_file.read_text(encoding="utf-8")
    assert main(["show", "--text", "mine"]) == 0
    changed = capsys.readouterr().out
    assert "beta: 0.3" in changed
    assert [line for line in before.splitlines() if line.startswith("#")] == [
        line for line in changed.splitlines() if line.startswith("#")
    ]
    assert main(["check", "mine"]) == 0
    assert main(["copy", "short.yaml", "mine"]) == 1
    assert "Choose another name" in capsys.readouterr().err


def test_show_of_a_stage_that_is_not_there(home: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["show", "quickstart", "--stage", "ppo"])
    assert "choose from 'sft', 'dpo'" in capsys.readouterr().err


def test_show_of_an_unknown_recipe(home: Path, capsys: Capture) -> None:
    assert main(["show", "quikstart"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("quikstart: there is no such recipe. Known: ")
    assert err.count("\n") == 1


def test_show_of_a_bad_recipe_names_the_place(recipe_file: Path, capsys: Capture) -> None:
    recipe_file.write_text(recipe_file.read_text() + "lora_r: 0\n")
    assert main(["show", "short.yaml"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "short.yaml:9:" in captured.err


def test_schema_explains_a_setting(home: Path, capsys: Capture) -> None:
    assert main(["schema", "loss_weights"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "loss_weights [dpo only]: list, default none"
    assert lines[1].startswith("    Loss weights, usual: 1 for the first")
    assert lines[2].startswith("    One factor for each entry")
    assert any(line.startswith("    TRL: List of loss weights") for line in lines)
    assert max(map(len, lines)) <= 80


def test_schema_tells_usual_values_by_stage_and_each_choice(home: Path, capsys: Capture) -> None:
    assert main(["schema", "learning_rate"]) == 0
    assert "usual: SFT 1e-4 to 5e-4; DPO 5e-6 to 5e-5\n" in capsys.readouterr().out
    assert main(["schema", "loss_type"]) == 0
    assert "    - robust: expects a share of wrong labels (rDPO)\n" in capsys.readouterr().out
    assert main(["schema", "max_length"]) == 0
    assert "    Longest row (tokens), usual: SFT 512" in capsys.readouterr().out


def test_schema_finds_by_label(home: Path, capsys: Capture) -> None:
    assert main(["schema", "adapter", "dropout"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("lora_dropout: float")
    assert "use_dora" not in out
    assert main(["schema", "probe prompts"]) == 0
    assert capsys.readouterr().out.startswith("probe_prompts\n    Probe prompts, usual")


def test_schema_finds_by_name_first_and_then_by_help(home: Path, capsys: Capture) -> None:
    assert main(["schema", "lora", "r"]) == 0
    assert "lora_r: int, default 16" in capsys.readouterr().out
    assert main(["schema", "shared", "prefix"]) == 0
    assert capsys.readouterr().out.startswith("shared_prefix\n    Compute prompts once")
    assert main(["schema", "nucleotide"]) == 2
    assert "no setting is called nucleotide" in capsys.readouterr().err
    assert main(["schema", "warmup_ratio"]) == 2
    assert "warmup_ratio is called warmup_steps now. Write" in capsys.readouterr().err
    assert main(["schema", "lerning_rat"]) == 2
    assert "Did you mean learning_rate?" in capsys.readouterr().err


def test_schema_as_json_is_a_json_schema(home: Path, capsys: Capture) -> None:
    assert main(["schema", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["properties"]["beta"]["exclusiveMinimum"] == 0
    assert found["properties"]["dpo"]["properties"]["loss_type"]["anyOf"][0]["enum"][0] == "sigmoid"

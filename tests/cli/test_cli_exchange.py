"""import and export."""

import json
import stat
from pathlib import Path

import pytest

from workbench.cli import main
from workbench.cli.parser import CONFIG_KINDS, EXPORT_KINDS
from workbench.recipe.exchange.exporting import NAMES
from workbench.recipe.exchange.importing import KINDS

Capture = pytest.CaptureFixture[str]
OLD = "model_name_or_path: org/base\ntorch_dtype: bfloat16\ndataset_name: org/pairs\nodd: 1\n"
TWO_STAGES = """\
title: Two stages
probe_prompts: [Hi]
shared_prefix: auto
model_name_or_path: org/base
use_peft: true
sft: {dataset_name: org/chats}
dpo: {dataset_name: org/pairs, beta: 0.2, learning_rate: 1.0e-5}
"""


@pytest.fixture
def old_file(home: Path) -> Path:
    file = Path.cwd() / "old config.yaml"
    file.write_text(OLD)
    return file


def test_the_parser_knows_the_kinds() -> None:
    assert tuple(KINDS) == CONFIG_KINDS
    assert tuple(NAMES) == EXPORT_KINDS


def test_an_import_is_saved_and_reported(home: Path, old_file: Path, capsys: Capture) -> None:
    assert main(["import", old_file.name]) == 0
    saved = home / "recipes" / "old-config.yaml"
    assert "\ndtype: bfloat16\n" in saved.read_text()
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    out = capsys.readouterr().out
    assert "old config.yaml is a configuration of an older TRL for DPO; 2 settings stay" in out
    assert "converted:\n  old config.yaml:2:1: torch_dtype -> dtype: bfloat16\n" in out
    assert "no equal, for you to decide:\n  old config.yaml:4:1: odd: " in out
    assert out.splitlines()[-1] == f"Saved {saved}. Next: dpo-workbench check old-config"
    assert main(["check", "old-config"]) == 0


def test_an_import_never_overwrites(home: Path, old_file: Path, capsys: Capture) -> None:
    assert main(["import", old_file.name, "--name", "mine"]) == 0
    saved = home / "recipes" / "mine.yaml"
    saved.write_text("beta: 0.3\n")
    assert main(["import", old_file.name, "--name", "mine"]) == 1
    assert saved.read_text() == "beta: 0.3\n"
    assert "there is a recipe mine already. Choose a name with --name" in capsys.readouterr().err


def test_an_import_can_be_printed(home: Path, old_file: Path, capsys: Capture) -> None:
    assert main(["import", old_file.name, "--print"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("# old config, imported from an older TRL\n\nmodel_name_or_path:")
    assert "torch_dtype -> dtype" in err
    assert not (home / "recipes").exists()


def test_what_check_will_say_is_said_at_once(home: Path, capsys: Capture) -> None:
    file = Path.cwd() / "flat.yaml"
    file.write_text("dataset_name: org/pairs\nbeta: -1\n")
    assert main(["import", "flat.yaml", "--print"]) == 0
    err = capsys.readouterr().err
    assert "still to mend or to know:" in err
    assert "flat.yaml: the recipe names no model" in err


def test_import_as_json(home: Path, old_file: Path, capsys: Capture) -> None:
    assert main(["import", old_file.name, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["kind"], record["stages"], record["ok"]) == ("old-trl", ["dpo"], True)
    assert record["saved"] == str(home / "recipes" / "old-config.yaml")
    assert record["entries"][1] == {
        "key": "torch_dtype",
        "where": "old config.yaml:2:1",
        "outcome": "converted",
        "becomes": "dtype: bfloat16",
        "note": "",
    }


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (None, 2, "there is no such"),
        ("services: {web: 1}\n", 1, "no setting of a trainer that is known"),
        ("base_model: b\nrl: kto\n", 1, "config.yaml:2:1: rl: kto is neither DPO nor SFT"),
    ],
)
def test_nothing_to_import(
    text: str | None, code: int, said: str, home: Path, capsys: Capture
) -> None:
    if text is not None:
        Path("config.yaml").write_text(text)
    assert main(["import", "config.yaml"]) == code
    assert said in capsys.readouterr().err


def test_a_recipe_goes_out_and_comes_back(recipe_file: Path, capsys: Capture) -> None:
    for kind in EXPORT_KINDS:
        assert main(["export", "short.yaml", "--to", kind, "--out", f"{kind}.yaml"]) == 0
        assert main(["import", f"{kind}.yaml"]) == 0
        assert main(["check", kind]) == 0
    assert "Wrote trl.yaml" in capsys.readouterr().out


def test_export_prints_and_tells_what_has_no_equal(recipe_file: Path, capsys: Capture) -> None:
    recipe_file.write_text(recipe_file.read_text() + "use_weighting: true\n")
    assert main(["export", "short.yaml", "--to", "llama-factory"]) == 0
    out, err = capsys.readouterr()
    assert "no equal in LLaMA-Factory: use_weighting: true" in err
    assert "# no equal in LLaMA-Factory: use_weighting: true" in out
    assert "# dataset_info.json, to be put beside this file:" in out


def test_two_stages_need_a_choice_or_a_folder(home: Path, capsys: Capture) -> None:
    Path("two.yaml").write_text(TWO_STAGES)
    assert main(["export", "two.yaml", "--to", "trl"]) == 2
    assert "Use --stage dpo, or --out DIR" in capsys.readouterr().err
    assert main(["export", "two.yaml", "--to", "trl", "--stage", "dpo"]) == 0
    assert "output_dir: two-dpo" in capsys.readouterr().out
    assert main(["export", "two.yaml", "--to", "trl", "--out", "both"]) == 0
    sft, dpo = (Path("both", f"{stage}.yaml").read_text() for stage in ("sft", "dpo"))
    assert "beta" not in sft
    assert "beta: 0.2" in dpo
    assert "two-sft into its base model, and set model_name_or_path" in dpo
    assert not any(word in sft + dpo for word in ("probe_prompts", "shared_prefix", "\ntitle"))
    capsys.readouterr()
    assert main(["export", "two.yaml", "--to", "trl", "--out", "both"]) == 1
    assert "nothing is overwritten" in capsys.readouterr().err


def test_llama_factory_s_data_is_described_beside_it(recipe_file: Path, capsys: Capture) -> None:
    assert main(["export", "short.yaml", "--to", "llama-factory", "--out", "lf"]) == 0
    info = json.loads(Path("lf/dataset_info.json").read_text())
    assert info["prefs"]["file_name"] == str(recipe_file.with_name("prefs.jsonl"))
    assert info["prefs"]["ranking"] is True
    assert "dataset: prefs\n" in Path("lf/dpo.yaml").read_text()


def test_a_recipe_with_errors_is_not_exported(recipe_file: Path, capsys: Capture) -> None:
    recipe_file.write_text(recipe_file.read_text() + "learning_rte: 1\n")
    assert main(["export", "short.yaml", "--to", "trl"]) == 1
    assert "there is no setting learning_rte" in capsys.readouterr().err

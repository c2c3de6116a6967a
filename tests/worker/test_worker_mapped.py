"""Rows that TRL cannot read: written in its columns, named by the config, trained on, resumed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_model import preference_rows, write_tiny_recipe
from worker_helpers import MakeRun, wait_for_end

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.data.formats.model import Wish
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory, create_run
from workbench.run.launch import launch
from workbench.worker.mapped_data import map_stage, records, sentences

OTHERS = [
    {
        "question": row["prompt"][0]["content"],
        "better": row["chosen"][0]["content"],
        "worse": row["rejected"][0]["content"],
    }
    for row in preference_rows(24)
]


def write_rows(file: Path, rows: list[Any]) -> Path:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def config(folder: Path, **settings: Any) -> Path:
    file = folder / "dpo.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


def entry(file: Path, **more: Any) -> dict[str, Any]:
    return {"path": "json", "data_files": str(file), **more}


def mapped(folder: Path, *entries: dict[str, Any], wish: Wish | None = None) -> Any:
    file = config(folder, datasets=list(entries), beta=0.2)
    done = map_stage(file, "dpo", wish or Wish())
    return done, yaml.safe_load(file.read_text(encoding="utf-8"))


def test_another_shape_is_written_and_named(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "others.jsonl", OTHERS)
    done, settings = mapped(tmp_path, entry(file, fraction=0.5))
    written = tmp_path / "data" / "dpo-1.jsonl"
    assert settings["datasets"] == [entry(written, fraction=0.5)]
    assert settings["beta"] == 0.2
    rows = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]
    assert rows == preference_rows(24)
    assert [(one.rows, one.pairs, one.unusable) for one in done] == [(24, 24, 0)]
    assert list(sentences("dpo", done)) == ["dpo: 24 rows of pair_columns gave 24 for TRL."]
    assert records(done)[0]["columns"]["prompt"] == "question"
    # A resumed run finds its config as it is.
    assert map_stage(tmp_path / "dpo.yaml", "dpo", Wish()) == []


@pytest.mark.parametrize(
    "rows",
    [
        preference_rows(4),
        [{"prompt": "a", "chosen": "b", "rejected": "c"}],
        [{"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}],
    ],
)
def test_what_trl_reads_as_it_stands_is_left_alone(rows: list[Any], tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.jsonl", rows)
    done, settings = mapped(tmp_path, entry(file))
    assert done == []
    assert settings["datasets"] == [entry(file)]
    assert not (tmp_path / "data").exists()


def test_a_wish_maps_what_would_be_left_alone(tmp_path: Path) -> None:
    text = "\n\nHuman: a\n\nAssistant: {}"
    rows = [{"chosen": text.format("b"), "rejected": text.format("c")}]
    file = write_rows(tmp_path / "rows.jsonl", rows)
    done, _ = mapped(tmp_path, entry(file), wish=Wish(data_format="hh_rlhf"))
    assert done[0].pairs == 1
    left, _ = mapped(tmp_path, entry(file), wish=Wish(data_format="trl"))
    assert left == []


def test_a_table_of_tabs_and_a_wrapped_list_are_read(tmp_path: Path) -> None:
    tsv = tmp_path / "rows.tsv"
    with tsv.open("w", newline="") as out:
        table = csv.DictWriter(out, ["prompt", "chosen", "rejected"], delimiter="\t")
        table.writeheader()
        table.writerow({"prompt": "a", "chosen": "b", "rejected": "c"})
    wrapped = tmp_path / "rows.json"
    wrapped.write_text(json.dumps({"version": 1, "data": preference_rows(2)}, indent=1))
    done, settings = mapped(tmp_path, entry(tsv), entry(wrapped), entry(wrapped, split="test"))
    assert [one.pairs for one in done] == [1, 2]
    assert settings["datasets"][2]["split"] == "test"


def test_the_splits_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write_rows(folder / "train.jsonl", OTHERS[:20])
    write_rows(folder / "test.jsonl", OTHERS[20:])
    file = config(tmp_path, dataset_name=str(folder))
    done = map_stage(file, "dpo", Wish())
    assert [one.pairs for one in done] == [20, 4]
    named = Path(yaml.safe_load(file.read_text())["dataset_name"])
    assert sorted(path.name for path in named.iterdir()) == ["test.jsonl", "train.jsonl"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}],
         "made for sft, not for dpo"),
        ([{"prompt": "a", "completion": "b", "label": True}], "DPO needs two answers"),
        ([*OTHERS[:2], "broken"], "rows.jsonl:3"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_on_is_one_problem(
    rows: list[Any], words: str, tmp_path: Path
) -> None:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(ProblemError) as caught:
        mapped(tmp_path, entry(file))
    assert words in str(caught.value)
    assert not list(tmp_path.glob("data/*"))


@pytest.mark.model
def test_a_run_on_mapped_rows_is_a_run_like_any_other(
    new_run: MakeRun, tiny: Path, tmp_path: Path
) -> None:
    """Its losses are those of the same rows in TRL's own columns."""
    plain = new_run(stages=("dpo",), steps=3)
    recipe = write_tiny_recipe(tmp_path / "tiny.yaml", tiny, stages=("dpo",), steps=3)
    write_rows(tmp_path / "data" / "prefs.jsonl", OTHERS)
    runs = [plain, other_run(plain, recipe)]
    for run in runs:
        launch(run)
        assert wait_for_end(run).state == "finished", run.log.read_text()
    losses = [[row["loss"] for row in metrics(run) if "loss" in row] for run in runs]
    assert losses[0] == losses[1]
    named = yaml.safe_load(runs[1].config("dpo").read_text())["datasets"][0]["data_files"]
    assert named == str(runs[1].path / "data" / "dpo-1.jsonl")
    environment = json.loads(runs[1].environment.read_text(encoding="utf-8"))
    assert environment["mapped"]["dpo"][0]["pairs"] == 24


def other_run(run: RunDirectory, recipe: Path) -> RunDirectory:
    """A run beside another one."""
    home = run.path.parent.parent
    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(home)})
    return create_run(paths, load_recipe(recipe, stage="dpo"))


def metrics(run: RunDirectory) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.metrics.read_text(encoding="utf-8").splitlines()]

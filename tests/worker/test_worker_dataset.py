"""The data of a stage: refused early, counted afterwards."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from datasets import Dataset

from workbench.base.problems import ProblemError
from workbench.worker import dataset


def rows(**columns: list[object]) -> Dataset:
    return Dataset.from_dict(columns)


def test_a_missing_column_names_what_is_there() -> None:
    with pytest.raises(ProblemError, match=r"no column rejected.*The data has: prompt, chosen"):
        dataset.check_columns("dpo", rows(prompt=["a"], chosen=["b"]), "")
    with pytest.raises(ProblemError, match="none of text, messages"):
        dataset.check_columns("sft", rows(question=["a"]), "text")


def test_each_known_form_of_sft_data_passes() -> None:
    for columns in ({"text"}, {"messages"}, {"prompt", "completion"}, {"input_ids"}):
        dataset.check_columns("sft", rows(**{name: ["x"] for name in columns}), "text")
    dataset.check_columns("sft", rows(body=["x"]), "body")
    dataset.check_columns("dpo", rows(chosen=["x"], rejected=["y"]), "")


def test_no_rows_at_all() -> None:
    with pytest.raises(ProblemError, match="0 rows"):
        dataset.check_columns("dpo", rows(chosen=[], rejected=[]), "")


def test_a_missing_split_names_the_others() -> None:
    with pytest.raises(ProblemError, match="no split 'test'; it has train"):
        dataset.pick_split({"train": rows(a=[1])}, "test", "eval_strategy")


def test_rows_are_counted_before_and_after() -> None:
    before = rows(prompt=["a", "b", "c"])
    pairs = rows(prompt_ids=[[1], [1, 1]], chosen_ids=[[2], [2] * 9], rejected_ids=[[3] * 3, [3]])
    counts = dataset.count_rows(before, pairs, 8, packed=False)
    assert {k: counts[k] for k in ("rows", "kept", "dropped", "truncated")} == {
        "rows": 3,
        "kept": 2,
        "dropped": 1,
        "truncated": 1,
    }
    cut = rows(input_ids=[[1] * 8, [1] * 7])
    assert dataset.count_rows(before, cut, 8, packed=False)["truncated"] == 1
    assert dataset.count_rows(before, cut, 8, packed=True)["blocks"] == 2
    assert dataset.count_rows(iter(()), cut, 8, packed=False) == {"streamed": True}


def test_local_files_get_a_hash(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"{}\n")
    data = SimpleNamespace(
        datasets=[SimpleNamespace(path="json", data_files={"train": [str(file)]})]
    )
    found = dataset.file_hashes(data, SimpleNamespace(dataset_name=str(tmp_path)))
    assert [entry["bytes"] for entry in found] == [3, 3]
    assert len(found[0]["sha256"]) == 64


TALK = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("stage", "columns", "what"),
    [
        ("dpo", {"prompt": "a", "chosen": TALK, "rejected": TALK}, "columns of different kinds"),
        ("dpo", {"chosen": {"from": "gpt", "value": "b"}, "rejected": "c"}, "one object"),
        ("dpo", {"prompt": "a", "chosen": None, "rejected": "c"}, "chosen is empty"),
        ("dpo", {"chosen": [{"from": "gpt"}], "rejected": "c"}, "a list with from, without role"),
        ("sft", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "in parts"),
        ("sft", {"messages": "a text"}, "messages is a text"),
    ],
)
def test_rows_of_a_foreign_form_are_refused(
    stage: str, columns: dict[str, object], what: str
) -> None:
    with pytest.raises(ProblemError, match=what):
        dataset.check_values(stage, rows(**{name: [value] for name, value in columns.items()}))


def test_texts_and_messages_pass() -> None:
    dataset.check_values("dpo", rows(prompt=["a"], chosen=["b"], rejected=["c"]))
    dataset.check_values("dpo", rows(chosen=[TALK], rejected=[TALK]))
    dataset.check_values("sft", rows(messages=[TALK]))
    dataset.check_values("sft", rows(text=["a"], prompt=[None]))


def test_data_is_named_by_its_files() -> None:
    part = SimpleNamespace(path="json", data_files={"train": ["a.jsonl", "b.jsonl"]})
    hub = SimpleNamespace(path="org/data", data_files=None)
    script = SimpleNamespace(dataset_name=None)
    mixture = SimpleNamespace(datasets=[part, hub])
    assert dataset.source(script, mixture) == ("a.jsonl, b.jsonl, org/data", "datasets")

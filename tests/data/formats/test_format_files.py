"""Real files: their shape, and how many rows a trainer gets of them."""

from __future__ import annotations

import collections
import gzip
import itertools
import json
import re
from typing import Any

import pytest
from format_files import FOLDER, NO_DATA, TABLE, Expected, map_all, read_rows

from workbench.data.formats.model import Wish

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the real files (shared/data/formats) are not beside the repository"
)


@pytest.mark.parametrize("expected", TABLE, ids=lambda expected: expected.file)
def test_shape_and_counts(expected: Expected) -> None:
    rows = read_rows(expected.file)
    found, mapped, reasons = map_all(rows)
    assert (found.shape, found.stage, found.as_is) == (
        expected.shape,
        expected.stage,
        expected.as_is,
    )
    assert (len(rows), len(mapped), len(reasons)) == (
        expected.rows,
        expected.out,
        expected.unusable,
    )
    assert found.confidence >= 0.7
    if expected.stage:
        assert not found.missing
    else:
        assert found.missing
        assert found.next_step


def test_every_file_is_in_the_table() -> None:
    there = {path.name for path in FOLDER.iterdir()} - {"MANIFEST.json"}
    assert there == {expected.file for expected in TABLE} | {NO_DATA}


def test_the_pointer_has_no_rows() -> None:
    assert (FOLDER / NO_DATA).read_bytes().startswith(b"version https://git-lfs")
    with pytest.raises(gzip.BadGzipFile):
        read_rows(NO_DATA)


@pytest.mark.parametrize("expected", TABLE, ids=lambda expected: expected.file)
def test_all_rows_of_a_set_are_of_one_kind(expected: Expected) -> None:
    """TRL looks at the first row alone; `datasets` needs one type a column."""
    _, mapped, _ = map_all(read_rows(expected.file))
    kinds = {tuple((name, type(cell).__name__) for name, cell in row.items()) for row in mapped}
    assert len(kinds) <= 1


def _said(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in messages]


def test_alpaca_joins_instruction_and_input() -> None:
    rows = read_rows("alpaca_sft.json")
    _, mapped, _ = map_all(rows)
    assert {bool(row["input"]) for row in rows} == {True, False}
    for row, made in zip(rows, mapped, strict=True):
        asked = row["instruction"] + ("\n" + row["input"] if row["input"] else "")
        assert _said(made["prompt"]) == [("user", asked)]
        assert _said(made["completion"]) == [("assistant", row["output"])]


def test_a_rendered_text_stays_what_trl_trains_on() -> None:
    rows = read_rows("alpaca_with_text.json")
    found, mapped, _ = map_all(rows)
    assert any("data_format: alpaca" in note for note in found.notes)
    assert found.confidence < 0.8
    assert mapped == [{"text": row["text"]} for row in rows]
    _, as_columns, _ = map_all(rows, Wish(data_format="alpaca"))
    assert all("completion" in row for row in as_columns)


def test_pairs_that_trl_reads_stay_as_they_are() -> None:
    columns = ("prompt", "chosen", "rejected")
    for expected in TABLE:
        if expected.as_is and expected.shape == "explicit":
            rows = read_rows(expected.file)
            _, mapped, _ = map_all(rows)
            assert mapped == [{name: row[name] for name in columns} for row in rows]


def test_the_prompt_of_ultrafeedback_comes_from_the_conversations() -> None:
    rows = read_rows("conv_ultrafeedback_binarized_style.parquet")
    _, mapped, _ = map_all(rows)
    for row, made in zip(rows, mapped, strict=True):
        assert _said(made["prompt"]) == [("user", row["prompt"])]
        assert made["chosen"] == row["chosen"][1:]
        assert made["rejected"] == row["rejected"][1:]


def test_alpaca_ranking_and_sharegpt_pairs() -> None:
    rows = read_rows("conv_alpaca_ranking.json")
    found, mapped, _ = map_all(rows)
    assert any("without their prompt (instruction)" in note for note in found.notes)
    for row, made in zip(rows, mapped, strict=True):
        assert _said(made["prompt"]) == [("user", row["instruction"])]
        assert _said(made["chosen"] + made["rejected"]) == [
            ("assistant", row["chosen"]),
            ("assistant", row["rejected"]),
        ]
    rows = read_rows("llamafactory_dpo_sharegpt.json")
    names = {"human": "user", "gpt": "assistant", "system": "system"}
    for row, made in zip(rows, map_all(rows)[1], strict=True):
        turns = [(names[turn["from"]], turn["value"]) for turn in row["conversations"]]
        assert _said(made["prompt"]) == turns
        assert _said(made["chosen"]) == [("assistant", row["chosen"]["value"])]
        assert _said(made["rejected"]) == [("assistant", row["rejected"]["value"])]


def test_tool_calls() -> None:
    rows = read_rows("glaive_toolcall_sharegpt.json")
    _, mapped, _ = map_all(rows)
    assert [made["tools"] for made in mapped] == [row["tools"] for row in rows]
    calls = [m for made in mapped for m in made["messages"] if "tool_calls" in m]
    written = [
        json.loads(turn["value"])
        for row in rows
        for turn in row["conversations"]
        if turn["from"] == "function_call"
    ]
    assert len(calls) == len(written) == 3
    assert [call["tool_calls"][0]["function"] for call in calls] == written
    roles = collections.Counter(m["role"] for made in mapped for m in made["messages"])
    assert roles == {"user": 30, "assistant": 33, "tool": 3}


def test_right_solutions_over_wrong_ones() -> None:
    rows = read_rows("gsm8k_model_solutions.jsonl")
    models = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
    wanted = collections.Counter(
        (row["question"], row[good]["solution"], row[bad]["solution"])
        for row in rows
        for good, bad in itertools.permutations(models, 2)
        if row[good]["is_correct"] and not row[bad]["is_correct"]
    )
    _, mapped, _ = map_all(rows)
    made = collections.Counter(
        (row["prompt"][0]["content"], row["chosen"][0]["content"], row["rejected"][0]["content"])
        for row in mapped
    )
    assert made == wanted


@pytest.mark.parametrize(
    ("file", "made", "inside_words"),
    [("hh_rlhf_implicit.jsonl", 29, 3), ("hh_rlhf_implicit.jsonl.gz", 50, 5)],
)
def test_transcripts(file: str, made: int, inside_words: int) -> None:
    rows = read_rows(file)
    found, mapped, _ = map_all(rows)
    assert mapped == [{"chosen": row["chosen"], "rejected": row["rejected"]} for row in rows]
    assert any(f"inside a word in {inside_words} of" in note for note in found.notes)
    found, mapped, reasons = map_all(rows, Wish(data_format="hh_rlhf"))
    assert not found.as_is
    assert len(mapped) == made
    assert set(reasons) <= {"the chosen answer is empty"}
    for pair in mapped:
        before = "".join(_marked(message) for message in pair["prompt"])
        written = [before + _marked(pair[side][0]) for side in ("chosen", "rejected")]
        assert any(written == [_spaced(row["chosen"]), _spaced(row["rejected"])] for row in rows)


def _marked(message: dict[str, Any]) -> str:
    name = {"user": "Human", "assistant": "Assistant"}[message["role"]]
    return f"\n\n{name}: {message['content']}"


def _spaced(transcript: str) -> str:
    """A transcript with a blank behind each marker, also where the data have none."""
    return re.sub(r"(\n\n(?:Human|Assistant):)(?! )", r"\1 ", transcript)


def test_typed_parts() -> None:
    rows = read_rows("llamafactory_v1_dpo.jsonl")
    found, mapped, _ = map_all(rows)
    assert any("loss_weight" in note for note in found.notes)
    for row, made in zip(rows, mapped, strict=True):
        texts = [part["content"][0]["value"] for part in row["chosen_messages"]]
        assert [text for _, text in _said(made["prompt"] + made["chosen"])] == texts
        assert made["rejected"][0]["content"] == row["rejected_messages"][-1]["content"][0]["value"]
    found, mapped, _ = map_all(read_rows("llamafactory_v1_sft.jsonl"))
    assert any("{{name}}, {{author}}" in note for note in found.notes)
    assert _said(mapped[0]["messages"])[0] == ("user", "hi")


def test_labels_and_votes() -> None:
    rows = read_rows("llmbar_pairwise_label.json")
    for row, made in zip(rows, map_all(rows)[1], strict=True):
        assert made["chosen"][0]["content"] == row[f"output_{row['label']}"]
        assert made["rejected"][0]["content"] == row[f"output_{3 - row['label']}"]
    rows = read_rows("pandalm_human_votes.json")
    _, mapped, reasons = map_all(rows)
    # Everybody agrees in all of these rows.
    assert all(row["annotator1"] == row["annotator2"] == row["annotator3"] for row in rows)
    full = [row for row in rows if row["response1"] and row["response2"]]
    for row, made in zip(full, mapped, strict=True):
        assert made["chosen"][0]["content"] == row[f"response{row['annotator1']}"]
    assert reasons == ["the rejected answer is empty"] * 3


def test_trees() -> None:
    def ranked(node: dict[str, Any]) -> list[int]:
        replies = [r for r in node["replies"] if r["role"] == "assistant" and "rank" in r]
        return [len(replies), *(n for reply in node["replies"] for n in ranked(reply))]

    rows = read_rows("oasst_trees.jsonl")
    counts = [count for row in rows for count in ranked(row["prompt"])]
    for pairs, wanted in (
        ("all", sum(n * (n - 1) // 2 for n in counts)),
        ("adjacent", sum(max(n - 1, 0) for n in counts)),
        ("best_worst", sum(n > 1 for n in counts)),
    ):
        _, mapped, _ = map_all(rows, Wish(pairs=pairs))  # type: ignore[arg-type]
        assert len(mapped) == wanted
    first = rows[0]["prompt"]
    best, next_best = sorted(first["replies"], key=lambda reply: reply["rank"])[:2]
    made = map_all(rows)[1][0]
    assert _said(made["prompt"]) == [("user", first["text"])]
    assert made["chosen"][0]["content"] == best["text"]
    assert made["rejected"][0]["content"] == next_best["text"]


def test_what_is_missing_is_said() -> None:
    found, _, reasons = map_all(read_rows("llamafactory_kto_messages.json"))
    assert "0 of the 40 prompts looked at have both kinds" in found.missing
    assert "KTO trainer" in found.next_step
    assert set(reasons) == {found.missing}
    found, _, _ = map_all(read_rows("mt_bench_questions.jsonl"))
    assert "compare --prompts" in found.next_step


def test_instances_and_conversations() -> None:
    rows = read_rows("self_instruct_seed_tasks.jsonl")
    for row, made in zip(rows, map_all(rows)[1], strict=True):
        (instance,) = row["instances"]
        further = "\n" + instance["input"] if instance["input"].strip() else ""
        assert made["prompt"][0]["content"] == row["instruction"] + further
        assert made["completion"][0]["content"] == instance["output"]
    rows = read_rows("sharegpt_multiturn.json")
    for row, made in zip(rows, map_all(rows)[1], strict=True):
        texts = [turn["value"] for turn in row["conversations"]]
        assert [text for _, text in _said(made["messages"])] == texts

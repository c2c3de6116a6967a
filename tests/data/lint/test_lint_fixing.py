# ruff: noqa: RUF001
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from lint_rows import findings, pairs, said, user

from workbench.base.problems import ProblemError
from workbench.data.lint.fixing import MENDERS, USUAL, FixWriter, mended
from workbench.data.lint.rules import RULES


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "data.jsonl"
    file.write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n')
    return file


def text(value: str, rules: tuple[str, ...] = USUAL) -> str:
    row, _ = mended({"text": value}, rules)
    found: str = row["text"]
    return found


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_usual_rules() -> None:
    assert set(USUAL) == {
        "broken_line", "unusable_row", "identical_answers", "empty_answer", "conflicting_labels",
        "leakage", "special_tokens", "duplicate_row", "broken_encoding", "control_characters",
    }  # fmt: skip
    assert {rule for rule in USUAL if RULES[rule].fix == "mend"} == set(MENDERS)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("words</s>", "words"),
        ("  <s> words", " words"),
        ("<|im_start|>assistant\nHi <b>you</b><|im_end|>\n", "Hi <b>you</b>"),
        ("<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>", "Hi"),
        ("in [INST] the middle", "in [INST] the middle"),
        ("<s>old</s> new", "<s>old</s> new"),
        ("cafÃ© â€“ Itâ€™s", "café \u2013 It\u2019s"),
        ("cafÃ© and 日本", "cafÃ© and 日本"),
        ("é becomes Ã©", "é becomes Ã©"),
        ("a\x1b[31mred\x1b[0m\tb\r\nc\rd \ud800", "ared\tb\r\nc\rd \ud800"),
        ("zero\u200bwidth \u202eover", "zerowidth over"),
        ("می\u200cخواهم\u200f x", "می\u200cخواهم\u200f x"),
        ("plain\ttext\r\nof  two lines ", "plain\ttext\r\nof  two lines "),
    ],
)
def test_texts_are_mended_and_else_the_same(before: str, after: str) -> None:
    assert text(before) == after
    assert text(after) == after


def test_only_named_rules_mend() -> None:
    assert text("a\x00</s>", ("special_tokens",)) == "a\x00"
    assert text("a\x00</s>", ("identical_answers", "duplicate_row")) == "a\x00</s>"
    row = {"prompt": user("a\x00"), "chosen": said("b</s>"), "rejected": said("c"), "n": [1, None]}
    assert mended(row, USUAL) == (
        {"prompt": user("a"), "chosen": said("b"), "rejected": said("c"), "n": [1, None]},
        ["special_tokens", "control_characters"],
    )
    assert row["prompt"] == user("a\x00")


def test_clean_rows_come_out_as_they_are(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    writer = FixWriter(out, [source], USUAL)
    odd = {"prompt": "half \ud83d", "chosen": "a\u3000b", "rejected": "ü"}
    for number, row in enumerate([*pairs(), odd], start=1):
        writer.write(number, row)
    assert not out.exists()
    report = writer.finish([source])
    assert lines_of(out) == [*pairs(), odd]
    assert (report["kept"], report["mended"], report["dropped"]) == (len(pairs()) + 1, 0, 0)
    assert findings(lines_of(out)[:-1]) == []


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().decode().rstrip("\n").split("\n")]


def test_the_report(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    writer = FixWriter(out, [source], USUAL)
    writer.write(1, {"prompt": "p", "chosen": "a", "rejected": "b"})
    writer.drop(2, "duplicate_row")
    writer.write(3, {"prompt": "p\x00", "chosen": "a</s>", "rejected": "b"})
    writer.write(4, {"prompt": "p", "chosen": "a", "rejected": "</s>"})
    writer.write(5, {"prompt": "p", "chosen": said("a\u200b"), "rejected": said("a")})
    writer.drop(6, "duplicate_row")
    writer.drop(6, "duplicate_row")
    said_so = writer.finish([source])
    assert [row["prompt"] for row in lines(out)] == ["p", "p"]
    written = json.loads((tmp_path / "out.jsonl.report.json").read_text())
    assert said_so == {**written, "report": str(tmp_path / "out.jsonl.report.json")}
    assert written == {
        "sources": [str(source)],
        "out": str(out),
        "rows": 7,
        "kept": 2,
        "dropped": 5,
        "mended": 1,
        "by_rule": {"duplicate_row": 3, "empty_answer": 1, "identical_answers": 1},
        "mended_by_rule": {"special_tokens": 1, "control_characters": 1},
        "row_numbers": {
            "duplicate_row": [2, 6],
            "special_tokens": [3],
            "control_characters": [3],
            "empty_answer": [4],
            "identical_answers": [5],
        },
        "rules": {
            name: RULES[name].title
            for name in ("duplicate_row", "empty_answer", "identical_answers", "special_tokens",
                         "control_characters")
        },
    }  # fmt: skip
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "data.jsonl", "out.jsonl", "out.jsonl.report.json",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["itself", "hard", "soft", "other name"])
@pytest.mark.parametrize("force", [False, True])
def test_the_data_is_never_written_to(kind: str, force: bool, source: Path, tmp_path: Path) -> None:
    out, before = tmp_path / "out.jsonl", source.read_bytes()
    if kind == "hard":
        os.link(source, out)
    elif kind == "soft":
        out.symlink_to(source)
    else:
        out = source if kind == "itself" else tmp_path / "." / ".." / tmp_path.name / source.name
    files = sorted(tmp_path.iterdir())
    with pytest.raises(ProblemError, match="the data itself") as caught:
        FixWriter(out, [source], USUAL, force=force)
    assert caught.value.exit_code == 2
    assert (source.read_bytes(), sorted(tmp_path.iterdir())) == (before, files)


def test_nothing_is_put_into_a_folder_of_data(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="the data itself"):
        FixWriter(tmp_path / "clean.jsonl", [tmp_path], USUAL)


def test_the_report_is_no_data_either(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "x"
    (tmp_path / "x.report.json").symlink_to(source)
    with pytest.raises(ProblemError, match="the data itself"):
        FixWriter(out, [source], USUAL, force=True)


def test_a_file_that_is_there_needs_force(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    with pytest.raises(ProblemError, match="exists") as caught:
        FixWriter(out, [source], USUAL)
    assert caught.value.exit_code == 2
    writer = FixWriter(out, [source], USUAL, force=True)
    assert out.read_text() == "mine"
    writer.write(1, {"text": "new"})
    writer.finish([source])
    assert lines(out) == [{"text": "new"}]


def test_what_cannot_be(source: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for out, words in ((tmp_path / "no" / "out", "cannot write"), (tmp_path / "folder", "folder")):
        with pytest.raises(ProblemError, match=words):
            FixWriter(out, [source], USUAL, force=True)
    with pytest.raises(ProblemError, match="there is no rule nonsense"):
        FixWriter(tmp_path / "out", [source], ["nonsense"])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data.jsonl", "folder"]


def test_nothing_is_left_of_what_was_given_up(source: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    writer = FixWriter(tmp_path / "out.jsonl", [source], USUAL)
    writer.write(1, {"text": "a"})
    writer.discard()
    writer.discard()
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_disk(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(tmp_path.iterdir())
    writer = FixWriter(tmp_path / "out.jsonl", [source], USUAL)
    writer.write(1, {"text": "a"})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ProblemError, match="No space left"):
        writer.finish([source])
    writer.discard()
    assert sorted(tmp_path.iterdir()) == before

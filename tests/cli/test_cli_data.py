"""`data`: the real process on small files, as people call it; no model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.cli import main

Capture = pytest.CaptureFixture[str]
Write = Callable[..., str]

pytestmark = pytest.mark.usefixtures("home")

HOSTILE = "[/INST] [@click=app.quit]x[/] \x1b]52;c;aGk=\x07 \x1b[31mred \u202eright to left"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows as JSON lines and gives the file's path."""

    def make(rows: list[Any], name: str = "prefs.jsonl") -> str:
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        file = tmp_path / name
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return str(file)

    return make


def pairs(count: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"What is the number {n}?",
            "chosen": f"It is {n} and nothing else.",
            "rejected": f"Nobody can tell what {n} is, I fear.",
            **more,
        }
        for n in range(count)
    ]


def look(capsys: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main(["data", *arguments, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_clean_file(write: Write, capsys: Capture) -> None:
    assert main(["data", write(pairs(12))]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "12 rows, 12 pairs" in said
    assert "TRL reads it as it stands" in said
    assert "No findings." in said
    assert "\x1b" not in said


def test_findings_have_row_numbers(write: Write, capsys: Capture) -> None:
    rows = pairs(12)
    rows[4]["chosen"] = rows[4]["rejected"]
    rows[7]["rejected"] = " "
    file = write([*rows, "{broken"])
    found = look(capsys, file)
    assert found["rows"] == 12
    assert found["broken"] == 1
    assert found["rules"]["identical_answers"]["rows"] == [5]
    assert found["rules"]["empty_answer"]["rows"] == [8]
    assert found["findings"]["broken_line"] == 1
    assert main(["data", file]) == 0
    assert "line 13: " in capsys.readouterr().out


def test_another_shape_is_mapped_and_says_how(write: Write, capsys: Capture) -> None:
    rows = [{"question": row.pop("prompt"), **row} for row in pairs(6)]
    file = write(rows)
    assert main(["data", file]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "prompt <- question" in said
    assert "mapped to TRL's columns" in said
    assert main(["data", file, "--row", "3"]) == 0
    assert "What is the number 2?" in capsys.readouterr().out


def test_a_wish_overrides_the_guess(write: Write, capsys: Capture) -> None:
    rows = [{"a": r["prompt"], "b": r["chosen"], "c": r["rejected"]} for r in pairs(6)]
    names = ["--columns", "prompt=a", "--columns", "chosen=b", "--columns", "rejected=c"]
    assert look(capsys, write(rows), *names)["pairs"] == 6


def test_what_no_stage_can_use_fails_and_says_why(write: Write, capsys: Capture) -> None:
    rows = [{"prompt": "Why?", "completion": f"So {n}.", "label": True} for n in range(4)]
    assert main(["data", write(rows)]) == 1
    assert "DPO" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "Name a file"),
        (("nowhere.jsonl",), 1, "nowhere.jsonl"),
        (("--recipe", "no-such-recipe"), 2, "no-such-recipe"),
        (("{file}", "--columns", "prompt"), 2, "--columns prompt=question"),
        (("{file}", "--format", "no_such_shape"), 1, "no_such_shape"),
        (("{file}", "--row", "99"), 1, "no row 99"),
        (("{file}", "--rule", "leak"), 1, "Did you mean leakage?"),
        (("{file}", "--xray", "1"), 1, "Name a recipe"),
        (("{file}", "--fix", "{file}"), 1, "{file}"),
    ],
)
def test_bad_input(
    arguments: tuple[str, ...], code: int, words: str, write: Write, capsys: Capture
) -> None:
    file = write(pairs(4))
    assert main(["data", *(one.format(file=file) for one in arguments)]) == code
    said = capsys.readouterr()
    assert words.format(file=file) in said.err
    assert "Traceback" not in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_a_cleaned_copy_leaves_the_file_alone(
    write: Write, tmp_path: Path, capsys: Capture
) -> None:
    rows = pairs(8)
    rows[2]["chosen"] = rows[2]["rejected"]
    rows.append(dict(rows[0]))
    file, out = write(rows), tmp_path / "clean.jsonl"
    before = Path(file).read_bytes()
    assert main(["data", file, "--fix", str(out)]) == 0
    assert "7 of 9 kept" in capsys.readouterr().out
    kept = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["prompt"] for row in kept] == [
        row["prompt"] for n, row in enumerate(rows) if n not in (2, 8)
    ]
    assert Path(file).read_bytes() == before
    assert main(["data", file, "--fix", str(out)]) == 1
    assert "exists" in capsys.readouterr().err
    assert main(["data", file, "--convert", str(out), "--force"]) == 0
    assert len(out.read_text(encoding="utf-8").splitlines()) == 9


def test_rows_of_a_rule_and_rows_with_a_text(write: Write, capsys: Capture) -> None:
    rows = pairs(8)
    rows[2]["chosen"] = rows[2]["rejected"]
    file = write(rows)
    assert main(["data", file, "--rule", "identical_answers"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("1 rows")
    assert "number 2" in said
    assert [
        row["number"] for row in look(capsys, file, "--search", "NUMBER 6")["rows_shown"]["rows"]
    ] == [7]


def test_texts_of_others_are_inert(write: Write, capsys: Capture) -> None:
    rows = pairs(3)
    rows[1]["prompt"] = rows[1]["chosen"] = HOSTILE
    file = write(rows)
    for more in ([], ["--row", "2"], ["--search", "INST"]):
        assert main(["data", file, *more]) == 0
        said = capsys.readouterr().out
        assert "\x1b" not in said
        assert "\u202e" not in said
        assert "]52;" not in said
    assert "control_characters" in look(capsys, file)["findings"]


def test_held_out_rows_that_are_trained_on(write: Write, capsys: Capture, tmp_path: Path) -> None:
    train, test = write(pairs(6)), write(pairs(9)[4:], "test.jsonl")
    found = look(capsys, train, "--test", test)
    assert found["findings"]["leakage"] == 2


def test_a_folder_has_its_splits(write: Write, capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write(pairs(6), "set/train.jsonl")
    write(pairs(9)[5:], "set/test.jsonl")
    found = look(capsys, str(tmp_path / "set"))
    assert (found["rows"], found["findings"]["leakage"]) == (6, 1)


def test_the_names_of_the_shapes(capsys: Capture) -> None:
    assert main(["data", "--formats"]) == 0
    assert "hh_rlhf" in capsys.readouterr().out

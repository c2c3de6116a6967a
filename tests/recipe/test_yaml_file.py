from __future__ import annotations

import pytest

from workbench.recipe.yaml_file import Mark, parse


def test_places_and_values() -> None:
    document = parse("a: 5e-5\nb:\n  c: [1, x]\n", "r.yaml")
    assert document.data == {"a": 5e-5, "b": {"c": [1, "x"]}}
    assert document.marks[("b", "c")] == Mark(3, 3)
    assert document.where(("b", "c", 1)) == "r.yaml:3:10"
    assert document.where(("b", "nothing")) == "r.yaml:2:1"
    assert document.where(("nothing",)) == "r.yaml"


@pytest.mark.parametrize("text", ["5e-5", "5E-5", "1e6", "+2.5e+3", ".5e-3"])
def test_exponents_are_floats(text: str) -> None:
    assert parse(f"a: {text}", "r").data == {"a": float(text)}
    assert parse(f"a: '{text}'", "r").data == {"a": text}


def test_a_duplicate_key_is_an_error_with_both_lines() -> None:
    problems = parse("beta: 1\nx: 2\nbeta: 3\n", "r.yaml").problems
    assert [str(problem) for problem in problems] == [
        "r.yaml:3:1: beta stands twice, first in line 1. Keep one of the two."
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "the file is empty"),
        ("# only\n", "the file is empty"),
        ("- a\n- b\n", "not a mapping"),
        ("a: [1, 2", "r.yaml:2:1: this is not valid YAML"),
        ("\ta: 1", "not valid YAML"),
        ("a: 1\nb: x\x00", "r.yaml:2:5: the character U+0000 is not allowed"),
        ("a: !!python/object/apply:os.system [x]\n", "r.yaml:1:4: the tag !!python/object/apply"),
        ("a: {b: !!set {x}}\n", "r.yaml:1:8: the tag !!set is refused"),
        ("a: " + "[" * 3000, "nested too deeply"),
        ("x: " + "y" * 2_000_000, "2,000,003 characters"),
        ("a: 2026-13-45", "cannot read the value"),
        ("a: !!float", "cannot read the value: no float"),
        ("a: !!timestamp", "cannot read the value: no timestamp"),
        ("a: !!bool x", "cannot read the value: no bool"),
    ],
)
def test_bad_files_are_problems_not_exceptions(text: str, part: str) -> None:
    """Row 7."""
    document = parse(text, "r.yaml")
    assert part in str(document.problems[0])


def test_a_number_that_yaml_reads_otherwise_is_told() -> None:
    document = parse("a: 0123\nb: 1:30\nc: '1:30'\nd: 0\ne: -10\nf: 089\ng: 0.5\n", "r")
    assert document.data == {"a": 83, "b": 90, "c": "1:30", "d": 0, "e": -10, "f": "089", "g": 0.5}
    assert [str(oddity) for oddity in document.oddities] == [
        "r:1:1: 0123 is the number 83 in YAML, which counts it in base eight. "
        "Write 83 if that is meant.",
        "r:2:1: 1:30 is the number 90 in YAML, which counts it in base sixty. "
        "Write 90 if that is meant.",
    ]


def test_an_alias_bomb_is_refused() -> None:
    """Row 7."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    assert "aliases" in str(parse("\n".join(lines), "r").problems[0])


def test_merge_keys_and_bom() -> None:
    text = "\ufeffbase: &b {x: 1, y: 2}\nmine:\n  <<: *b\n  y: 3\n"
    assert parse(text, "r").data["mine"] == {"y": 3, "x": 1}

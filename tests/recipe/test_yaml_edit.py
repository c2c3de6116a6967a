from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.base.problems import ProblemError
from workbench.recipe.recipe import SHIPPED
from workbench.recipe.yaml_edit import REMOVE, dump, edit, rename
from workbench.recipe.yaml_file import parse

TEXT = """\
# Grüße 😀
title: "Ä 😀 x"   # name
beta: 5e-5 # keep
modules:   # why
  - a
  - b   # second
# between
empty:

sft:
  # inside
  rate: 1
  data: {a: 1, b: [2, 3]}

# end of sft
dpo:
    rate: 2.0e-4  # yes
    text: |
      two
      lines
probe_prompts:
  - one
"""


def test_single_values_change_and_the_rest_stays() -> None:
    changes = {("beta",): 0.2, ("dpo", "rate"): 5e-5, ("title",): "x: #y"}
    expected = TEXT.replace("5e-5 # keep", "0.2 # keep").replace("2.0e-4  # yes", "5.0e-5  # yes")
    assert edit(TEXT, changes) == expected.replace('"Ä 😀 x"', '"x: #y"')


def test_the_lines_of_a_list_stay_where_its_items_do() -> None:
    result = edit(TEXT, {("modules",): ["a", "c", "d"]})
    assert "modules:   # why\n  - a\n  - c   # second\n  - d\n# between\n" in result
    result = edit(TEXT, {("modules",): ["b"]})
    assert "modules:   # why\n  - b   # second\n# between\n" in result


def test_a_list_that_becomes_another_value_keeps_its_comments() -> None:
    result = edit(TEXT, {("modules",): "all-linear"})
    assert "# why\nmodules: all-linear   # second\n# between\n" in result
    result = edit("m: # a\n  # b\n  - 1 # c\n  - 2 # d\n", {("m",): 3})
    assert result == "# a\n# b\n# c\nm: 3 # d\n"
    assert edit("m: # a\n  - 1\n", {("m",): 3}) == "m: 3  # a\n"


def test_the_comment_of_a_deleted_key_stays() -> None:
    assert edit("a: 1\nb: 2  # why\nc: 3\n", {("b",): REMOVE}) == "a: 1\n# why\nc: 3\n"
    assert edit("a: 1  # why\n", {("a",): REMOVE}) == "{}  # why\n"


MIXTURE = """\
dpo:
  datasets:  # two
    - path: json  # first
      data_files: a.jsonl
    # then
    - {path: csv, data_files: b.csv}
"""


def test_items_of_a_list_are_edited_where_they_stand() -> None:
    place = ("dpo", "datasets")
    assert edit(MIXTURE, {(*place, 0, "split"): "test"}) == MIXTURE.replace(
        "a.jsonl\n", "a.jsonl\n      split: test\n"
    )
    assert edit(MIXTURE, {(*place, 1, "path"): "json"}) == MIXTURE.replace("csv, d", "json, d")
    assert edit(MIXTURE, {(*place, 2): {"path": "x"}}) == MIXTURE + "    - {path: x}\n"
    assert edit(MIXTURE, {(*place, 0, "path"): REMOVE}) == MIXTURE.replace(
        "    - path: json  # first\n      data", "    # first\n    - data"
    )
    assert edit(MIXTURE, {(*place, 0): REMOVE}) == MIXTURE.replace(
        "    - path: json  # first\n      data_files: a.jsonl\n", "    # first\n"
    )
    with pytest.raises(ProblemError, match=r"cannot change dpo\.datasets\.5"):
        edit(MIXTURE, {(*place, 5): {}})


def test_new_keys_go_where_people_look_for_them() -> None:
    result = edit(TEXT, {("seed",): 7, ("sft", "seed"): 8, ("dpo", "loss"): ["ipo"]})
    assert "empty:\nseed: 7\n\nsft:" in result
    assert "b: [2, 3]}\n  seed: 8\n\n# end of sft" in result
    assert "      lines\n    loss: [ipo]\nprobe_prompts:" in result


def test_a_new_section_goes_to_the_end() -> None:
    assert edit("a: 1", {("dpo", "beta"): 0.1}) == "a: 1\ndpo:\n  beta: 0.1\n"


def test_removing() -> None:
    assert "beta" not in edit(TEXT, {("beta",): REMOVE})
    assert parse(edit(TEXT, {("sft", "data", "a"): REMOVE}), "").data["sft"]["data"] == {
        "b": [2, 3]
    }
    assert edit(TEXT, {("missing",): REMOVE}) == TEXT


def test_a_key_without_a_colon_is_refused() -> None:
    with pytest.raises(ProblemError, match="cannot change beta in place"):
        edit("? beta", {("beta",): 0.2})


def test_invalid_text_is_refused() -> None:
    with pytest.raises(ProblemError, match="stands twice"):
        edit("a: 1\na: 2\n", {("b",): 1})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5e-05, "5.0e-5"),
        (0.1, "0.1"),
        (1e20, "1.0e+20"),
        (True, "true"),
        (None, "null"),
        ("no", '"no"'),
        ("5e-5", '"5e-5"'),
        ("org/model-1.1B", "org/model-1.1B"),
        ("a, b", '"a, b"'),
        (["q_proj", 1], "[q_proj, 1]"),
        ({"path": "json"}, "{path: json}"),
    ],
)
def test_how_values_are_written(value: Any, text: str) -> None:
    assert dump(value) == text


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
    st.sampled_from(["no", "5e-5", "~", "- x", "a: b", "#", "null", "0x1f", "1:30", "é😀"]),
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(st.text("abc_", min_size=1, max_size=4), scalars, max_size=3),
)
keys = st.sampled_from(["title", "beta", "modules", "empty", "sft", "dpo", "new", "probe_prompts"])
inner = st.sampled_from(["rate", "data", "text", "new"])
key_paths = st.one_of(st.tuples(keys), st.tuples(st.sampled_from(["sft", "dpo"]), inner))


def changed(data: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    result = copy.deepcopy(data)
    target: Any = result
    for key in path[:-1]:
        target = target.setdefault(key, {}) if isinstance(target, dict) else target[key]
    if value is REMOVE:
        del target[path[-1]]
    elif isinstance(target, list) and path[-1] == len(target):
        target.append(value)
    else:
        target[path[-1]] = value
    return result


@settings(max_examples=300)
@given(path=key_paths, value=st.one_of(values, st.just(REMOVE)))
def test_any_edit_reads_back_and_leaves_other_lines_alone(
    path: tuple[str, ...], value: Any
) -> None:
    result = edit(TEXT, {path: value})
    before = parse(TEXT, "").data
    absent = value is REMOVE and path[-1] not in (before[path[0]] if path[1:] else before)
    assert parse(result, "").data == (before if absent else changed(before, path, value))
    kept = [line for line in TEXT.split("\n") if line.startswith("#") or line == "  # inside"]
    lines = result.split("\n")
    for line in kept:
        if line != "  # inside" or path != ("sft",):
            assert line in lines


@settings(max_examples=60)
@given(recipe=st.sampled_from(sorted(SHIPPED.glob("*.yaml"))), value=values, data=st.data())
def test_any_value_of_a_shipped_recipe_can_be_edited(recipe: Any, value: Any, data: Any) -> None:
    text = recipe.read_text(encoding="utf-8")
    before = parse(text, "").data
    path = (data.draw(st.sampled_from(sorted(before))),)
    after = parse(edit(text, {path: value}), "").data
    expected = changed(before, path, value)
    assert after == expected or math.isnan(value)


def test_a_renamed_key_keeps_its_place_value_and_comment() -> None:
    text = "# top\nold: 1  # why\ndpo:\n  old: [a]\n  beta: 2\n"
    assert rename(text, ("old",), "new") == text.replace("old: 1", "new: 1")
    assert rename(text, ("dpo", "old"), "new") == text.replace("old: [a]", "new: [a]")


@pytest.mark.parametrize(
    ("text", "path", "new"),
    [
        ("a: 1\nb: 2\n", ("a",), "b"),
        ("a: 1\n", ("nowhere",), "b"),
        ("a: 1\n", ("a", "inner"), "b"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n", ("y", "a"), "b"),
    ],
)
def test_what_cannot_be_renamed(text: str, path: tuple[str, ...], new: str) -> None:
    with pytest.raises(ProblemError, match="cannot rename"):
        rename(text, path, new)

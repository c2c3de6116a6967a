"""Thousands of random edits of random recipes: nothing but the edited value changes."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from test_yaml_edit import changed

from workbench.recipe.recipe import SHIPPED
from workbench.recipe.yaml_edit import REMOVE, edit
from workbench.recipe.yaml_file import Path, parse

EDITS = int(os.environ.get("DPO_WORKBENCH_RANDOM_EDITS", "600"))
EDITS_PER_RECIPE = 6
SCALARS = (
    *(1, -3, 0.5, 5e-05, 1e20, True, False, None, "no", "plain", "two words", "5e-5", ""),
    *("a: b", "# no comment", "é😀", "q'uo\"te", "[x", "line\nbreak", "~", "0x1f", "- x", "{}"),
)
KEYS = ("beta", "title", "dtype", "loss_type", "datasets", "lora_r", "env", "optim", "seed")


class Writer:
    """Writes a recipe in every style that YAML has for it, with comments that tell each other."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.numbers = count(1)

    def recipe(self) -> str:
        lines = self.blank()
        for key in self.rng.sample(KEYS, self.rng.randint(1, len(KEYS))):
            lines += [*self.entry(key, "", 0), *self.blank()]
        for stage in self.rng.sample(("sft", "dpo"), self.rng.randint(0, 2)):
            lines.append(f"{stage}:{self.comment(0.3)}")
            for key in self.rng.sample(KEYS, self.rng.randint(1, 4)):
                lines += [*self.entry(key, "  ", 1), *self.blank("  ")]
        eol = self.rng.choice(("\n", "\n", "\r\n"))
        return eol.join(lines) + self.rng.choice(("", eol))

    def comment(self, chance: float = 0.4) -> str:
        space = " " * self.rng.randint(1, 3)
        return f"{space}# c{next(self.numbers)}." if self.rng.random() < chance else ""

    def blank(self, indent: str = "") -> list[str]:
        return self.rng.choice(([], [], [""], [f"{indent}{self.comment(1).strip()}"]))

    def entry(self, key: str, indent: str, depth: int) -> list[str]:
        style = self.rng.random()
        if style < 0.55 or depth > 2:
            return [f"{indent}{key}: {self.scalar()}{self.comment()}"]
        if style < 0.65:
            return [f"{indent}{key}: [{self.scalar()}, {self.scalar()}]{self.comment()}"]
        if style < 0.72:
            return [
                f"{indent}{key}: [{self.scalar()},{self.comment()}",
                f"{indent}    {self.scalar()}]{self.comment()}",
            ]
        if style < 0.8:
            inner = f"{{path: {self.scalar()}, name: {self.scalar()}}}"
            return [f"{indent}{key}: {inner}{self.comment()}"]
        if style < 0.85:
            head = f"{indent}{key}: {self.rng.choice('|>')}{self.comment()}"
            return [head, f"{indent}  # text", f"{indent}  more"]
        lines = [f"{indent}{key}:{self.comment()}"]
        inner_indent = indent + "  "
        for _ in range(self.rng.randint(1, 3)):
            if style < 0.93:
                lines.append(f"{inner_indent}- {self.scalar()}{self.comment()}")
            else:
                pairs = [
                    *self.entry("path", inner_indent + "  ", 3),
                    *self.entry("name", inner_indent + "  ", 3),
                ]
                lines += [inner_indent + "- " + pairs[0].strip(), *pairs[1:]]
            lines += self.blank(inner_indent)
        return lines

    def scalar(self) -> str:
        return self.rng.choice(
            ("1", "5e-5", "true", "no", "plain", "two words", "'sing # le'", '"dou\\tble"', "a#b")
        )


def recipes() -> Iterator[tuple[int, random.Random, str]]:
    shipped = [file.read_text(encoding="utf-8") for file in sorted(SHIPPED.glob("*.yaml"))]
    for seed in range(EDITS // EDITS_PER_RECIPE):
        rng = random.Random(seed)
        text = rng.choice(shipped) if rng.random() < 0.1 else Writer(rng).recipe()
        yield seed, rng, text


def random_path(rng: random.Random, data: dict[str, Any]) -> Path:
    """A place that is there, or one that a new value can have."""
    key = rng.choice((*data, *KEYS))
    value = data.get(key)
    path: tuple[Any, ...] = (key,)
    while isinstance(value, dict | list) and value and rng.random() < 0.7:
        if isinstance(value, list):
            index = rng.randint(0, len(value))
            path, value = (*path, index), value[index] if index < len(value) else None
        else:
            key = rng.choice((*value, "split", "beta"))
            path, value = (*path, key), value.get(key)
    return path


def random_value(rng: random.Random) -> Any:
    kind = rng.random()
    if kind < 0.2:
        return REMOVE
    if kind < 0.4:
        return [rng.choice(SCALARS) for _ in range(rng.randint(0, 3))]
    if kind < 0.5:
        return {"path": rng.choice(SCALARS), "split": rng.choice(SCALARS)}
    return rng.choice(SCALARS)


def test_any_edit_of_any_recipe_changes_that_value_alone() -> None:
    """Comments stay, and so does every line in front of the edited key and behind its value."""
    done = 0
    for seed, rng, original in recipes():
        text = original
        for _ in range(EDITS_PER_RECIPE):
            before = parse(text, "")
            assert not before.problems, (seed, text)
            path, value = random_path(rng, before.data), random_value(rng)
            told = f"{seed} {path} {value!r}\n{text}"
            if value is REMOVE and not present(before.data, path):
                continue
            after = edit(text, {path: value})
            assert parse(after, "").data == changed(before.data, path, value), told
            assert comments(after) >= comments(text), told
            # The key behind an item's first one moves up to the dash when that goes.
            first = value is REMOVE and len(path) > 1 and is_first_of_item(before.data, path)
            head, tail = untouched(text, path[:-1] if first else path)
            lines = after.split("\n")
            assert lines[: len(head)] == head, told
            assert lines[len(lines) - len(tail) :] == tail, told
            text, done = after, done + 1
    assert done > EDITS * 0.7


def present(data: Any, path: Path) -> bool:
    for key in path:
        inside = key < len(data) if isinstance(data, list) else key in data
        if not inside:
            return False
        data = data[key]
    return True


def is_first_of_item(data: Any, path: Path) -> bool:
    if not isinstance(path[-2], int):
        return False
    for key in path[:-1]:
        data = data[key]
    return next(iter(data)) == path[-1]


def comments(text: str) -> set[str]:
    """The numbers of the writer's comments that are comments still."""
    found = set()
    for line in text.splitlines():
        for part in line.split("# c")[1:]:
            number, dot, _ = part.partition(".")
            if dot and number.isdigit():
                found.add(number)
    return found


def untouched(text: str, path: Path) -> tuple[list[str], list[str]]:
    """The lines in front of an edited value, and those from the next key or item on."""
    lines, document = text.split("\n"), parse(text, "")
    places = {found: mark.line - 1 for found, mark in document.marks.items() if found}
    while path not in places:  # what is new stands somewhere in the nearest thing that is there
        path = path[:-1]
        if not path:
            return [], []
    first = places[path]
    whole = path
    if within_flow(document, path):
        while within_flow(document, whole):
            whole = whole[:-1]
        first = places[whole]
    later = [
        line
        for found, line in places.items()
        if line > first and found[: len(whole)] != whole and not shares_line(found, whole, places)
    ]
    return lines[:first], lines[min(later) :] if later else []


def shares_line(found: Path, whole: Path, places: dict[Path, int]) -> bool:
    return places[found] == places[whole]


def within_flow(document: Any, path: Path) -> bool:
    """Whether a place lies inside brackets, which are written anew as a whole."""
    node = document.root
    for key in path[:-1]:
        if isinstance(key, int):
            node = node.value[key]
        else:
            node = next(value for name, value in node.value if name.value == key)
        if node.flow_style:
            return True
    return False


def test_the_comments_of_the_writer_are_told_apart() -> None:
    assert comments("a: 1 # c1.\n# c22.\nb: '# c'\n") == {"1", "22"}


@pytest.mark.parametrize("seed", range(5))
def test_the_writer_writes_what_reads(seed: int) -> None:
    assert parse(Writer(random.Random(seed)).recipe(), "").data

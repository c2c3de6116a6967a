"""Prompt sets of every form, and errors that name the line."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.judge.prompts import (
    SHIPPED_SETS,
    Prompt,
    find_prompts,
    library,
    read_prompts,
    save_prompts,
)
from workbench.run.directory import RunDirectory

Write = Callable[..., Path]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*rows: object, name: str = "set.jsonl") -> Path:
        path = tmp_path / name
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogatepass")
        return path

    return write


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"prompt": "Hi"}, [user("Hi")]),
        ({"prompt": "Hi", "system": "Be brief."}, [SYSTEM, user("Hi")]),
        ({"prompt": [user("Hi")], "chosen": "a", "rejected": "b"}, [user("Hi")]),
        ({"messages": [SYSTEM, user("Hi")]}, [SYSTEM, user("Hi")]),
        ({"messages": [user("Hi"), assistant("Yes?"), user("Go")]},
         [user("Hi"), assistant("Yes?"), user("Go")]),
        ({"messages": [user("Hi"), assistant("its answer")]}, [user("Hi")]),
        ({"question_id": 81, "turns": ["Hi", "And now?"]}, [user("Hi"), user("And now?")]),
        ({"chosen": [user("Hi"), assistant("a")], "rejected": []}, [user("Hi")]),
    ],
)  # fmt: skip
def test_every_form_of_a_row(write: Write, row: object, messages: list[dict[str, str]]) -> None:
    (prompt,) = read_prompts(write(row))
    assert list(prompt.messages) == messages


def test_what_is_asked_first_and_what_later(write: Write) -> None:
    turns = {"system": "Be brief.", "turns": ["Hi", "And now?", "Bye"]}
    given = {"messages": [user("Hi"), assistant("Yes?"), user("Go")]}
    several, answered = read_prompts(write(turns, given))
    assert several.opening == (SYSTEM, user("Hi"))
    assert several.turns == ("And now?", "Bye")
    assert several.text == "Hi"
    assert answered.opening == answered.messages
    assert (answered.turns, answered.text) == ((), "Go")


def test_ids_and_categories(write: Write) -> None:
    rows = [
        {"id": "a", "category": "trips", "prompt": "one"},
        {"id": "a", "category": 7, "prompt": "two"},
        {"prompt": "three"},
        {"prompt": "three"},
        {"question_id": 81, "turns": ["four"]},
    ]
    prompts = read_prompts(write(*rows))
    assert [prompt.category for prompt in prompts] == ["trips", "", "", "", ""]
    ids = [prompt.id for prompt in prompts]
    assert ids[:2] == ["a", "a-2"]
    assert ids[3] == f"{ids[2]}-2"
    assert ids[4] == "81"
    # The same text keeps its id wherever it stands.
    assert read_prompts(write({"prompt": "three"}))[0].id == ids[2]


def test_other_files(write: Write) -> None:
    text = read_prompts(write("One prompt", "", "  Another: {x} ", name="some.txt"))
    assert [prompt.text for prompt in text] == ["One prompt", "Another: {x}"]
    listed = read_prompts(write([{"prompt": "A"}, "B"], name="some.json"))
    assert [prompt.text for prompt in listed] == ["A", "B"]
    lines = read_prompts(write({"prompt": "A"}, name="lines.txt"))
    assert [prompt.text for prompt in lines] == ["A"]
    recipe = read_prompts(write("probe_prompts: [Hello, Bye]", name="recipe.yaml"))
    assert [prompt.text for prompt in recipe] == ["Hello", "Bye"]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ('{"prompt": "torn', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ({"prompt": ""}, "is no prompt"),
        ({"prompt": 7}, "is no prompt"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "is no prompt"),
        ({"messages": [assistant("only an answer")]}, "is no prompt"),
        ({"turns": [None]}, "is no prompt"),
        (["a list"], "is no prompt"),
    ],
)
def test_a_bad_line_is_named(write: Write, row: object, what: str) -> None:
    path = write({"prompt": "Hi"}, "", row)
    with pytest.raises(ProblemError) as caught:
        read_prompts(path)
    assert caught.value.problems[0].what == what
    assert caught.value.problems[0].where == f"{path}:3"


def test_files_that_are_none(write: Write, tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for path, what in (
        (tmp_path / "missing.jsonl", "cannot be read: No such file"),
        (tmp_path, "cannot be read"),
        (tmp_path / "binary.txt", "is no UTF-8 text"),
        (write("", name="empty.txt"), "holds no prompt"),
        (write("beta: 0.1", name="none.yaml"), "holds no prompt"),
    ):
        with pytest.raises(ProblemError, match=what):
            read_prompts(path)


def test_the_library_and_a_saved_set(paths: Paths, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    assert [one.name for one in library(paths, run)] == ["everyday"]
    prompts = [
        Prompt("a", "trips", (SYSTEM, user("Where to? \x1b[31m[/INST] é"))),
        Prompt("b", "", (user("Why?"), user("And then?"))),
    ]
    path = save_prompts(paths, "mine", prompts)
    assert read_prompts(path) == prompts
    run.path.mkdir()
    run.recipe.write_text("probe_prompts: [Hello]\n")
    sets = library(paths, run)
    assert [(one.name, one.shipped) for one in sets] == [
        ("everyday", True),
        ("mine", False),
        ("probe prompts", False),
    ]
    assert find_prompts(paths, run, "mine").path == path
    assert read_prompts(find_prompts(paths, run, "probe prompts").path)[0].text == "Hello"
    assert find_prompts(paths, run, str(path)).name == "mine"
    for name in ("nope", "x\0y", "y" * 9999):
        with pytest.raises(ProblemError, match="Known: everyday, mine, probe prompts"):
            find_prompts(paths, run, name)
    with pytest.raises(ProblemError, match="cannot be the name"):
        save_prompts(paths, "../up", prompts)


def test_half_letters_do_not_stop_a_set_from_being_saved(write: Write, paths: Paths) -> None:
    (prompt,) = read_prompts(write('{"id": "\\udc00", "prompt": "odd \\ud800 \\ud83d\\ude00"}'))
    assert prompt.text == "odd \ufffd \U0001f600"
    assert read_prompts(save_prompts(paths, "odd", [prompt])) == [prompt]


def test_the_shipped_set_has_eight_categories_of_five() -> None:
    prompts = read_prompts(SHIPPED_SETS / "everyday.jsonl")
    assert Counter(prompt.category for prompt in prompts).most_common()[-1][1] == 5
    assert len(prompts) == 40
    assert len({prompt.text for prompt in prompts}) == 40

# ruff: noqa: RUF001
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lint_rows import PAIRS, by_rule, chats, example, findings, pairs, said, user

from workbench.data.lint.lint import Lint
from workbench.data.lint.model import Finding
from workbench.data.lint.rules import RULES, TOKEN_RULES

LONG = "The committee met on Monday and spoke about the roof, the garden and the money for both. "
PIECE = "I'm sorry, but I can't help with that."


def pair(prompt: Any, chosen: Any, rejected: Any) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def implicit(chosen: Any, rejected: Any) -> dict[str, Any]:
    return {"chosen": chosen, "rejected": rejected}


PLANTED = {
    "identical_answers": [
        pair("i1", "The same.", " The same.\n"),
        pair("i2", said("Alike"), said("Alike")),
        implicit([*user("i3"), *said("x")], [*user("i3"), *said("x")]),
    ],
    "empty_answer": [
        pair("e1", "", "something"),
        pair("e2", "anything", " \n\t"),
        pair(user("e3"), said(""), said("words")),
        pair("e4", "words", "\u00a0\u3000"),
    ],
    "role_order": [
        pair([*user("r1"), *user("r2")], said("a good one"), said("bad")),
        pair([*said("r3"), *user("r4")], said("a good one"), said("bad")),
        pair([*user("r5"), {"role": "system", "content": "s"}], said("some"), said("none")),
        pair([*user("r6"), *said("well")], said("some"), said("none")),
        pair(user("r7"), user("some"), said("none")),
        pair(user("r8"), said("some"), [*said("none"), *user("and?")]),
        implicit([*user("r9"), *user("some")], [*user("r9"), *said("none")]),
    ],
    "special_tokens": [
        pair("s1", "An answer.</s>", "Nothing."),
        pair("s2", "An answer.", "<|im_start|>assistant\nNothing.<|im_end|>"),
        pair("s3 [INST]", "It marks what is asked.", "Nothing."),
        pair("s4", "<s>all of it</s>", "Nothing, as I said."),
        pair("s5", "Llama writes [INST] before a question.", "Nothing is known of it."),
    ],
    "character_split": [
        implicit("Say it. Certainly", "Say it. Certify"),
        implicit("Count: 125", "Count: 12 and"),
    ],
    "no_prompt": [
        pair("", "some answer", "other words"),
        pair(" \n", "an answer", "more words"),
        implicit("Yes, so it is", "No, it is not"),
        pair([], said("an answer"), said("words")),
    ],
    "near_identical_answers": [
        pair("n1", "It is Paris.", "it is  Paris"),
        pair("n2", "**Paris** of course", "“Paris” of course!"),
        pair("n3", LONG * 2 + "One.", LONG * 2 + "Two."),
        pair("n4", "Well. " + LONG * 2, "Wall. " + LONG * 2),
    ],
    "prompt_in_answer": [
        pair("Why is the sky blue today?", "Why is the sky blue today? Air.", "It is not blue."),
        pair(user("Why is the sky red today?"), said("Dust."), said(" Why is the sky red today?")),
        implicit(
            [*user("Why is the sky grey today?"), *said("Clouds, I think.")],
            [*user("Why is the sky grey today?"), *said("Why is the sky grey today?")],
        ),
    ],
    "refusal_chosen": [
        pair("f1", PIECE, "Take a nail and a hammer."),
        pair("f2", said("As an AI, I am not able to provide that."), said("Here you are.")),
        pair("f3", "I won\u2019t be able to assist you, friend.", "Take a nail and a hammer."),
        pair("f4", "I must decline.", "Take a nail."),
        pair("f5", "I cannot write that, but I can share some tips.", "Take a nail and a saw."),
    ],
    "both_refuse": [
        pair("g1", PIECE, "I am unable to answer this."),
        pair("g2", "Sorry, I can't.", "I cannot and will not create it."),
    ],
    "mixed_languages": [
        pair("m1", "It is a house, and a big one.", "Это большой красивый дом"),
        pair("m2", "这是一所很大的房子", "It is a house, and a big one."),
        pair("Что это такое, скажите?", "Это большой красивый дом", "A house, as I said."),
    ],
    "broken_encoding": [
        pair("b1", "It is a cafÃ© here", "No idea"),
        pair("b2", "Itâ€™s here", "I have no idea"),
        pair("b3", "Some \ufffd\ufffd words", "No idea at all"),
        pair("b4", "A half \ud83d smile", "No idea at all"),
        pair("b5 Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "A greeting", "No idea"),
        pair("b6", "ðŸ˜€ it is", "No idea"),
    ],
    "control_characters": [
        pair("c1", "red \x1b[31mwords\x1b[0m", "No idea at all"),
        pair("c2\x00", "A word", "No idea"),
        pair("c3", "zero\u200bwidth", "No idea at"),
        pair("c4", "over \u202edrow", "No idea at"),
        pair("c5", "\ufeffA mark of order", "No idea at all"),
        pair("c6", "ab\u200dcd", "No idea"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("rule", PLANTED)
def test_planted_among_clean_rows(rule: str) -> None:
    rows, places = pairs(), []
    for count, row in enumerate(PLANTED[rule]):
        places.append(7 * count + 3)
        rows.insert(places[-1] - 1, row)
    assert by_rule(findings(rows)) == {rule: places}


def test_each_rule_is_planted() -> None:
    told = {"broken_line", "unusable_row", *TOKEN_RULES}
    compared = {
        "conflicting_labels", "leakage", "duplicate_row", "duplicate_prompt", "repeated_answer",
        "length_bias",
    }  # fmt: skip
    assert set(RULES) == told | compared | set(PLANTED)


def test_rows_that_are_there_twice() -> None:
    rows = pairs()
    again = {"prompt": f" {PAIRS[0][0]}\n", "chosen": PAIRS[0][1], "rejected": PAIRS[0][2] + " "}
    other = {"prompt": PAIRS[3][0], "chosen": "a half", "rejected": "one half"}
    turned = {"prompt": PAIRS[6][0], "chosen": PAIRS[6][2], "rejected": PAIRS[6][1]}
    found = findings([*rows, again, other, turned, again])
    end = len(rows)
    assert by_rule(found) == {
        "duplicate_row": [end + 1, end + 4],
        "duplicate_prompt": [end + 2],
        "conflicting_labels": [7, end + 3],
    }
    told = {(one.rule, one.row): one.others for one in found}
    assert told["duplicate_row", end + 4] == (1,)
    assert told["duplicate_prompt", end + 2] == (4,)
    assert told["conflicting_labels", 7] == (end + 3,)


def test_pairs_of_one_row_are_no_further_prompts(tmp_path: Path) -> None:
    found: list[Finding] = []
    lint = Lint("dpo", found.append, folder=tmp_path)
    for part, words in enumerate(("first", "second", "third")):
        lint.see(example(pair("p", words, words[::-1]), 4, part=part))
    lint.see(example(pair("p", "other", "words"), 9))
    counts = lint.finish()
    assert counts == {"duplicate_prompt": 1}
    assert (found[0].row, found[0].others) == (9, (4,))


def test_leakage() -> None:
    rows = pairs()
    held = [
        {"prompt": "elsewhere", "chosen": "a", "rejected": "b"},
        {"prompt": rows[3]["prompt"] + "\n", "chosen": "a", "rejected": "b"},
        {"prompt": rows[9]["prompt"], "chosen": "a", "rejected": "b"},
    ]
    found = findings(rows, held=held)
    assert by_rule(found) == {"leakage": [4, 10]}
    assert [one.others for one in found] == [(2,), (3,)]
    texts = [row for row in chats() if "text" in row]
    assert by_rule(findings(texts, "sft", held=texts[2:3])) == {"leakage": [3]}


@pytest.mark.parametrize(("times", "count"), [(4, 0), (5, 5)])
def test_repeated_answer(times: int, count: int) -> None:
    rows = pairs()
    for number in range(times):
        rows.insert(9 * number, pair(f"again {number}", "Server error 500", f"it is {number}"))
    expected = {"repeated_answer": [9 * number + 1 for number in range(times)]} if count else {}
    assert by_rule(findings(rows)) == expected


@pytest.mark.parametrize("longer", ["chosen", "rejected"])
def test_length_bias(longer: str) -> None:
    rows = [
        pair(f"q{n}", f"{n} " + "ab " * (3 + (longer == "chosen")), f"{n} " + "cd " * 3 + "e" * 2)
        if n % 5 else pair(f"q{n}", f"{n} same", f"{n} even")
        for n in range(60)
    ]  # fmt: skip
    found = findings(rows)
    assert by_rule(found) == {"length_bias": [0]}
    assert found[0].detail.startswith(f"{longer} is longer in 80% of 60 pairs")
    assert findings(rows[:15]) == []


def test_rows_in_another_script() -> None:
    rows = pairs()
    rows += [pair(f"w{n}", f"some plain words, {n}", f"more plain words, {n}") for n in range(20)]
    for place, prompt in ((5, "Кто написал роман Идиот?"), (11, "Who wrote The Idiot?")):
        rows.insert(place - 1, pair(prompt, "Роман написал Достоевский", "Роман написал Толстой"))
    assert by_rule(findings(rows)) == {"mixed_languages": [5, 11]}


def test_rules_on_conversations() -> None:
    rows = chats()
    rows.insert(2, {"messages": [*user("a"), *said("b"), *user("c")]})
    rows.insert(
        5, {"messages": [*user("Why is the sky so dark?"), *said("Why is the sky so dark?")]}
    )
    rows.insert(8, {"prompt": "x", "completion": " "})
    rows.insert(9, {"text": "An end.<|endoftext|>"})
    found = by_rule(findings(rows, "sft"))
    assert found == {
        "role_order": [3], "empty_answer": [3, 9], "prompt_in_answer": [6], "special_tokens": [10],
    }  # fmt: skip


def test_one_prompt_for_all_rows_is_fast() -> None:
    rows = [pair("Write a review.", f"good {n}", f"bad, {n}") for n in range(3000)]
    assert len(by_rule(findings(rows))["duplicate_prompt"]) == 2999

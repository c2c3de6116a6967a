"""What the data screens are drawn from: histograms, pages of rows, differences, tokens."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.tui.data_pages import PAGE_ROWS, PAGES_KEPT, RowPages, RowPlace
from workbench.tui.data_row_view import LETTERS_SHOWN, answer_text, pair_of, prompt_text
from workbench.tui.data_view import shape_line
from workbench.tui.histogram import ASCII_LEVELS, EIGHTHS, bars, columns, place
from workbench.tui.xray_view import part_text, part_title, verdict_lines


def test_bars_keep_their_peak_and_their_smallest() -> None:
    assert bars([0, 1, 800], 3) == [" ▁█"]
    assert bars([0, 1, 800], 3, signs=True) == [" .@"]
    assert bars([4, 8], 4, 2) == ["  ██", "████"]
    assert bars([], 4) == ["    "]
    assert bars([0, 0], 4, 2) == ["    ", "    "]
    assert ASCII_LEVELS.isascii()
    assert len(ASCII_LEVELS) == len(EIGHTHS)


@pytest.mark.parametrize("width", [1, 3, 10, 24, 31, 90])
def test_bars_are_as_wide_as_asked_and_lose_no_count(width: int) -> None:
    counts = list(range(24))
    drawn = columns(counts, width)
    assert len(drawn) == width
    if width <= len(counts):
        assert sum(drawn) == sum(counts)


def test_a_limit_has_its_place_by_the_edges() -> None:
    edges = [0, 10, 20, 40]
    assert place(edges, 0, 30) == 0
    assert place(edges, 15, 30) == 15
    assert place(edges, 30, 30) == 25
    assert place(edges, 40, 30) == 29
    assert place(edges, 41, 30) is None
    assert place([], 5, 30) is None


class Pages:
    """Pages whose requests are remembered."""

    def __init__(self, count: int) -> None:
        self.asked: list[int] = []
        self.count = count
        self.pages = RowPages(lambda _, start, __: self.asked.append(start))

    def give(self, start: int, total: int | None = None) -> None:
        numbers = range(start + 1, min(start + PAGE_ROWS, self.count) + 1)
        rows = [{"number": number} for number in numbers]
        self.pages.take(start, rows, self.count if total is None else total)


def test_a_page_is_asked_for_once_and_old_ones_are_let_go() -> None:
    made = Pages(100_000)
    made.pages.want(0, 30)
    made.pages.want(0, 30)
    assert made.asked == [0]
    made.give(0)
    made.pages.want(0, 30)
    assert made.asked == [0]
    assert made.pages.number(PAGE_ROWS - 1) == PAGE_ROWS
    for page in range(1, PAGES_KEPT + 1):
        made.pages.want(page * PAGE_ROWS, page * PAGE_ROWS)
        made.give(page * PAGE_ROWS)
    assert made.pages.at(0) is None
    made.pages.want(0, 1)
    assert made.asked[-1] == 0


def test_nothing_behind_the_end_is_asked_for() -> None:
    made = Pages(120)
    made.pages.want(0, 30)
    made.give(0)
    made.pages.want(90, 500)
    assert made.asked == [0, 100]
    made.give(100)
    made.pages.want(0, 10_000)
    assert made.asked == [0, 100]
    assert made.pages.at(120) is None
    assert made.pages.at(-1) is None


def test_the_first_rows_are_there_before_the_rest_and_are_asked_for_anew() -> None:
    made = Pages(300)
    made.pages.seed([{"number": 1}, {"number": 2}])
    assert made.pages.known == 2
    made.pages.want(0, 20)
    assert made.asked == [0]
    made.give(0)
    made.pages.forget()
    assert made.pages.number(0) == 1
    made.pages.want(0, 20)
    assert made.asked == [0, 0]


def test_a_place_goes_no_further_than_the_list() -> None:
    made = Pages(2)
    made.pages.want(0, 1)
    made.give(0)
    place_ = RowPlace(made.pages)
    assert not place_.step(-1)
    assert place_.step(1)
    assert place_.number == 2
    assert not place_.step(1)


def test_differences_are_those_of_words() -> None:
    pair = pair_of({"prompt": "Why?", "answers": ["It is blue now.", "It is red now."]})
    assert pair.alike
    assert str(answer_text(pair, 0, marked=True, signs=True)) == "It is {+blue+} now."
    assert str(answer_text(pair, 1, marked=True, signs=True)) == "It is [-red-] now."
    assert str(answer_text(pair, 0, marked=False, signs=True)) == "It is blue now."


def test_blanks_that_differ_are_seen() -> None:
    pair = pair_of({"prompt": "", "answers": ["It is so.\n", "It is so. "]})
    assert str(answer_text(pair, 0, marked=True, signs=False)) == "It is so.↵\n"
    assert str(answer_text(pair, 1, marked=True, signs=False)) == "It is so.·"
    assert str(prompt_text(pair)) == "(nothing)"


def test_unlike_answers_are_not_marked_all_over() -> None:
    pair = pair_of({"prompt": "", "answers": ["Not one word of this.", "Something else entirely"]})
    assert not pair.alike


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    long = "word " * (LETTERS_SHOWN // 4)
    pair = pair_of({"prompt": long, "answers": [long]})
    assert f"{len(long) - LETTERS_SHOWN:,} more letters" in str(prompt_text(pair))
    assert "more letters" in str(answer_text(pair, 0, marked=True, signs=False))


def pieces(*texts: str) -> list[dict[str, Any]]:
    return [{"id": at, "text": text, "special": text[:1] == "<"} for at, text in enumerate(texts)]


def xray(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "pieces": {
            "prompt": pieces("Why", "?"),
            "chosen": pieces("A", "b", "c", "<e>"),
            "rejected": pieces("A", "x"),
        },
        "scored": {"chosen": [True] * 4, "rejected": [True] * 2},
        "cut": {"chosen": None, "rejected": None},
        "keeps_start": True,
        "first_difference": 1,
        "dropped": False,
        "max_length": 8,
        "notes": [],
    }
    return {**found, **changes}


def shown(found: dict[str, Any], name: str, **options: bool) -> str:
    return str(part_text(found, name, **{"ids": False, "signs": True, **options}))


def test_tokens_stand_apart_and_the_first_difference_is_marked() -> None:
    assert shown(xray(), "prompt") == "Why|?|"
    assert shown(xray(), "chosen") == "A|>>b|c|{<e>}|"
    assert shown(xray(), "rejected", ids=True) == "A:0|>>x:1|"
    assert "kept whole  6 of 8 tokens" in str(verdict_lines(xray(), signs=True))


def test_the_cut_stands_where_the_trainer_cuts() -> None:
    found = xray(cut={"chosen": 4, "rejected": None}, max_length=4)
    assert shown(found, "chosen") == "A|>>b|\n-- cut here: 2 tokens are lost --\nc|{<e>}|"
    assert "cut at max_length 4: chosen loses 2" in str(verdict_lines(found, signs=True))


def test_a_cut_at_the_beginning_takes_the_prompt_first() -> None:
    found = xray(cut={"chosen": 3, "rejected": None}, max_length=3, keeps_start=False)
    words = "-- cut here: 3 tokens before this are lost, the prompt's first --"
    assert shown(found, "chosen") == f"A|\n{words}\n>>b|c|{{<e>}}|"


def test_a_dropped_row_keeps_no_token_of_its_answers() -> None:
    found = xray(dropped=True, max_length=1, cut={"chosen": 1, "rejected": 1})
    assert shown(found, "prompt").startswith("Why|\n-- max_length 1")
    assert str(verdict_lines(found, signs=True)).startswith("x dropped: the prompt alone has 2")


def test_what_is_scored_is_said_and_underlined_where_it_is_mixed() -> None:
    found = xray(scored={"chosen": [True, False, True, True], "rejected": [True] * 2})
    assert "3 scored, underlined" in str(part_title(found, "chosen"))
    assert "not scored" in str(part_title(found, "prompt"))
    assert str(part_title(found, "rejected")).endswith("scored")


def test_a_line_end_is_seen_and_ends_the_line() -> None:
    found = xray(pieces={"prompt": pieces("a", "\n\n", "b", ""), "chosen": pieces("c")})
    assert shown(found, "prompt", signs=False) == "a│↵↵│\nb│…│"
    assert "answer" in str(part_title(found, "chosen"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"shape_as_is": True, "as_is": True}, "as it stands"),
        ({"shape_as_is": True, "as_is": False}, "read by the workbench"),
        ({"columns": {"prompt": "question", "chosen": "chosen"}}, "mapped: prompt <- question"),
        ({"columns": {"chosen": "chosen"}}, "mapped to TRL's columns"),
        ({"stage": "", "missing": "it has no rejected answer."}, "✗ Pairs: it has no rejected"),
    ],
)
def test_how_rows_come_to_the_trainer_is_said(source: dict[str, Any], words: str) -> None:
    known = {"title": "Pairs", "stage": "dpo", "confidence": 1.0, "columns": {}}
    assert words in str(shape_line({**known, **source}))


def test_what_is_missing_is_a_sentence_of_its_own() -> None:
    source = {"title": "prompts alone", "stage": "", "missing": "prompts alone: no answer"}
    shown = str(shape_line({**source, "next_step": "Answer them."}))
    assert shown == "✗ prompts alone: no answer. Answer them."

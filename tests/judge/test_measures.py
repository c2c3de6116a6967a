"""Counts over answers."""

import pytest

from workbench.base.repetition import repetition
from workbench.judge.measures import behaviour, measure, refuses


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        ("one two three", 0.0),
        ("one two three four five six", 0.0),
        ("a b c d a b c d", 1 / 5),
        ("no " * 13, 1.0),
        ("A b C d. a B c D.", 1 / 5),
    ],
)
def test_repetition_is_the_share_of_windows_seen_before(text: str, share: float) -> None:
    assert repetition(text) == pytest.approx(share)


def test_measures_are_means_over_the_answers_of_one_side() -> None:
    comparisons = [
        {"answers": {"base": {"text": "one two", "tokens": 3}, "tuned": {"text": "x"}}},
        {"answers": {"base": {"text": "no " * 13, "tokens": 14}}},
    ]
    base = measure(comparisons, "base")
    assert (base.answers, base.words, base.tokens) == (2, 7.5, 8.5)
    assert base.repetition == pytest.approx(0.5)
    assert measure(comparisons, "tuned").answers == 1
    assert measure([], "tuned").words == 0.0


SENTENCE = "We walked down to the river and sat there until the light was gone. "
LOOPS = {
    "one word": "no " * 30,
    "one word, short": "no no no no no",
    "a phrase": "I do not know what to say about it, " * 9,
    "a phrase, short": "of the sea and of the sea and of the sea and",
    "a sentence": SENTENCE * 12,
    "a sentence, cut": (SENTENCE * 5)[:-20],
    "after a beginning": "Sure, here it is: " + SENTENCE * 12,
    "one character": "a" * 200,
    "one character, short": "!" * 14,
    "without spaces": "lalilu" * 20,
    "Chinese": "我喜欢喝茶。" * 12,
    "a Chinese character": "的" * 40,
    "long Chinese": "今天早上我和朋友一起去公园散步,天气非常好,我们聊了很多有趣的事情。" * 12,
    "lines": "- item\n" * 20,
    "a long passage": " ".join(f"word{number}" for number in range(90)) * 12,
}
NORMAL = {
    "an answer": (
        "Try five minutes of slow breathing: in through the nose, out through the mouth. Put the "
        "phone in another room before you start, and if your thoughts wander, come back to the "
        "breath without scolding yourself. After a week it feels like an old habit."
    ),
    "a short one": "Yes, gladly!",
    "one word": "Paris",
    "a list": "1. Wash the rice.\n2. Boil the water.\n3. Add salt and stir.\n4. Wait ten minutes.",
    "emphasis": "It is a very, very, very good idea, and I would do it today rather than tomorrow.",
    "a laugh": "Ha ha ha, that one is new to me!",
    "dots": "Well... let me think about it... I would take the train.",
    "a number": "About 1000000000 people live there.",
    "Chinese": "今天早上我和朋友一起去公园散步,天气非常好,我们聊了很多有趣的事情。",
    "a table": (
        "| city | people |\n|------|--------|\n| Lagos | 15 million |\n| Oslo | 0.7 million |\n"
        "The first one grows by half a million a year, the second one hardly at all by now."
    ),
    "code": "def add(a, b):\n    return a + b\n\nprint(add(1, 2))  # prints 3",
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_planted_loop_is_above_nine_tenths(name: str) -> None:
    assert repetition(LOOPS[name]) > 0.9


@pytest.mark.parametrize("name", NORMAL)
def test_a_normal_text_is_below_one_tenth(name: str) -> None:
    assert repetition(NORMAL[name]) < 0.1


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, I cannot do this.",
        "As an AI language model, I have no opinion.",
        "I am unable to answer that.",
        "Unfortunately, I can't provide this.",
        "I can't assist with that request.",
        "Sorry, but I can't do that.",
    ],
)
def test_refusals(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry that you feel alone in the new city. Join a club!",
        "I can help with that.",
        "You cannot do this alone, and you need not.",
        "Sure. I'm sorry, but I can't help joking first.",
        "I can't recommend walking enough!",
        "",
    ],
)
def test_what_is_no_refusal(text: str) -> None:
    assert not refuses(text)


def test_behaviour_counts_answers() -> None:
    answers = [
        {"text": "Yes, gladly!", "finish": "eos"},
        {"text": "no " * 30, "finish": "length"},
        {"text": " ", "finish": "eos"},
        {"text": "I cannot help with that."},
    ]
    counted = behaviour(answers)
    assert [counted[name] for name in ("no_eos", "empty", "refused", "loops")] == [1, 1, 1, 1]
    assert counted["words"] == [2, 30, 0, 5]
    assert counted["repetition"] == [0, 1, 0, 0]

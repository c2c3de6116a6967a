"""Invented rows of each shape, and what they must become."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from workbench.data.formats.model import Wish

Rows = list[dict[str, Any]]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def pair(
    prompt: list[dict[str, Any]] | None = None, good: str = "good", bad: str = "bad", **rest: Any
) -> dict[str, Any]:
    """A row as TRL gets it."""
    asked = prompt or [user("ask")]
    return {"prompt": asked, "chosen": [assistant(good)], "rejected": [assistant(bad)], **rest}


def answer(prompt: list[dict[str, Any]] | None = None, text: str = "good") -> dict[str, Any]:
    return {"prompt": prompt or [user("ask")], "completion": [assistant(text)]}


@dataclass(frozen=True)
class Case:
    """Rows of a shape; `made` is what all of them come to."""

    name: str
    shape: str
    rows: Rows
    made: Rows
    as_is: bool = False
    wish: Wish = field(default_factory=Wish)


def _columns(name: str, shape: str, made: Rows | None = None, **row: Any) -> Case:
    return Case(name, shape, [row], made or [pair()])


SYSTEM_FIRST = [pair([system("be kind"), user("ask")])]
BEFORE = [user("one"), assistant("two")]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
WITH_CALL = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TEXTS = {"prompt": "ask", "chosen": "good", "rejected": "bad"}
GPT = {"from": "gpt", "value": "good"}
GPT_BAD = {"from": "gpt", "value": "bad"}
HUMAN = {"from": "human", "value": "ask"}
HH = {"chosen": "\n\nHuman: ask\n\nAssistant: good", "rejected": "\n\nHuman: ask\n\nAssistant: bad"}


def typed(role: str, text: str, key: str = "text") -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", key: text}]}


def tree(text: str, role: str, *replies: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"text": text, "role": role, "replies": list(replies), **rest}


UNDER_TRL_NAMES = [
    Case("explicit texts", "explicit", [TEXTS], [TEXTS], as_is=True),
    Case("explicit messages", "explicit", [pair()], [pair()], as_is=True),
    Case(
        "explicit messages with tools",
        "explicit",
        [pair(tools=json.dumps(TOOLS), chat_template_kwargs={"x": True}, category="maths", n=1)],
        [pair(tools=json.dumps(TOOLS), chat_template_kwargs={"x": True}, category="maths")],
        as_is=True,
    ),
    Case(
        "implicit texts",
        "implicit",
        [{"chosen": "The sky is blue.", "rejected": "The sky is black."}],
        [{"chosen": "The sky is blue.", "rejected": "The sky is black."}],
        as_is=True,
    ),
    Case(
        "implicit messages",
        "implicit",
        [{"chosen": [user("ask"), assistant("good")], "rejected": [user("ask"), assistant("bad")]}],
        [{"chosen": [user("ask"), assistant("good")], "rejected": [user("ask"), assistant("bad")]}],
        as_is=True,
    ),
    _columns(
        "a text beside single messages",
        "explicit",
        prompt="ask",
        chosen=assistant("good"),
        rejected=assistant("bad"),
    ),
    _columns(
        "a text beside lists of answers",
        "explicit",
        prompt="ask",
        chosen=[assistant("good")],
        rejected=[assistant("bad")],
    ),
    Case("texts and messages mixed", "explicit", [TEXTS, pair()], [pair(), pair()]),
    _columns("a system column", "explicit", SYSTEM_FIRST, **TEXTS, system="be kind"),
    _columns(
        "UltraFeedback",
        "ultrafeedback",
        prompt="ask",
        chosen=[user("ask"), assistant("good")],
        rejected=[user("ask"), assistant("bad")],
        messages=[user("ask"), assistant("good")],
    ),
    _columns(
        "a prompt of messages that the answers repeat",
        "ultrafeedback",
        prompt=[user("ask")],
        chosen=[user("ask"), assistant("good")],
        rejected=[user("ask"), assistant("bad")],
    ),
    _columns(
        "ShareGPT lists",
        "implicit",
        chosen=[HUMAN, GPT],
        rejected=[HUMAN, GPT_BAD],
    ),
    _columns(
        "typed parts",
        "implicit",
        chosen=[typed("user", "ask"), typed("assistant", "good")],
        rejected=[typed("user", "ask", "value"), typed("assistant", "bad", "value")],
    ),
    Case("transcripts", "hh_rlhf", [HH], [HH], as_is=True),
    Case("transcripts by turns", "hh_rlhf", [HH], [pair()], wish=Wish(data_format="hh_rlhf")),
    Case(
        "transcripts that differ before the last turn",
        "hh_rlhf",
        [
            {
                "chosen": f"{HH['chosen']}\n\nHuman: more\n\nAssistant: yes",
                "rejected": f"{HH['rejected']}\n\nHuman: what\n\nAssistant: no",
            }
        ],
        [
            {
                "prompt": [user("ask")],
                "chosen": [assistant("good"), user("more"), assistant("yes")],
                "rejected": [assistant("bad"), user("what"), assistant("no")],
            }
        ],
        wish=Wish(data_format="hh_rlhf"),
    ),
]

_NAMES = (
    ("chosen", "rejected"),
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"),
    ("preferred", "dispreferred"),
    ("preferred", "non_preferred"),
    ("accepted", "rejected"),
    ("winner", "loser"),
    ("better", "worse"),
    ("positive", "negative"),
    ("Chosen Answer", "Rejected Answer"),
    ("chosenText", "rejectedText"),
    ("response_j", "response_k"),
    ("text", "rejected_text"),
)
_ASKED = ("query", "input", "prompt_text", "context", "Prompt", "user_prompt")

UNDER_OTHER_NAMES = [
    *(
        _columns(
            f"question, {good}, {bad}", "pair_columns", question="ask", **{good: "good", bad: "bad"}
        )
        for good, bad in _NAMES
    ),
    *(
        Case(
            f"{asked}, chosen, rejected",
            "pair_columns",
            [{asked: "ask", "chosen": "good", "rejected": "bad"}],
            [pair()],
        )
        for asked in _ASKED
    ),
    _columns(
        "Alpaca ranking",
        "alpaca_pairs",
        [pair([system("be kind"), *BEFORE, user("ask\nthis")])],
        instruction="ask",
        input="this",
        chosen="good",
        rejected="bad",
        system="be kind",
        history=[["one", "two"]],
    ),
    _columns(
        "Orca pairs",
        "orca_pairs",
        SYSTEM_FIRST,
        system="be kind",
        question="ask",
        chosen="good",
        rejected="bad",
    ),
    _columns(
        "ms-swift with query",
        "swift_pairs",
        [pair([*BEFORE, user("ask")])],
        query="ask",
        response="good",
        rejected_response="bad",
        history=[["one", "two"]],
    ),
    _columns(
        "ms-swift with messages",
        "swift_pairs",
        messages=[user("ask"), assistant("good")],
        rejected_response="bad",
    ),
    _columns(
        "ms-swift with two conversations",
        "swift_pairs",
        messages=[user("ask"), assistant("good")],
        rejected_messages=[user("ask"), assistant("bad")],
    ),
    _columns(
        "a conversation and two answers",
        "sharegpt_pairs",
        SYSTEM_FIRST,
        conversations=[HUMAN],
        chosen=GPT,
        rejected=GPT_BAD,
        system="be kind",
    ),
    _columns(
        "two conversations under other names",
        "pair_columns",
        chosen_messages=[typed("user", "ask"), typed("assistant", "good", "value")],
        rejected_messages=[typed("user", "ask"), typed("assistant", "bad", "value")],
    ),
    _columns(
        "OpenAI",
        "openai_preference",
        [pair(tools=json.dumps(TOOLS))],
        input={"messages": [user("ask")], "tools": TOOLS, "parallel_tool_calls": True},
        preferred_output=[assistant("good")],
        non_preferred_output=[assistant("bad")],
    ),
    _columns(
        "calls of tools",
        "sharegpt_pairs",
        [
            {
                "prompt": [user("ask"), WITH_CALL, {"role": "tool", "content": "1"}],
                "chosen": [assistant("good")],
                "rejected": [{"role": "assistant", "content": "", "tool_calls": [CALL]}],
                "tools": json.dumps(TOOLS),
            }
        ],
        messages=[user("ask"), WITH_CALL, {"role": "observation", "content": "1"}],
        chosen=assistant("good"),
        rejected={
            "from": "function_call",
            "value": '{"name": "f", "arguments": {"x": 1}}',
        },
        tools=TOOLS,
    ),
    Case(
        "kept as texts by name",
        "pair_texts",
        [{"question": "ask", "chosen": "good", "rejected": "bad"}],
        [TEXTS],
        wish=Wish(data_format="pair_texts"),
    ),
    Case(
        "texts under TRL's names as messages",
        "pair_columns",
        [TEXTS],
        [pair()],
        wish=Wish(data_format="pair_columns"),
    ),
    Case(
        "columns by a person",
        "pair_columns",
        [{"x": "ask", "y": "good", "z": "bad", "prompt": "no", "s": "be kind"}],
        SYSTEM_FIRST,
        wish=Wish(columns={"prompt": "x", "chosen": "y", "rejected": "z", "system": "s"}),
    ),
    Case("left alone", "trl", [TEXTS | {"n": 1}], [TEXTS], True, Wish(data_format="trl")),
]

_TWO = {"question": "ask", "response_a": "good", "response_b": "bad"}
_SWAPPED = {"question": "ask", "response_a": "bad", "response_b": "good"}


def _labelled(name: str, first: Any, second: Any, tie: Any, **names: str) -> Case:
    """Two rows and a tie: the first answer is better, then the second."""
    one, two = names.get("one", "response_a"), names.get("two", "response_b")
    label = names.get("label", "winner")
    rows = [
        {"question": "ask", one: "good", two: "bad", label: first},
        {"question": "ask", one: "bad", two: "good", label: second},
        {"question": "ask", one: "good", two: "bad", label: tie},
    ]
    return Case(name, "pairwise_label", rows, [pair(), pair()])


BY_LABEL = [
    _labelled("a and b", "a", "b", "tie"),
    _labelled("model_a and model_b", "model_a", "model_b", "tie (bothbad)"),
    _labelled("names of the columns", "response_a", "response_b", "neither"),
    _labelled("1 and 2", 1, 2, 0, one="output_1", two="output_2", label="label"),
    _labelled("1 and 2 as texts", "1", "2", "0", one="output1", two="output2", label="label"),
    _labelled("from 0", 0, 1, 0.5, one="response_0", two="response_1", label="better_response_id"),
    _labelled("below 0", -2, 3, 0, one="response1", two="response2", label="overall_preference"),
    Case(
        "arena",
        "arena",
        [
            {
                "conversation_a": [user("ask"), assistant("bad")],
                "conversation_b": [user("ask"), assistant("good")],
                "winner": "model_b",
                "model_a": "x",
                "model_b": "y",
            }
        ],
        [pair()],
    ),
    Case(
        "SHP",
        "shp",
        [
            {"history": "ask", "human_ref_A": "good", "human_ref_B": "bad", "labels": 1},
            {"history": "ask", "human_ref_A": "bad", "human_ref_B": "good", "labels": 0},
        ],
        [pair(), pair()],
    ),
    Case(
        "votes",
        "pairwise_votes",
        [
            {**_TWO, "annotator1": 1, "annotator2": 1, "annotator3": 2},
            {**_SWAPPED, "annotator1": 2, "annotator2": 2, "annotator3": 0},
            {**_TWO, "annotator1": 1, "annotator2": 2, "annotator3": 0},
            {**_TWO, "annotator1": 1, "annotator2": 2, "annotator3": None},
        ],
        [pair(), pair()],
    ),
    Case(
        "scores",
        "pairwise_scores",
        [
            {**_TWO, "score_A": 4, "score_B": 3.5},
            {**_SWAPPED, "score_A": -1, "score_B": 0},
            {**_TWO, "score_A": 2, "score_B": 2},
        ],
        [pair(), pair()],
    ),
    Case(
        "WebGPT",
        "pairwise_scores",
        [
            {
                "question": {"full_text": "ask", "dataset": "eli5"},
                "answer_0": "bad",
                "answer_1": "good",
                "score_0": -0.5,
                "score_1": 0.5,
            }
        ],
        [pair()],
    ),
    Case(
        "a column for each winner",
        "pairwise_scores",
        [
            {"prompt": "ask"} | answers | {"winner_model_a": a, "winner_model_b": b}
            for a, b, answers in (
                (1, 0, {"response_a": "good", "response_b": "bad"}),
                (0, 1, {"response_a": "bad", "response_b": "good"}),
                (0, 0, {"response_a": "good", "response_b": "bad"}),
            )
        ],
        [pair(), pair()],
    ),
    Case(
        "scores of a table",
        "pairwise_scores",
        [{"question": "ask", "answer_0": "a", "answer_1": "b", "score_0": "1", "score_1": "2"}],
        [pair(good="b", bad="a")],
    ),
]

_THREE = [("c", 1), ("a", 3), ("b", 2), ("b2", 2)]
_ALL = [("a", "b"), ("a", "b2"), ("a", "c"), ("b", "c"), ("b2", "c")]


def _pairs(*named: tuple[str, str]) -> Rows:
    return [pair(good=good, bad=bad) for good, bad in named]


def _scored(name: str, row: dict[str, Any], made: Rows, wish: Wish | None = None) -> Case:
    return Case(name, "ranked_answers", [row], made, wish=wish or Wish())


_RESPONSES = [{"text": text, "score": score} for text, score in _THREE]
RANKED = [
    _scored("scores, all", {"prompt": "ask", "responses": _RESPONSES}, _pairs(*_ALL)),
    _scored(
        "scores, adjacent",
        {"prompt": "ask", "responses": _RESPONSES},
        _pairs(("a", "b"), ("b2", "c")),
        Wish(pairs="adjacent"),
    ),
    _scored(
        "scores, best and worst",
        {"prompt": "ask", "responses": _RESPONSES},
        _pairs(("a", "c")),
        Wish(pairs="best_worst"),
    ),
    _scored(
        "ranks",
        {
            "instruction": "ask",
            "answers": [{"answer": "bad", "rank": 2.0}, {"answer": "good", "rank": 1.0}],
        },
        [pair()],
    ),
    _scored(
        "UltraFeedback's completions",
        {
            "instruction": "ask",
            "completions": [
                {"response": "bad", "overall_score": 4.0},
                {"response": "good", "overall_score": 7.5},
                {"response": "unrated", "overall_score": None},
            ],
        },
        [pair()],
    ),
    Case(
        "scores in columns",
        "ranked_answers",
        [
            {
                "prompt": "ask",
                "response_0": {"text": "bad", "rating": 2},
                "response_1": {"text": "good", "rating": 4},
            }
        ],
        [pair()],
    ),
    Case(
        "a prompt of marked turns",
        "ranked_answers",
        [
            {
                "prompt": "\n\nHuman: one\n\nAssistant: two\n\nHuman: ask\n\nAssistant: ",
                "answers": [{"answer": "good", "rank": 1}, {"answer": "bad", "rank": 2}],
            }
        ],
        [pair([*BEFORE, user("ask")])],
    ),
    Case(
        "generations and ratings",
        "rated_generations",
        [{"instruction": "ask", "generations": ["bad", "good", None], "ratings": [1.0, 5.0, 3.0]}],
        [pair()],
    ),
    Case(
        "ranks in a list of their own",
        "rated_generations",
        [{"prompt": "ask", "responses": ["bad", "good"], "ranks": [2, 1]}],
        [pair()],
    ),
    Case(
        "the best first",
        "ordered_answers",
        [{"prompt": "ask", "ranked_responses": ["good", "bad"]}],
        [pair()],
    ),
    Case(
        "an Alpaca ranking in one list",
        "ordered_answers",
        [{"instruction": "ask", "input": "", "output": ["good", "bad"]}],
        [pair()],
    ),
    Case(
        "right and wrong solutions in a list",
        "ranked_answers",
        [
            {
                "question": "ask",
                "solutions": [
                    {"solution": "bad", "is_correct": False},
                    {"solution": "good", "is_correct": True},
                    {"solution": "fine", "is_correct": True},
                ],
            }
        ],
        _pairs(("good", "bad"), ("fine", "bad")),
    ),
    Case(
        "right and wrong solutions in columns",
        "checked_solutions",
        [
            {
                "question": "ask",
                "model_x": {"solution": "bad", "is_correct": False},
                "model_y": {"solution": "good", "is_correct": True},
            }
        ],
        [pair()],
    ),
    Case(
        "a tree",
        "answer_tree",
        [
            {
                "prompt": tree(
                    "ask",
                    "prompter",
                    tree("bad", "assistant", rank=1),
                    tree(
                        "good",
                        "assistant",
                        tree(
                            "more",
                            "prompter",
                            tree("yes", "assistant", rank=0),
                            tree("no", "assistant", rank=1),
                            tree("gone", "assistant", rank=2, deleted=True),
                            tree("unranked", "assistant", rank=None),
                        ),
                        rank=0,
                    ),
                )
            }
        ],
        [pair(), pair([user("ask"), assistant("good"), user("more")], "yes", "no")],
    ),
    Case(
        "a tree without a column around it",
        "answer_tree",
        [
            tree(
                "ask",
                "prompter",
                tree("bad", "assistant", rank=1),
                tree("good", "assistant", rank=0),
            )
        ],
        [pair()],
    ),
]

_TALK = [user("ask"), assistant("good")]
ONE_ANSWER = [
    Case("messages", "messages", [{"messages": _TALK}], [{"messages": _TALK}], as_is=True),
    Case(
        "typed messages",
        "messages",
        [{"messages": [typed("user", "ask"), typed("assistant", "good")]}],
        [{"messages": _TALK}],
    ),
    Case(
        "ShareGPT",
        "sharegpt",
        [{"conversations": [HUMAN, GPT], "system": "be kind"}],
        [{"messages": [system("be kind"), *_TALK]}],
    ),
    Case(
        "messages under another name",
        "messages",
        [{"conversation": _TALK}],
        [{"messages": _TALK}],
    ),
    Case(
        "prompt and completion",
        "prompt_completion",
        [{"prompt": "ask", "completion": "good"}],
        [{"prompt": "ask", "completion": "good"}],
        as_is=True,
    ),
    Case(
        "prompt and completion of two kinds",
        "prompt_completion",
        [{"prompt": "ask", "completion": [assistant("good")]}],
        [answer()],
    ),
    Case(
        "Alpaca",
        "alpaca",
        [{"instruction": "ask", "input": "this", "output": "good", "system": "be kind"}],
        [answer([system("be kind"), user("ask\nthis")])],
    ),
    Case("question", "question_answer", [{"question": "ask", "answer": "good"}], [answer()]),
    Case(
        "instances",
        "instances",
        [
            {
                "instruction": "ask",
                "instances": [{"input": "", "output": "good"}, {"input": "x", "output": "fine"}],
            }
        ],
        [answer(), answer([user("ask\nx")], "fine")],
    ),
    Case("text", "text", [{"text": "words"}], [{"text": "words"}], as_is=True),
]

CASES = [*UNDER_TRL_NAMES, *UNDER_OTHER_NAMES, *BY_LABEL, *RANKED, *ONE_ANSWER]

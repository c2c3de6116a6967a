"""Each shape with invented rows: what is recognised and what is made."""

from __future__ import annotations

from typing import Any

import pytest
from format_cases import CASES, HH, TEXTS, Case, assistant, pair, tree, user
from format_files import map_all

from workbench.base.problems import ProblemError
from workbench.data.formats.catalogue import SHAPES, shapes
from workbench.data.formats.mapping import map_row
from workbench.data.formats.model import UnusableRowError, Wish
from workbench.data.formats.recognise import recognise
from workbench.data.formats.registry import ALL


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rows_of_a_shape(case: Case) -> None:
    found, made, reasons = map_all(case.rows, case.wish)
    assert reasons == []
    assert (found.shape, found.as_is) == (case.shape, case.as_is)
    assert made == case.made
    stage = "dpo" if "chosen" in made[0] else "sft"
    assert (found.stage, found.missing) == (stage, "")
    assert 0.5 <= found.confidence <= 1
    assert set(found.columns.values()) <= {name for row in case.rows for name in row}


def test_every_shape_is_in_the_table_and_tested() -> None:
    assert ALL.keys() == SHAPES.keys()
    assert {case.shape for case in CASES} == shapes().keys()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_shape_may_be_asked_for_by_name(case: Case) -> None:
    wish = Wish(case.shape, case.wish.columns, case.wish.pairs)
    found, made, _ = map_all(case.rows, wish)
    assert (found.shape, found.confidence) == (case.shape, 1.0)
    if case.shape != "hh_rlhf":
        assert made == case.made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_rows_stay_as_they_are(case: Case) -> None:
    before = repr(case.rows)
    map_all(case.rows, case.wish)
    assert repr(case.rows) == before


UNUSABLE = [
    (TEXTS, TEXTS | {"chosen": None}, "chosen is missing"),
    (TEXTS, TEXTS | {"rejected": [assistant("bad")]}, "rejected is messages, the other rows"),
    (TEXTS, TEXTS | {"prompt": {"role": "user", "content": "ask"}}, "prompt is a message"),
    (TEXTS, TEXTS | {"images": ["x.png"]}, "images column"),
    (pair(), pair() | {"chosen": []}, "chosen is missing"),
]


@pytest.mark.parametrize(("usual", "row", "reason"), UNUSABLE)
def test_rows_that_trl_would_stop_at(
    usual: dict[str, Any], row: dict[str, Any], reason: str
) -> None:
    found = recognise([usual])
    assert found.as_is
    with pytest.raises(UnusableRowError, match=reason):
        map_row(found, row)


def _talk(**changes: Any) -> dict[str, Any]:
    row = {
        "prompt": "ask",
        "chosen": [user("ask"), assistant("good")],
        "rejected": [user("ask"), assistant("bad")],
    }
    return row | changes


def _with_part(kind: str) -> list[dict[str, Any]]:
    part = {"type": kind, "image_url": {"url": "x"}}
    return [{"role": "user", "content": [part]}, assistant("good")]


BROKEN_TALKS = [
    (_talk(chosen=[user("ask"), assistant(" ")]), "the chosen answer is empty"),
    (_talk(rejected=[user("ask"), assistant("bad"), user("so")]), "rejected answer ends with a"),
    (_talk(rejected=[user("other"), assistant("bad")]), "differ before the answer"),
    (_talk(chosen=_with_part("image_url")), "part of type 'image_url'"),
    (_talk(chosen=_with_part("input_audio")), "part of type 'input_audio'"),
    (_talk(chosen=[{"role": "ghost", "content": "x"}]), "role 'ghost'"),
    (_talk(chosen=[{"role": "user"}, assistant("good")]), "without a content"),
    (_talk(chosen=[{"role": "user", "content": 3}]), "content is no text"),
    (_talk(chosen=None), "chosen is missing"),
    (_talk(chosen=7), "neither a text nor a list of messages"),
    (_talk(chosen=["good"]), "neither a text nor a list of messages"),
    (_talk(chosen=[assistant("good")], rejected=[assistant("bad")], prompt=None), "no prompt"),
    (_talk(chosen=[{"from": "function_call", "value": "f(x)"}]), "not JSON"),
    (_talk(chosen=[{"from": "function_call", "value": "[1]"}]), "without a name"),
]


@pytest.mark.parametrize(("row", "reason"), BROKEN_TALKS, ids=lambda value: str(value)[:40])
def test_broken_conversations(row: dict[str, Any], reason: str) -> None:
    found = recognise([_talk()])
    assert found.shape == "ultrafeedback"
    with pytest.raises(UnusableRowError, match=reason):
        map_row(found, row)


def _rows_like(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


BROKEN_ROWS = [
    ("a and b", {"winner": "perhaps"}, "winner does not say which answer is better"),
    ("1 and 2", {"label": 3}, "label is 3, and there are two answers"),
    ("a and b", {"winner": None}, "winner does not say"),
    ("votes", {"annotator1": None, "annotator2": None, "annotator3": None}, "nobody voted"),
    ("scores", {"score_B": None}, "score_B is no number"),
    ("scores", {"score_B": float("nan")}, "score_B is no number"),
    ("scores, all", {"responses": []}, "responses is no list of answers"),
    ("generations and ratings", {"ratings": [1.0]}, "one number for each answer"),
    ("right and wrong solutions in columns", {"model_x": None, "model_y": None}, "no solution"),
    ("a tree", {"prompt": "ask"}, "the tree has no first message"),
    ("Alpaca ranking", {"history": [["one"]]}, "pairs"),
    ("Alpaca ranking", {"input": 3}, "input is no text"),
    ("Orca pairs", {"system": ["x"]}, "system message is no text"),
    ("ms-swift with messages", {"messages": [user("ask")]}, "does not end with the better answer"),
    ("ShareGPT", {"conversations": [{"from": "human", "value": "x"}]}, "no turn of the assistant"),
    ("ShareGPT", {"conversations": []}, "conversations is missing"),
    ("typed messages", {"messages": [user("ask"), assistant("")]}, "last turn of messages is empt"),
    ("instances", {"instances": ["x"]}, "without input and output"),
    ("question", {"answer": None}, "answer is missing"),
    ("kept as texts by name", {"question": None}, "question is missing"),
    ("left alone", {"chosen": None}, "lacks one of TRL's columns"),
    ("left alone", {"chosen": [None]}, "neither a text nor a list of messages with a role"),
    ("left alone", {"chosen": [assistant("good")]}, "not of one kind"),
    ("transcripts by turns", {"chosen": "Once upon a time"}, "does not begin with a turn"),
    ("transcripts by turns", {"chosen": None}, "chosen is no text"),
]


@pytest.mark.parametrize(("name", "change", "reason"), BROKEN_ROWS)
def test_broken_rows(name: str, change: dict[str, Any], reason: str) -> None:
    case = _rows_like(name)
    found = recognise(case.rows, case.wish)
    with pytest.raises(UnusableRowError, match=reason):
        map_row(found, case.rows[0] | change, case.wish)


def test_two_system_messages_are_not_joined() -> None:
    case = _rows_like("a conversation and two answers")
    found = recognise(case.rows)
    talk = [{"from": "system", "value": "be rude"}, {"from": "human", "value": "ask"}]
    with pytest.raises(UnusableRowError, match="system column and the conversation's"):
        map_row(found, case.rows[0] | {"conversations": talk})
    talk[0]["value"] = "be kind"
    assert map_row(found, case.rows[0] | {"conversations": talk}) == case.made


def test_too_many_answers_for_all_pairs() -> None:
    row = {"prompt": "ask", "responses": [{"text": str(n), "score": n} for n in range(101)]}
    found = recognise([_rows_like("scores, all").rows[0]])
    with pytest.raises(UnusableRowError, match="101 answers"):
        map_row(found, row)
    assert len(map_row(found, row, Wish(pairs="adjacent"))) == 100


def test_a_deep_tree_does_not_overflow() -> None:
    node = tree("end", "assistant", rank=0)
    for depth in range(3000):
        node = tree("x", "prompter" if depth % 2 else "assistant", node)
    found = recognise(_rows_like("a tree").rows)
    assert map_row(found, {"prompt": node}) == []


@pytest.mark.parametrize(
    ("rows", "said", "step"),
    [
        (
            [{"prompt": "ask", "completion": "good", "label": True}],
            "0 of the 1 prompts",
            "KTO trainer",
        ),
        (
            [
                {"prompt": "ask", "completion": "good", "label": "True"},
                {"prompt": "ask", "completion": "bad", "label": "False"},
            ],
            "1 of the 1 prompts looked at have both kinds",
            "prompt, chosen and rejected for the prompts that have both",
        ),
        ([{"turns": ["ask", "more"]}], "prompts alone", "compare --prompts"),
        ([{"prompt": "ask"}], "prompts alone", "compare --prompts"),
        ([{"role": "assistant", "text": "x", "parent_id": "1"}], "one message", "parent_id"),
        ([{"a": 1, "b": 2}], "the columns are a, b; nearest are pairs", "Write rows with"),
        (
            [{"frage": "x", "gut": "y", "schlecht": "z"}],
            "the columns are frage, gut, schlecht",
            "columns: {prompt: frage, chosen: gut, rejected: schlecht}",
        ),
        (
            [{"prompt": "ask", "chosen": "x"}],
            "nearest are pairs (chosen), which lack the rejected answer",
            "columns: {prompt: prompt, completion: chosen}",
        ),
        ([{"words": "x"}], "the columns are words", "columns: {text: words}"),
        (
            [{"prompt": "ask", "responses": ["x", "y"]}],
            "nearest are ranked answers (responses), which lack a rank or score",
            "columns:",
        ),
        (
            [{"prompt": "ask", "chosen": 1, "rejected": None}],
            "the columns are those of prompt, chosen and rejected, but no row fits",
            "A row needs",
        ),
        ([{}], "the columns are none", "Write rows with"),
    ],
)
def test_what_no_stage_can_train_on(rows: list[dict[str, Any]], said: str, step: str) -> None:
    found = recognise(rows)
    assert found.stage == ""
    assert said in found.missing
    assert step in found.next_step
    with pytest.raises(UnusableRowError):
        map_row(found, rows[0])


def test_the_confidence_is_the_share_of_usable_rows_by_the_weight() -> None:
    case = _rows_like("Orca pairs")
    good, bad = case.rows[0], case.rows[0] | {"chosen": None}
    assert recognise([good, good, good, bad]).confidence == pytest.approx(0.75 * 0.95)


@pytest.mark.parametrize(
    ("row", "shape", "note"),
    [
        (
            TEXTS | {"generations": ["a", "b"], "ratings": [1, 2]},
            "explicit",
            "data_format: rated_generations",
        ),
        (
            {
                "question": "ask",
                "response_0": "a",
                "response_1": "b",
                "better_response_id": 1,
                "safer_response_id": 0,
            },
            "pairwise_label",
            "columns: {label: safer_response_id}",
        ),
        (
            {"question": "ask", "response_a": "a", "response_b": "b", "label": 0},
            "pairwise_label",
            "columns: {first: response_b, second: response_a}",
        ),
        (
            {
                "question": "ask",
                "answer_0": "a",
                "answer_1": "b",
                "label": 0,
                "score_0": 1,
                "score_1": 2,
            },
            "pairwise_label",
            "data_format: pairwise_scores",
        ),
    ],
)
def test_a_second_reading_is_told_and_lowers_the_confidence(
    row: dict[str, Any], shape: str, note: str
) -> None:
    found = recognise([row])
    assert found.shape == shape
    assert any(note in said for said in found.notes)
    assert found.confidence < 0.9


def test_what_a_label_means_can_be_turned_round() -> None:
    rows = [{"question": "ask", "response_a": "bad", "response_b": "good", "label": 0}]
    wish = Wish(columns={"first": "response_b", "second": "response_a"})
    assert map_all(rows, wish)[1] == [pair()]


@pytest.mark.parametrize(
    ("wish", "what", "step"),
    [
        (Wish("explicitt"), "data_format 'explicitt' is not known", "explicit"),
        (Wish("zzz"), "data_format 'zzz' is not known", "There are: trl, explicit"),
        (Wish("unpaired"), "data_format 'unpaired' is not known", "pair"),
        (Wish("arena"), "not of the shape arena: they have prompt, chosen", "conversation_a"),
        (Wish(columns={"prompt": "promt"}), "no column 'promt'", "Did you mean prompt"),
        (Wish(columns={"chossen": "chosen"}), "'chossen' is no part of a row", "chosen"),
        (Wish("explicit", {"label": "prompt"}), "the shape explicit has no label", "It has"),
    ],
)
def test_a_wrong_wish_is_refused(wish: Wish, what: str, step: str) -> None:
    with pytest.raises(ProblemError) as caught:
        recognise([TEXTS], wish)
    (problem,) = caught.value.problems
    assert what in problem.what
    assert step in problem.next_step


def test_no_rows_and_no_columns_of_trl() -> None:
    with pytest.raises(ProblemError, match="no row to look at"):
        recognise([])
    with pytest.raises(ProblemError, match="no columns that TRL trains on"):
        recognise([{"question": "x"}], Wish("trl"))


def test_transcripts_that_differ_in_the_question_have_no_pair() -> None:
    row = HH | {"rejected": "\n\nHuman: other\n\nAssistant: bad"}
    with pytest.raises(UnusableRowError, match="begins with a turn of user; the two differ"):
        map_row(recognise([HH], Wish("hh_rlhf")), row, Wish("hh_rlhf"))


def test_a_winner_that_names_models_is_no_answer() -> None:
    names = [("x", "y"), ("y", "x")] * 6
    rows = [
        {"question": f"q{n}", "response_a": "good", "response_b": "bad"}
        | {"winner": winner, "loser": loser, "label": "a"}
        for n, (winner, loser) in enumerate(names)
    ]
    found = recognise(rows, Wish(columns={"label": "label"}))
    assert found.shape == "pairwise_label"
    assert map_row(found, rows[0])[0]["chosen"] == [assistant("good")]


def test_equal_answers_stay_a_pair() -> None:
    """The lint says so; nothing is thrown away here."""
    row = _talk(rejected=[user("ask"), assistant("good")])
    assert map_row(recognise([_talk()]), row) == [pair(bad="good")]

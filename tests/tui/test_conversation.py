"""Conversations with several sides: each has its own history; kept ones come back as they were."""

from __future__ import annotations

from pathlib import Path

from tui_fakes import HOSTILE

from workbench.judge.answers import Sampling
from workbench.judge.comparisons import load_comparisons
from workbench.run.directory import RunDirectory
from workbench.tui.comparing import read_past, with_side
from workbench.tui.conversation import Conversation, Seat, kept_conversation, read_weights
from workbench.tui.keeping import fenced, keep, markdown, write_markdown

SEATS = (Seat("base", "base"), Seat("tuned", "tuned (dpo)"))


def answered(talk: Conversation, texts: dict[str, str], index: int = 0) -> None:
    for side, text in texts.items():
        event = {
            "event": "answer",
            "id": 1,
            "side": side,
            "index": index,
            "text": text,
            "tokens": 2,
        }
        talk.take(event)


def two_turns() -> Conversation:
    talk = Conversation(SEATS, system="Be brief.")
    talk.say("Why?")
    answered(talk, {"base": "Well ...", "tuned": "Because."})
    talk.say("And?")
    return talk


def test_the_first_turn_is_one_conversation_for_all() -> None:
    talk = Conversation(SEATS)
    talk.say("Why?")
    assert talk.request() == [{"role": "user", "content": "Why?"}]
    assert talk.earlier("base") == []


def test_later_turns_go_on_with_each_side_s_own_answers() -> None:
    request = two_turns().request()
    assert isinstance(request, dict)
    roles = [message["role"] for message in request["tuned"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert request["base"][2]["content"] == "Well ..."
    assert request["tuned"][2]["content"] == "Because."
    assert two_turns().earlier("tuned") == [("Why?", "Because."), ("And?", "")]


def test_the_shown_one_of_several_answers_goes_on() -> None:
    talk = Conversation(SEATS)
    talk.say("Why?")
    answered(talk, {"base": "a0", "tuned": "b0"})
    answered(talk, {"base": "a1", "tuned": "b1"}, index=1)
    assert talk.count == 2
    talk.index = 1
    talk.say("And?")
    assert talk.index == 0
    assert talk.history("tuned")[1]["content"] == "b1"


def test_a_turn_that_nobody_answered_makes_room() -> None:
    talk = Conversation(SEATS)
    talk.say("lost")
    talk.say("kept")
    assert [turn.prompt for turn in talk.turns] == ["kept"]
    answered(talk, {"base": "x"})
    talk.again()
    assert talk.prompt == "kept"
    assert talk.count == 0


def test_an_analysis_belongs_to_its_answer() -> None:
    talk = Conversation(SEATS)
    talk.say("Why?")
    answered(talk, {"tuned": "Because."})
    talk.take({"event": "analysis", "side": "tuned", "index": 0, "pieces": [["Because.", 1.0]]})
    answer = talk.answer("tuned")
    assert answer is not None
    assert answer["text"] == "Because."
    assert answer["pieces"] == [["Because.", 1.0]]


def test_weights_that_change_nothing_are_told() -> None:
    sides = {"base": {"sha256": ""}, "tuned": {"sha256": "3f", "same_as": "base"}, "odd": "x"}
    weights = read_weights({"sides": sides, "max_delta_logit": {"tuned": 0, "base": "x"}})
    assert weights.same == [("tuned", "base")]
    assert weights.max_delta_logit == {"tuned": 0.0}
    assert read_weights({"sides": 3}).sides == {}


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    talk = two_turns()
    for index in range(2):
        answered(talk, {"base": f"a{index}", "tuned": f"b{index}"}, index)
    talk.weights = read_weights(
        {"sides": {"base": {"label": "base"}, "tuned": {"label": "tuned (dpo)", "sha256": "3f"}}}
    )
    talk.source = {"prompt_id": "p1", "category": "chat", "prompt_set": "mine"}
    keep(run, talk, Sampling(seed=7))()
    records = load_comparisons(run)
    assert [record["index"] for record in records] == [0, 1]
    assert [record["seed"] for record in records] == [7, 8]
    assert records[0]["histories"]["tuned"][2]["content"] == "Because."
    assert records[0]["category"] == "chat"
    (past,) = read_past(run)
    assert past.talk is not None
    assert past.prompt == "And?"
    assert past.talk.seats == SEATS
    assert past.talk.count == 2
    assert past.talk.earlier("base")[0] == ("Why?", "Well ...")
    assert past.talk.system == "Be brief."
    assert not past.talk.live


def test_odd_records_are_read_as_far_as_they_go() -> None:
    talk = kept_conversation(
        {"messages": [3, {"role": "user"}], "answers": {"base": 3, "x": {"text": "t"}},
         "index": "a", "histories": {"x": "?"}, "sides": []}
    )  # fmt: skip
    assert talk.prompt == ""
    assert talk.turns[0].answer("x", 0) == {"text": "t"}


def test_markdown_is_inert_and_never_replaces_a_file(tmp_path: Path) -> None:
    talk = Conversation((Seat("base", "<b>base"), Seat("tuned", "tuned")))
    talk.say("# Title\n```\n<script>alert(1)</script>")
    answered(talk, {"base": f"{HOSTILE}````", "tuned": ""})
    text = markdown("a [name](x)", "run", talk, Sampling())
    assert "\x1b" not in text
    assert "a \\[name\\]\\(x\\)" in text
    assert "### \\<b\\>base" in text
    # The fence is longer than any in the text, so that the text cannot end it.
    assert "\n````text\n# Title\n```\n<script>" in text
    assert fenced("a````b").startswith("`````text\n")
    first = write_markdown(tmp_path, "a/b", "run", talk, Sampling())
    second = write_markdown(tmp_path, "a/b", "run", talk, Sampling())
    assert first.name == "comparison-a-b-1.md"
    assert second.name == "comparison-a-b-2.md"
    assert first.read_text(encoding="utf-8") == markdown("a/b", "run", talk, Sampling())


def test_a_side_is_put_into_a_pane() -> None:
    base, sft, tuned, other = (Seat(name, name) for name in ("base", "sft", "tuned", "other"))
    two, three = (base, tuned), (base, sft, tuned)
    assert with_side(two, two, 1, other) == (base, other)
    assert with_side(two, two, 0, tuned) == (tuned, base)
    assert with_side(two, two, 2, other) == (base, other, tuned)
    assert with_side(two, two, 2, base) == two
    assert with_side(three, three, 1, other) == (base, other, tuned)
    # A narrow terminal does not show the middle one, which stays.
    assert with_side(three, two, 0, other) == (other, sft, tuned)
    assert with_side(three, two, 1, sft) == (base, sft)

"""The shapes of rows that are known: the one table of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workbench.data.formats.model import Stage

LEFT_ALONE = "trl"


@dataclass(frozen=True)
class ShapeInfo:
    """What people are told of a shape.

    Attributes:
        name: As in a recipe's `data_format`.
        title: A few words.
        row: What a row looks like.
        becomes: What is made of it.
        stage: Which stage can train on it; empty for none.
        weight: How distinctive its columns are, from 0 to 1: hardly anything else has columns
            like these (1), or many things have (0.5). The confidence is this times the share of
            the looked-at rows that something can be made of.
    """

    name: str
    title: str
    row: str
    becomes: str
    stage: Stage | Literal[""]
    weight: float


def _dpo(name: str, weight: float, title: str, row: str, becomes: str) -> ShapeInfo:
    return ShapeInfo(name, title, row, becomes, "dpo", weight)


def _sft(name: str, weight: float, title: str, row: str, becomes: str) -> ShapeInfo:
    return ShapeInfo(name, title, row, becomes, "sft", weight)


def _none(name: str, weight: float, title: str, row: str, becomes: str) -> ShapeInfo:
    return ShapeInfo(name, title, row, becomes, "", weight)


# Where two shapes are equally sure, the one that stands first is taken.
_TABLE = (
    _dpo(
        "explicit",
        1.0,
        "prompt, chosen and rejected",
        "prompt, chosen, rejected: all texts, or all lists of messages",
        "left as it is where TRL reads it; else messages",
    ),
    _dpo(
        "ultrafeedback",
        1.0,
        "a prompt beside whole conversations (UltraFeedback binarized)",
        "prompt; chosen and rejected hold the prompt once more, as messages",
        "messages that both answers begin with are the prompt",
    ),
    _dpo(
        "hh_rlhf",
        1.0,
        "Human/Assistant transcripts (HH-RLHF)",
        "chosen and rejected: texts with Human: and Assistant: turns",
        "left as it is unless asked for by name; then messages, split between turns",
    ),
    _dpo(
        "implicit",
        0.95,
        "chosen and rejected with the prompt inside",
        "chosen, rejected: whole texts, or whole conversations",
        "left as it is where TRL reads it; else messages that both begin with are the prompt",
    ),
    _dpo(
        "sharegpt_pairs",
        1.0,
        "a conversation and two answers to it (ShareGPT)",
        "conversations or messages; chosen and rejected: one message or text each",
        "messages",
    ),
    _dpo(
        "openai_preference",
        1.0,
        "OpenAI's preference format",
        "input.messages (and tools), preferred_output, non_preferred_output",
        "messages",
    ),
    _dpo(
        "alpaca_pairs",
        0.95,
        "instruction with two answers (Alpaca ranking)",
        "instruction, input, chosen, rejected, perhaps system and history",
        "messages; instruction and input are one user turn",
    ),
    _dpo(
        "orca_pairs",
        0.95,
        "system, question and two answers (Orca pairs)",
        "system, question, chosen, rejected",
        "messages",
    ),
    _dpo(
        "swift_pairs",
        0.95,
        "response and rejected response (ms-swift)",
        "query and response, or messages; rejected_response; perhaps history and system",
        "messages",
    ),
    _dpo(
        "pair_columns",
        0.9,
        "pairs under other column names",
        "a prompt and two answers, by names such as question, preferred, dispreferred",
        "messages",
    ),
    _dpo(
        "pair_texts",
        0.9,
        "pairs under other column names, kept as plain texts",
        "as pair_columns; only when asked for by name",
        "texts under TRL's names, without a chat template",
    ),
    _dpo(
        "arena",
        1.0,
        "two conversations and a winner (Chatbot Arena)",
        "conversation_a, conversation_b, winner",
        "messages; a tie gives no pair",
    ),
    _dpo(
        "shp",
        1.0,
        "two comments and which is liked more (SHP)",
        "history, human_ref_A, human_ref_B, labels (1: A is liked more)",
        "messages",
    ),
    _dpo(
        "pairwise_votes",
        1.0,
        "two answers and several people's votes",
        "response1, response2 and a column a person: 0 a tie, 1, 2",
        "messages; the majority decides, no majority gives no pair",
    ),
    _dpo(
        "pairwise_label",
        0.95,
        "two answers and which is better",
        "output_1, output_2, label; response_a, response_b, winner; ...",
        "messages; a tie gives no pair",
    ),
    _dpo(
        "pairwise_scores",
        0.95,
        "two answers with a score each",
        "answer_0, answer_1, score_0, score_1; ...",
        "messages; the higher score is chosen, equal ones give no pair",
    ),
    _dpo(
        "rated_generations",
        1.0,
        "a list of answers and a list of their ratings (distilabel)",
        "instruction, generations, ratings",
        "messages; a higher rating is better, equal ones give no pair",
    ),
    _dpo(
        "ranked_answers",
        1.0,
        "a list of answers, each with its rank or score",
        "prompt, responses: a list of {text, score} or {text, rank}",
        "messages; a lower rank or a higher score is better, equal ones give no pair",
    ),
    _dpo(
        "ordered_answers",
        0.8,
        "a list of answers, the best first",
        "prompt, ranked_responses: a list of texts",
        "messages",
    ),
    _dpo(
        "answer_tree",
        1.0,
        "trees of messages with ranked replies (Open Assistant)",
        "prompt.replies[].rank, to any depth",
        "messages; a pair for each two ranked replies to one message",
    ),
    _dpo(
        "checked_solutions",
        1.0,
        "solutions that are right or wrong",
        "question and columns of {solution, is_correct}",
        "messages; each right solution over each wrong one",
    ),
    _none(
        "unpaired",
        1.0,
        "single answers with a thumb up or down (KTO)",
        "messages, or prompt and completion; label: true or false",
        "nothing: DPO needs two answers to one prompt",
    ),
    _sft(
        "messages",
        1.0,
        "conversations",
        "messages: a list of {role, content}",
        "left as it is where TRL reads it; else messages",
    ),
    _sft(
        "sharegpt",
        1.0,
        "conversations (ShareGPT)",
        "conversations: a list of {from, value}; perhaps system and tools",
        "messages",
    ),
    _sft(
        "prompt_completion",
        1.0,
        "prompt and completion",
        "prompt, completion: texts, or lists of messages",
        "left as it is where TRL reads it; else messages",
    ),
    _sft(
        "alpaca",
        0.95,
        "instruction and output (Alpaca)",
        "instruction, input, output, perhaps system and history",
        "messages: instruction and input are one user turn, output is the completion",
    ),
    _sft(
        "instances",
        1.0,
        "an instruction and a list of its uses (self-instruct)",
        "instruction, instances: a list of {input, output}",
        "messages, one row a use",
    ),
    _sft(
        "question_answer",
        0.9,
        "question and answer",
        "a prompt and one answer, by names such as question and answer",
        "messages: the answer is the completion",
    ),
    _sft("text", 0.9, "plain texts", "text", "left as it is"),
    _none(
        "loose_messages",
        1.0,
        "single messages of conversations",
        "text, role, parent_id, perhaps rank",
        "nothing: the conversations are in pieces",
    ),
    _none(
        "prompts",
        0.8,
        "prompts without answers",
        "prompt, or turns: a list of texts",
        "nothing: there is no answer to learn from",
    ),
)

SHAPES = {info.name: info for info in _TABLE}


def shapes() -> dict[str, str]:
    """The names that `data_format` may take, with their titles."""
    found = {info.name: info.title for info in _TABLE if info.stage}
    return {LEFT_ALONE: "TRL's own columns, left as they are", **found}

"""Rules that look at one row, or one pair, alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from workbench.data.formats.texts import common_start, implicit_split, split_pair, splits_word
from workbench.data.lint.controls import control_kinds, may_have_controls, mended_controls
from workbench.data.lint.model import Example
from workbench.data.lint.phrases import broken_encoding, refuses, special_tokens
from workbench.data.lint.scripts import LATIN, asks_for, script_of

Found = tuple[str, str]
"""Name of a rule, and what it has found."""

NEAR_SHARE, NEAR_LETTERS = 0.98, 100
REPEATED_PROMPT_LETTERS = 20
SHOWN = 24
FIRST_LETTERS = 100
_VISIBLE = re.compile(r"[!-~]|[^\W\d_]")
# Marks that end a word or stand around it, not those inside numbers and words, nor a factorial's.
_MARKS = re.compile(
    r"[.,;:?](?!\w)|(?<!\d)!(?!\w)|(?<!\w)[\"'\u2018\u2019\u201c\u201d]"
    r"|[\"'\u2018\u2019\u201c\u201d](?!\w)"
)
_BOLD = re.compile(r"\*\*(?=\S)([^*\n]+?)\*\*")
# Where blanks, marks and case mean something.
_CODE = re.compile(r"[`={}<>\\]|\(\)|;\n|\n(?: {2,}|\t)|\w\(|\w_\w")


def row_findings(example: Example) -> Iterator[Found]:
    """What is wrong with one row."""
    answers = example.answers
    names = ("chosen", "rejected") if len(answers) == 2 else ("the answer",)
    if len(answers) == 2:
        yield from _two_answers(example, *answers)
    for name, answer in zip(names, answers, strict=True):
        if is_blank(answer):
            yield "empty_answer", f"{name} is {'blank' if answer else 'empty'}"
    texts = (("the prompt", example.prompt), *zip(names, answers, strict=True))
    yield from _prompt(example, names)
    yield from _roles(example.trl)
    # One look at all of them together, since there is hardly ever anything.
    whole = "\n".join((example.prompt, *answers))
    if not whole.isascii() or "<" in whole or "[" in whole or may_have_controls(whole):
        for name, text in texts:
            yield from _characters(name, text)


def is_blank(answer: str) -> bool:
    """Whether nothing of an answer is to be seen."""
    return _VISIBLE.search(answer) is None and not mended_controls(answer).strip()


def _two_answers(example: Example, chosen: str, rejected: str) -> Iterator[Found]:
    if chosen.strip() == rejected.strip():
        if not is_blank(chosen):
            yield "identical_answers", "both answers are the same"
        return
    if near := _nearness(chosen, rejected):
        yield "near_identical_answers", near
    refusals = refuses(chosen), refuses(rejected)
    if all(refusals):
        yield "both_refuse", "both begin by declining"
    elif refusals[0]:
        yield "refusal_chosen", f"chosen begins: {_start(chosen)}"
    scripts = script_of(chosen), script_of(rejected)
    if all(scripts) and scripts[0] != scripts[1] and not _explained(example.prompt, scripts):
        yield "mixed_languages", f"chosen is in {scripts[0]}, rejected in {scripts[1]}"


def _explained(prompt: str, scripts: tuple[str, str]) -> bool:
    """Whether the prompt speaks of the script of either answer, be it the foreign one."""
    foreign = [script for script in scripts if script != LATIN]
    return any(asks_for(prompt, script) for script in foreign)


def _nearness(chosen: str, rejected: str) -> str:
    """How two different answers are nearly one; empty where they are not.

    Prose that is equal but for case, blanks and marks; or, from 100 letters on, any two with the
    same beginning and end over 98 % of the longer one.
    """
    longer = max(len(chosen), len(rejected))
    if abs(len(chosen) - len(rejected)) > 0.1 * longer + 4:
        return ""
    front = common_start(chosen, rejected)
    # Nearly all pairs are told apart by their first words.
    alike = _loose(chosen[:FIRST_LETTERS])[:SHOWN] == _loose(rejected[:FIRST_LETTERS])[:SHOWN]
    if alike and not _CODE.search(chosen) and _loose(chosen) == _loose(rejected):
        return "they differ in case, blanks or punctuation alone"
    if longer < NEAR_LETTERS:
        return ""
    back = common_start(chosen[front:][::-1], rejected[front:][::-1])
    share = (front + back) / longer
    return f"{share:.0%} of the letters are the same" if share >= NEAR_SHARE else ""


def _loose(text: str) -> str:
    return " ".join(_MARKS.sub("", _BOLD.sub(r"\1", text.casefold())).split())


def _prompt(example: Example, names: tuple[str, ...]) -> Iterator[Found]:
    trl = example.trl
    if "text" not in trl and "messages" not in trl and not example.prompt.strip():
        yield "no_prompt", "the prompt is empty"
    chosen, rejected = trl.get("chosen"), trl.get("rejected")
    if "prompt" not in trl and isinstance(chosen, str) and isinstance(rejected, str):
        if splits_word(chosen, rejected):
            at = implicit_split(chosen, rejected)
            shown = f"{chosen[max(0, at - SHOWN) : at]}|{chosen[at : at + SHOWN]}"
            yield "character_split", f"split at: {shown}"
        return
    asked = _last_question(trl).strip()
    if len(asked) < REPEATED_PROMPT_LETTERS:
        return
    for name, answer in zip(names, example.answers, strict=True):
        answer = answer.lstrip()
        if answer.startswith(asked) and not answer[len(asked) : len(asked) + 1].isalnum():
            yield "prompt_in_answer", f"{name} begins with the prompt"


def _last_question(trl: Mapping[str, Any]) -> str:
    prompt = trl.get("messages", trl.get("prompt", ""))
    if "prompt" not in trl and isinstance(trl.get("chosen"), list):
        prompt = split_pair(trl)[0]
    if not isinstance(prompt, list):
        return prompt if isinstance(prompt, str) else ""
    asked = [turn for turn in prompt if turn.get("role") == "user"]
    content = asked[-1].get("content") if asked else ""
    return content if isinstance(content, str) else ""


def _roles(trl: Mapping[str, Any]) -> Iterator[Found]:
    if "messages" in trl:
        turns = trl["messages"]
        yield from _order(turns, "")
        if turns and turns[-1].get("role") == "user":
            yield "role_order", "it ends with a turn of the user"
        return
    if isinstance(trl.get("chosen"), list):
        prompt, chosen, rejected = split_pair(trl)
        answers = {"chosen": chosen, "rejected": rejected}
    else:
        prompt, answers = trl.get("prompt"), {"completion": trl.get("completion")}
    if isinstance(prompt, list):
        yield from _order(prompt, "the prompt: ")
        if prompt and prompt[-1].get("role") == "assistant":
            yield "role_order", "the prompt ends with a turn of the assistant"
    for name, answer in answers.items():
        if not isinstance(answer, list) or not answer:
            continue
        if answer[0].get("role") != "assistant":
            yield "role_order", f"{name} begins with a turn of {answer[0].get('role')}"
        elif answer[-1].get("role") in ("user", "system"):
            yield "role_order", f"{name} ends with a turn of {answer[-1].get('role')}"


def _order(turns: Any, where: str) -> Iterator[Found]:
    roles = [turn.get("role") for turn in turns]
    if "system" in roles[1:]:
        yield "role_order", f"{where}a system message is not the first"
    spoken = [role for role in roles if role in ("user", "assistant")]
    calls = "tool" in roles or any(turn.get("tool_calls") for turn in turns)
    for role in ("user", "assistant"):
        twice = any(a == b == role for a, b in pairwise(spoken))
        if twice and not (role == "assistant" and calls):
            yield "role_order", f"{where}two turns of the {role} running"
    if spoken and spoken[0] == "assistant":
        yield "role_order", f"{where}it begins with a turn of the assistant"


def _characters(name: str, text: str) -> Iterator[Found]:
    if tokens := special_tokens(text):
        yield "special_tokens", f"{name} has {' '.join(tokens[:4])}"
    if not text.isascii() and (fault := broken_encoding(text)):
        yield "broken_encoding", f"{name}: {fault}"
    if kinds := control_kinds(text):
        yield "control_characters", f"{name} has {kinds}"


def _start(text: str) -> str:
    return " ".join(text[: 2 * SHOWN].split())

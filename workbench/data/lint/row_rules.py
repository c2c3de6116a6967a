"""Rules that look at one row, or one pair, alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from workbench.base.text import clean
from workbench.data.formats.texts import implicit_split, splits_word
from workbench.data.lint.model import Example
from workbench.data.lint.phrases import broken_encoding, refuses, special_tokens
from workbench.data.lint.scripts import script_of

Found = tuple[str, str]
"""Name of a rule, and what it has found."""

NEAR_SHARE, NEAR_LETTERS = 0.98, 100
REPEATED_PROMPT_LETTERS = 20
SHOWN = 24
_LOOSE = re.compile(r"[\s.,;:!?\"'`\u2018\u2019\u201c\u201d*_]+")


def row_findings(example: Example) -> Iterator[Found]:
    """What is wrong with one row."""
    answers = example.answers
    names = ("chosen", "rejected") if len(answers) == 2 else ("the answer",)
    if len(answers) == 2:
        yield from _two_answers(example, *answers)
    for name, answer in zip(names, answers, strict=True):
        if not answer.strip():
            yield "empty_answer", f"{name} is {'blank' if answer else 'empty'}"
    texts = (("the prompt", example.prompt), *zip(names, answers, strict=True))
    yield from _prompt(example, names)
    yield from _roles(example.trl)
    for name, text in texts:
        yield from _characters(name, text)


def _two_answers(example: Example, chosen: str, rejected: str) -> Iterator[Found]:
    if chosen.strip() == rejected.strip():
        if chosen.strip():
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
    if all(scripts) and scripts[0] != scripts[1]:
        yield "mixed_languages", f"chosen is in {scripts[0]}, rejected in {scripts[1]}"


def _nearness(chosen: str, rejected: str) -> str:
    """How two different answers are nearly one; empty where they are not.

    Equal but for case, blanks and marks; or, from 100 letters on, with the same beginning and end
    over 98 % of the longer one.
    """
    if abs(len(chosen) - len(rejected)) > 0.1 * max(len(chosen), len(rejected)) + 4:
        return ""
    if _LOOSE.sub("", chosen.casefold()) == _LOOSE.sub("", rejected.casefold()):
        return "they differ in case, blanks or punctuation alone"
    longer = max(len(chosen), len(rejected))
    if longer < NEAR_LETTERS:
        return ""
    front = common_start(chosen, rejected)
    back = common_start(chosen[front:][::-1], rejected[front:][::-1])
    share = (front + back) / longer
    return f"{share:.0%} of the letters are the same" if share >= NEAR_SHARE else ""


def common_start(one: str, other: str) -> int:
    """Letters that two texts begin with alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


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
        if answer.lstrip().startswith(asked):
            yield "prompt_in_answer", f"{name} begins with the prompt"


def _last_question(trl: Mapping[str, Any]) -> str:
    prompt = trl.get("prompt", "")
    if not isinstance(prompt, list):
        return prompt if isinstance(prompt, str) else ""
    asked = [turn for turn in prompt if turn.get("role") == "user"]
    content = asked[-1].get("content") if asked else ""
    return content if isinstance(content, str) else ""


def _roles(trl: Mapping[str, Any]) -> Iterator[Found]:
    if "messages" in trl:
        yield from _order(trl["messages"], "")
        return
    prompt = trl.get("prompt")
    if not isinstance(prompt, list):
        return
    yield from _order(prompt, "the prompt: ")
    if prompt and prompt[-1].get("role") == "assistant":
        yield "role_order", "the prompt ends with a turn of the assistant"
    for name in ("chosen", "rejected", "completion"):
        answer = trl.get(name)
        if isinstance(answer, list) and answer and answer[0].get("role") not in ("assistant",):
            yield "role_order", f"{name} begins with a turn of {answer[0].get('role')}"


def _order(turns: Any, where: str) -> Iterator[Found]:
    roles = [turn.get("role") for turn in turns]
    if "system" in roles[1:]:
        yield "role_order", f"{where}a system message is not the first"
    spoken = [role for role in roles if role in ("user", "assistant")]
    calls = any(turn.get("tool_calls") or turn.get("role") == "tool" for turn in turns)
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


def control_kinds(text: str) -> str:
    """The invisible characters of a text by their numbers, the first ones; empty for none."""
    if text.isprintable() or _plain(text).isprintable():
        return ""
    left = set(clean(text))
    gone = dict.fromkeys(f"U+{ord(c):04X}" for c in _plain(text) if c not in left and c != "\ufffd")
    surrogates = {f"U+{n:04X}" for n in range(0xD800, 0xE000)} if "\ufffd" in left else set()
    return ", ".join([kind for kind in gone if kind not in surrogates][:4])


def _plain(text: str) -> str:
    return text.replace("\n", "").replace("\t", "").replace("\r", "")


def _start(text: str) -> str:
    return " ".join(text[: 2 * SHOWN].split())

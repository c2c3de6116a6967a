"""What the answering process is asked for, read and refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.judge.answers import Message, Sampling
from workbench.judge.limits import MAX_ANSWERS, MAX_NEW_TOKENS
from workbench.worker.probes import as_prompt


def bad_request(what: str) -> ProblemError:
    """An error about a request's content."""
    return ProblemError(Problem(what, next_step="Correct the request and ask again."))


def read_sampling(request: Mapping[str, Any]) -> Sampling:
    """The sampling fields of a request; those it leaves out have their defaults.

    Raises:
        ProblemError: a value is no number or out of range.
    """
    defaults = asdict(Sampling())
    values: dict[str, Any] = {}
    for name, default in defaults.items():
        try:
            values[name] = type(default)(request.get(name, default))
        except (TypeError, ValueError, OverflowError) as error:
            raise bad_request(f"{name} is no number: {request[name]!r}") from error
    sampling = Sampling(**values)
    if not 1 <= sampling.max_new_tokens <= MAX_NEW_TOKENS:
        raise bad_request(f"max_new_tokens is not between 1 and {MAX_NEW_TOKENS}")
    if not 0 <= sampling.seed < 2**63:
        raise bad_request("seed is not between 0 and 2**63 - 1")
    in_range = sampling.temperature >= 0 and 0 < sampling.top_p <= 1 and sampling.top_k >= 0
    if not in_range or not sampling.repetition_penalty > 0:
        raise bad_request("temperature, top_p, top_k or repetition_penalty is out of range")
    return sampling


def read_answers(request: Mapping[str, Any]) -> int:
    """How many answers of each side are asked for."""
    count = request.get("answers", 1)
    if not isinstance(count, int) or not 1 <= count <= MAX_ANSWERS:
        raise bad_request(f"answers is not between 1 and {MAX_ANSWERS}")
    return count


def read_messages(messages: Any) -> list[Message]:
    """A conversation, with what is no character replaced.

    Raises:
        ProblemError: it is none.
    """
    if not isinstance(messages, list) or not messages:
        raise bad_request("the request has no messages")
    clean: list[Message] = []
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise bad_request("a message has no role or content")
        content = message["content"].encode("utf-8", "replace").decode("utf-8")
        clean.append({"role": str(message.get("role", "user")), "content": content})
    return clean


def prompt_ids(tokenizer: Any, messages: list[Message], limit: int | None) -> list[int]:
    """A conversation's tokens, up to where the answer begins.

    Args:
        limit: tokens that the model reads at most; None where it is not known.

    Raises:
        ProblemError: there are none, more than the limit, or the template refuses it.
    """
    from jinja2 import TemplateError

    try:
        text = as_prompt(tokenizer, [dict(message) for message in messages])
    except TemplateError as error:
        raise bad_request(f"the model's chat template refuses the conversation: {error}") from error
    has_template = bool(tokenizer.chat_template)
    ids = list(tokenizer(text, add_special_tokens=not has_template)["input_ids"])
    if not ids:
        raise bad_request("the prompt is empty")
    if limit is not None and len(ids) >= limit:
        raise bad_request(f"the prompt has {len(ids)} tokens, the model reads {limit}")
    return ids

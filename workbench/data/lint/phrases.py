"""What texts are looked through for."""

from __future__ import annotations

import re

SPECIAL_TOKENS = (
    "<s>", "</s>", "<bos>", "<eos>", "<pad>", "<unk>", "<|im_start|>", "<|im_end|>",
    "<|endoftext|>", "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>",
    "<|start_header_id|>", "<|end_header_id|>", "<|end|>", "<|user|>", "<|assistant|>",
    "<|system|>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>",
)  # fmt: skip
"""How common tokenizers and chat templates write theirs."""

_SPECIAL = re.compile("|".join(map(re.escape, SPECIAL_TOKENS)))
_AT_ENDS = re.compile(
    rf"\A(?:\s*(?:{_SPECIAL.pattern}))+|(?:(?:{_SPECIAL.pattern})\s*)+\Z",
)

REFUSAL_LETTERS = 160
_REFUSAL = re.compile(
    r"\b(?:i(?:['\u2019]m| am) (?:\w+ )?(?:sorry|afraid|unable|not able)\b"
    r"|i (?:can(?:no|['\u2019])t|can not|won['\u2019]t|will not|must decline|am not able)\b"
    r"|as an ai\b|i apologi[sz]e\b|sorry, (?:but )?i\b)",
    re.IGNORECASE,
)
_HELP = re.compile(
    r"\b(?:assist|help|provide|answer|fulfil+|comply|do that|discuss|engage|support|create|write"
    r"|generate|offer|give|share|advise|recommend|continue|language model|ai)\b",
    re.IGNORECASE,
)

_MOJIBAKE = re.compile(
    "[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac[\u2122\u0153\u009d\u201c\u201d\u00a6\u02dc\u00a2]"
    "|\u00e2\u201a\u00ac|\u00c3[\u0192\u00a0-\u00bf]"
)


def special_tokens(text: str) -> list[str]:
    """Special tokens that stand in a text as letters, each once."""
    if "<" not in text and "[" not in text:
        return []
    return list(dict.fromkeys(_SPECIAL.findall(text)))


def without_special_ends(text: str) -> str:
    """A text without the special tokens that it begins or ends with."""
    return _AT_ENDS.sub("", text)


def refuses(text: str) -> bool:
    """Whether an answer begins by declining.

    By its first 160 letters: an apology or "I cannot", together with a word of helping. An apology
    for a mistake, or "I can't wait", is none.
    """
    start = text[:REFUSAL_LETTERS]
    return bool(_REFUSAL.search(start) and _HELP.search(start))


def broken_encoding(text: str) -> str:
    """What tells that a text was decoded wrongly; empty where nothing does."""
    if text.isascii():
        return ""
    if "\ufffd" in text:
        return "it has replacement characters (U+FFFD)"
    if found := _MOJIBAKE.search(text):
        return f"{found[0]!r} is UTF-8 that was read as Windows-1252"
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return "it has half characters (lone surrogates)"
    return ""


def decoded_again(text: str) -> str:
    """A text with its wrong decoding undone, where the whole of it goes back exactly."""
    try:
        return text.encode("cp1252").decode("utf-8") if _MOJIBAKE.search(text) else text
    except UnicodeError:
        return text

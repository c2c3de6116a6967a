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
_HINT = re.compile(r"<[s/bepu|<]|\[/?I")
_ROLE = "(?:system|user|assistant|model|tool)"
_AT_ENDS = re.compile(
    rf"\A(?:\s*(?:<\|im_start\|>{_ROLE}\n|<start_of_turn>{_ROLE}\n"
    rf"|<\|start_header_id\|>{_ROLE}<\|end_header_id\|>\n\n|{_SPECIAL.pattern}))+"
    rf"|(?:(?:{_SPECIAL.pattern})\s*)+\Z",
)
# HTML strikes words out so. A whole text between the two is no HTML.
_STRUCK_OUT = re.compile(r"(?<=[^\s])(\s*)<s>[^<>\n]*</s>|<s>[^<>\n]*</s>(?=\s*[^\s<])")

REFUSAL_LETTERS = 160
HEDGED_LETTERS = 400
_VERBS = (
    r"(?:assist|help(?! (?:but|my|\w+ing\b))|provide|answer|fulfil+|comply|do (?:that|this|so)"
    r"|discuss|engage|support|create|write|generate|offer|give(?! up)|share|advise|recommend"
    r"|continue|translate|perform|respond|predict|edit|implement|develop|complete|process|browse"
    r"|access|make (?:a|any)|tell you)\b"
)
_DECLINES = re.compile(
    r"\b(?:i|(?:model|ai|assistant),? (?:and|so))(?:['\u2019]m| am)? "
    r"(?:(?:really|simply|just|also|am|currently|afraid i|sorry,? (?:but )?i) )*"
    r"(?:(?:can(?:no|['\u2019])t|can not|won['\u2019]t|will not|would not)(?: be able to)?"
    r"|(?:unable|not able|not capable|not allowed|not programmed|not comfortable)(?: to| of)?"
    r"|do(?:n['\u2019]t| not) (?:have the (?:ability|capability|capabilities)|feel comfortable)"
    rf"|refuse to)\b(?! wait)[^.!?\n]{{0,40}}?\b{_VERBS}"
    r"|\bi (?:must|have to|will have to) (?:\w+ )?(?:decline|refuse)\b"
    r"|\b(?:sorry|apologi[sz]e|afraid|no|unfortunately)\W+(?:but )?i (?:can(?:no|['\u2019])t"
    r"|can not|won['\u2019]t)[.!]",
    re.IGNORECASE,
)
# No declining without one of these; looking for them is faster.
_NEGATIONS = ("not", "n't", "n\u2019t", "unable", "decline", "refuse")
_PRAISE = re.compile(r"[^.!?\n]*\b(?:enough|too highly)\b", re.IGNORECASE)
_NEVERTHELESS = re.compile(
    r"\b(?:but|however),? (?:here\b|i(?:['\u2019]d| can| could| will|['\u2019]ll)\b(?! not))"
    r"|\bi can (?:still|certainly|definitely)\b",
    re.IGNORECASE,
)

_CP1252 = "\u0080-\u00bf\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152"
_CP1252 += "\u017d\u2122\u0161\u203a\u0153\u017e\u0178\u02dc"
_MOJIBAKE = re.compile(
    f"[\u00c2\u00c3][{_CP1252}]|\u00e2[\u20ac\u0080][{_CP1252}\u2018\u2019\u201c\u201d]"
    f"|\u00e2\u201a\u00ac|\u00f0\u0178|\u00f0\u009f[\u0080-\u00bf]"
    f"|(?:[\u00d0\u00d1][{_CP1252}\u2018-\u201d\u2013\u2014\u2022]){{3}}"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def special_tokens(text: str) -> list[str]:
    """Special tokens that stand in a text as letters, each once.

    `<s>words</s>` among other words is HTML that strikes them out.
    """
    if _HINT.search(text) is None:
        return []
    return list(dict.fromkeys(_SPECIAL.findall(_STRUCK_OUT.sub(" ", text))))


def without_special_ends(text: str) -> str:
    """A text without the special tokens that it begins or ends with.

    A role that stands between two of them at the beginning, as chat templates write it, goes too.
    """
    if not special_tokens(text) or _STRUCK_OUT.search(text):
        return text
    return _AT_ENDS.sub("", text)


def refuses(text: str) -> bool:
    """Whether an English answer begins by declining what it was asked for.

    By its first 160 letters: somebody cannot or will not, and a word of helping follows in the
    same sentence. An apology is none, nor that a model has no opinions, nor "I can't wait". An
    answer of 400 letters or more that goes on with "but here is", or "however, I can", helps.
    """
    start = text[:REFUSAL_LETTERS].lower()
    if not any(word in start for word in _NEGATIONS):
        return False
    found = _DECLINES.search(text[:REFUSAL_LETTERS])
    if found is None or _PRAISE.match(text, found.end()):
        return False
    if len(text) < HEDGED_LETTERS:
        return True
    return _NEVERTHELESS.search(text[found.end() : found.end() + HEDGED_LETTERS]) is None


def broken_encoding(text: str) -> str:
    """What tells that a text was decoded wrongly; empty where nothing does."""
    if text.isascii():
        return ""
    if "\ufffd" in text:
        return "it has replacement characters (U+FFFD)"
    if found := _MOJIBAKE.search(text):
        return f"{found[0]!r} is UTF-8 that was read as Windows-1252"
    if _SURROGATE.search(text):
        return "it has half characters (lone surrogates)"
    return ""


def decoded_again(text: str) -> str:
    """A text with its wrong decoding undone, where the whole of it goes back exactly."""
    if text.isascii() or not _MOJIBAKE.search(text):
        return text
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return text

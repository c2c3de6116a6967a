"""Which script a text is written in, by Unicode blocks."""

from __future__ import annotations

import re

_BLOCKS = {
    "Cyrillic": "\u0400-\u052f",
    "Greek": "\u0370-\u03ff",
    "Hebrew": "\u0590-\u05ff",
    "Arabic": "\u0600-\u06ff\u0750-\u077f",
    "Devanagari": "\u0900-\u097f",
    "Bengali": "\u0980-\u09ff",
    "Tamil": "\u0b80-\u0bff",
    "Thai": "\u0e00-\u0e7f",
    "Georgian": "\u10a0-\u10ff",
    "Hangul": "\uac00-\ud7af\u1100-\u11ff",
    "Kana": "\u3040-\u30ff",
    "Han": "\u4e00-\u9fff\u3400-\u4dbf",
}
_LETTERS = {name: re.compile(f"[{block}]") for name, block in _BLOCKS.items()}
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
LEAST_LETTERS = 12
FIRST_LETTERS = 2000
LATIN = "Latin"
# A Chinese letter says about as much as three Latin ones; Japanese mixes Kana and Han.
_WEIGHT = {"Han": 3, "Kana": 3, "Hangul": 2}


def script_of(text: str) -> str:
    """The script of most of a text's first letters; empty for a text of few letters.

    Han with Kana is Kana, that is Japanese.
    """
    text = text[:FIRST_LETTERS]
    if text.isascii():
        return LATIN if len(_LATIN.findall(text)) >= LEAST_LETTERS else ""
    counts = {n: len(p.findall(text)) * _WEIGHT.get(n, 1) for n, p in _LETTERS.items()}
    counts[LATIN] = len(_LATIN.findall(text))
    if counts["Kana"]:
        counts["Kana"] += counts.pop("Han")
    name, count = max(counts.items(), key=lambda item: item[1])
    return name if count >= LEAST_LETTERS else ""

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
_OTHER = re.compile(f"[{''.join(_BLOCKS.values())}]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
LEAST_LETTERS = 12
FIRST_LETTERS = 2000
LATIN = "Latin"
_SOME_LATIN = re.compile(f"(?:[^A-Za-z\u00c0-\u024f]*+[A-Za-z\u00c0-\u024f]){{{LEAST_LETTERS}}}")
# A Chinese letter says about as much as three Latin ones; Japanese mixes Kana and Han.
_WEIGHT = {"Han": 3, "Kana": 3, "Hangul": 2}

_LANGUAGES = {
    "Cyrillic": "russian|ukrainian|bulgarian|serbian|macedonian|belarusian|kazakh|mongolian",
    "Greek": "greek",
    "Hebrew": "hebrew|yiddish",
    "Arabic": "arabic|persian|farsi|urdu|pashto|kurdish|sindhi|uyghur",
    "Devanagari": "hindi|marathi|nepali|sanskrit|konkani|bhojpuri",
    "Bengali": "bengali|bangla|assamese",
    "Tamil": "tamil",
    "Thai": "thai",
    "Georgian": "georgian",
    "Hangul": "korean",
    "Kana": "japanese|hiragana|katakana|kanji",
    "Han": "chinese|mandarin|cantonese|zhong ?wen|hanzi",
    LATIN: "english|french|german|spanish|portuguese|italian|dutch|polish|turkish|vietnamese"
    "|indonesian|swedish|czech|romanian|hungarian|finnish|danish|norwegian|galician|catalan"
    "|pinyin|romaji|transliterat\\w+|latin",
}
_ASKED = {
    name: re.compile(rf"\b(?:{words}|{name.lower()})\b", re.IGNORECASE)
    for name, words in _LANGUAGES.items()
}
_TRANSLATION = re.compile(
    r"\b(?:translat\w+|transliterat\w+|tradu\w+|\u00fcbersetz\w*|in (?:another|other) languages?)\b"
    r"|\u043f\u0435\u0440\u0435\u0432\u0435\u0434|\u7ffb[\u8bd1\u8b6f\u8a33]|\ubc88\uc5ed",
    re.IGNORECASE,
)


def script_of(text: str) -> str:
    """The script of most of a text's first letters; empty for a text of few letters.

    Han with Kana is Kana, that is Japanese.
    """
    text = text[:FIRST_LETTERS]
    if text.isascii() or not _OTHER.search(text):
        return LATIN if _SOME_LATIN.match(text) else ""
    counts = {n: len(p.findall(text)) * _WEIGHT.get(n, 1) for n, p in _LETTERS.items()}
    counts[LATIN] = len(_LATIN.findall(text))
    if counts["Kana"]:
        counts["Kana"] += counts.pop("Han")
    name, count = max(counts.items(), key=lambda item: item[1])
    return name if count >= LEAST_LETTERS else ""


def asks_for(prompt: str, script: str) -> bool:
    """Whether a prompt explains an answer in a script that is not its own.

    It names one of its languages, speaks of a translation, or quotes some of it.
    """
    if _TRANSLATION.search(prompt) or _ASKED[script].search(prompt):
        return True
    quoted = script != LATIN and _LETTERS[script].search(prompt) is not None
    return quoted and script_of(prompt) != script

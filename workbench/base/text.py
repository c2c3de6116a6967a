"""The one door for text from outside: data sets, generations, logs, file names, errors."""

from __future__ import annotations

import re
import unicodedata

# Escape sequences go whole (CSI, then the string kinds OSC, DCS, SOS, PM, APC, then two-byte ones),
# so that their arguments do not stay behind as rubbish on the screen. A string that nobody closes
# ends with its line: it must not hide the rest of a text. No quantifier gives back what it took,
# so that the time grows with the text's length and not with its square.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n\r]*+(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*+[0-~]?"
)
_INTRODUCERS = re.compile("[\x1b\x90\x98\x9b\x9d-\x9f]")
_LINE_ENDS = re.compile(r"\r\n?")
# Controls, direction marks, and what takes no room but can hide or carry text: zero-width spaces,
# invisible operators, annotations, tags.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")
# A joiner shapes Arabic and Indic letters and emoji; next to ASCII it only hides.
_JOINERS = re.compile("(?<![^\x00-\x7f\u200c\u200d])[\u200c\u200d]+|[\u200c\u200d]+(?=[\x00-\x7f])")
_SHAPERS = "\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"
_REPEATED = re.compile(f"([{_SHAPERS}]{{2}})[{_SHAPERS}]+")
MARKS_KEPT = 4
_MARK = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u06d6-\u06ed"
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd\u1ab0-\u1aff\u1dc0-\u1dff"
    "\u20d0-\u20ff\u302a-\u302f\u3099\u309a\ufe20-\ufe2f"
)
_PILES = re.compile(f"([{_MARK}]{{{MARKS_KEPT}}})[{_MARK}]+")


def clean(text: str, *, newlines: bool = True) -> str:
    """Make outside text inert: no escape sequence, control or bidi character is left.

    A carriage return ends a line (a progress bar that redraws itself becomes lines). Invisible
    characters go, joiners and accents stay where a script needs them but never pile up. With
    `newlines=False` the result is one line. Markup is not touched: show the result with
    markup off.
    """
    if not text.isprintable():
        text = without_controls(text)
    if not text.isascii():
        text = _PILES.sub(r"\1", text)
        text = _REPEATED.sub(r"\1", text)
    return text if newlines else text.replace("\n", " ")


def without_controls(text: str) -> str:
    """`clean` but for the piles of accents."""
    if _INTRODUCERS.search(text):
        text = _SEQUENCES.sub("", text)
    text = _LINE_ENDS.sub("\n", text).replace("\t", "    ")
    if text.replace("\n", "").isprintable():
        return text
    text = _UNWANTED.sub("", text)
    return text if text.isascii() else _JOINERS.sub("", _SURROGATES.sub("\ufffd", text))


def cells(text: str) -> int:
    """Terminal columns that a text takes: wide letters count two, combining marks none."""
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )


def pad(text: str, width: int) -> str:
    """The text, filled with blanks to `width` cells."""
    return text + " " * (width - cells(text))

"""Control, escape and invisible characters in a text, and the text without them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from workbench.base.text import without_controls

KINDS_NAMED = 4

_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
# What `without_controls` would change though a text needs it: tabs and line ends, the tags that
# make a flag, joiners behind letters that they shape. Half characters are broken encoding.
_NEEDED = (
    "[\t\r\ud800-\udfff]|\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f"
    "|(?<=[\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff])[\u200c\u200d]+"
)
_KEPT = re.compile(f"({_NEEDED})")
# Hebrew and Arabic need marks of direction as well.
_KEPT_RIGHT_TO_LEFT = re.compile(f"({_NEEDED}|[\u200e\u200f\u061c])")
# The letters and marks of nearly all texts; what has others is looked at closely.
_SUSPECT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def may_have_controls(text: str) -> bool:
    """Whether a text has to be looked at closely: false for nearly all, and fast."""
    plain = text.replace("\n", "")
    if plain.isprintable():
        return False
    if plain.isascii():
        return not plain.replace("\t", "").replace("\r", "").isprintable()
    return _SUSPECT.search(text) is not None


def mended_controls(text: str) -> str:
    """A text without control, escape and invisible characters; all else stays as it is.

    Tabs and line ends stay, and what Hebrew, Arabic, Indic letters and emoji are shaped with.
    """
    if not may_have_controls(text):
        return text
    kept = _KEPT_RIGHT_TO_LEFT if _RIGHT_TO_LEFT.search(text) else _KEPT
    parts = kept.split(text)
    return "".join(part if at % 2 else without_controls(part) for at, part in enumerate(parts))


def control_kinds(text: str) -> str:
    """The characters that `mended_controls` takes out, by number, the first ones; or nothing."""
    if not may_have_controls(text):
        return ""
    gone = Counter(text) - Counter(mended_controls(text))
    # The letters of an escape sequence go with it.
    kinds = [f"U+{ord(c):04X}" for c in gone if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]
    return ", ".join(kinds[:KINDS_NAMED])

"""The one door for text from outside: data sets, generations, logs, file names, errors."""

from __future__ import annotations

import re

# Escape sequences go whole (CSI, then the string kinds OSC, DCS, SOS, PM, APC, then two-byte ones),
# so that their arguments do not stay behind as rubbish on the screen.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]?"
)
_BIDI = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_CONTROL = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, *_BIDI]
_TABLE: dict[int, str | None] = dict.fromkeys(_CONTROL, None)
_TABLE[ord("\t")] = "    "
_ONE_LINE = dict(_TABLE)
_ONE_LINE[ord("\n")] = " "
_TABLE[ord("\n")] = "\n"
_SURROGATES = re.compile(r"[\ud800-\udfff]")


def clean(text: str, *, newlines: bool = True) -> str:
    """Make outside text inert: no escape sequence, control or bidi character is left.

    A carriage return ends a line (a progress bar that redraws itself becomes lines). With
    `newlines=False` the result is one line. Markup is not touched: show the result with
    markup off.
    """
    text = _SEQUENCES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    text = text.translate(_TABLE if newlines else _ONE_LINE)
    return _SURROGATES.sub("\ufffd", text)

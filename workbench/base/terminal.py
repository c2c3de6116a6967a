"""What a terminal is told beside its screen: notifications and its title. Nothing gets through raw.

Every text is made inert and cut short here, so that no name or error message of a run can end a
sequence and begin another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from workbench.base.text import clean

TEXT_LENGTH = 100
BELL = "\a"
KEEP_TITLE, GIVE_TITLE_BACK = "\x1b[22;2t", "\x1b[23;2t"


def inert(text: str) -> str:
    """Outside text as a sequence may carry it: one short line without semicolons.

    A semicolon divides the fields of OSC 777, and after a number makes OSC 9 a progress bar.
    """
    line = " ".join(clean(text, newlines=False).split()).replace(";", ",")
    return line if len(line) <= TEXT_LENGTH else line[: TEXT_LENGTH - 1] + "…"


def notification(kind: str, title: str, body: str, environ: Mapping[str, str] = os.environ) -> str:
    """Sequences that ask a terminal for a desktop notification.

    Args:
        kind: `osc9` (iTerm2, kitty, WezTerm, Windows Terminal), `osc777` (rxvt, foot, Ghostty,
            VTE), `both`, or `off`.
        environ: Tells whether tmux stands between; it lets through what is wrapped for it,
            where its `allow-passthrough` is on.
    """
    sequences = []
    if kind in ("osc9", "both"):
        sequences.append(f"\x1b]9;{inert(body)}{BELL}")
    if kind in ("osc777", "both"):
        sequences.append(f"\x1b]777;notify;{inert(title)};{inert(body)}{BELL}")
    if environ.get("TMUX"):
        sequences = [through_tmux(sequence) for sequence in sequences]
    return "".join(sequences)


def through_tmux(sequence: str) -> str:
    """A sequence that tmux hands on to the terminal around it."""
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"


def title_sequence(text: str) -> str:
    """Sets the terminal's title (OSC 2); in tmux the pane's. An empty text clears it."""
    return f"\x1b]2;{inert(text)}{BELL}"

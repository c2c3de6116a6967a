"""Numbers of the command line; each refuses what is out of range in one sentence."""

from __future__ import annotations

import argparse
import math

from workbench.judge.limits import MAX_ANSWERS, MAX_NEW_TOKENS

MAX_SEED = 2**63
MAX_PORT = 65535


def count(text: str) -> int:
    """A whole number above 0."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def place(text: str) -> int:
    """A whole number that counts from 0."""
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def tokens(text: str) -> int:
    """A length of an answer that the answering process accepts."""
    number = count(text)
    if number > MAX_NEW_TOKENS:
        raise argparse.ArgumentTypeError(f"{text!r} is above {MAX_NEW_TOKENS}")
    return number


def seed(text: str) -> int:
    """A seed that fits the random generators."""
    if not text.isdecimal() or int(text[:20]) >= MAX_SEED or len(text) > 19:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2**63 - 1")
    return int(text)


def answers(text: str) -> int:
    """How many answers of each side."""
    number = count(text)
    if number > MAX_ANSWERS:
        raise argparse.ArgumentTypeError(f"{text!r} is above {MAX_ANSWERS}")
    return number


def whole(text: str) -> int:
    """A whole number of 0 or more."""
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def port(text: str) -> int:
    """A port of TCP, or 0 for any free one."""
    number = whole(text)
    if number > MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is above {MAX_PORT}")
    return number


def share(text: str) -> float:
    """A number above 0 and at most 1."""
    number = positive(text)
    if number > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is above 1")
    return number


def positive(text: str) -> float:
    """A finite number above 0."""
    number = not_negative(text)
    if number == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return number


def not_negative(text: str) -> float:
    """A finite number of 0 or more."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return number

"""Passwords and tokens: found where they must not stand, masked where a message carries them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

MASK = "[hidden]"
MINIMUM_CHARACTERS = 6
"""A shorter value of a secret variable is a switch, and masking it would spoil every text."""
_NAMES = re.compile(r"TOKEN|API_?KEY|ACCESS_?KEY|SECRET|PASSW|CREDENTIAL|PRIVATE_?KEY", re.I)
_NOT_SECRET = re.compile(r"TOKENIZER|MAX_TOKENS|TOKEN_PATH|TOKEN_FILE|CREDENTIALS?_FILE", re.I)
_SHAPES = {
    "a Hugging Face token": r"\b(?:hf|api_org)_[A-Za-z0-9]{16,}",
    "an API key": r"\bsk-[A-Za-z0-9_-]{16,}",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})",
    "an AWS key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a Google key": r"\bAIza[A-Za-z0-9_-]{30,}",
    "a bearer token": r"(?i:\bbearer\s+)[A-Za-z0-9._~+/=-]{12,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*-----|\Z)",
    # The slashes before it stay, and so does the host behind it.
    "a password in an address": r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)",
}
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _SHAPES.items()}


def find_secret(text: str) -> str:
    """What kind of secret a text holds, such as "a Hugging Face token"; empty for none."""
    return next((kind for kind, pattern in _PATTERNS.items() if pattern.search(text)), "")


def is_secret_name(name: str) -> bool:
    """Whether a variable or a setting of this name holds a secret."""
    return _NAMES.search(name) is not None and _NOT_SECRET.search(name) is None


def redact(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """A text without the values of secret variables and without what looks like a token.

    The libraries' errors quote addresses and headers; what is shown or stored of them comes by
    here first.
    """
    values = {value for name, value in environ.items() if is_secret_name(name)}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= MINIMUM_CHARACTERS:
            text = text.replace(value, MASK)
    for pattern in _PATTERNS.values():
        text = pattern.sub(MASK, text)
    return text

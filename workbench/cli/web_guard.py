"""Who may use the app in a browser: whoever knows the secret, from a page of this very server.

Many people share a GPU machine, and each of them reaches each of its loopback ports. So the
address holds a secret. A cookie would not do in its place: browsers send cookies to every port of
a host, among them the tunnelled ports of other people's servers.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
HOST = re.compile(r"(?P<name>127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.ASCII)
SECRET_BYTES = 32


def _secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


@dataclass(frozen=True)
class Guard:
    """The secrets of one server, made anew at each start.

    Attributes:
        token: Opens the page; it stands in the address that is printed.
        passage: First part of the path of everything that the page itself asks for.
    """

    token: str = field(default_factory=_secret, repr=False)
    passage: str = field(default_factory=_secret, repr=False)

    def refusal(self, path: str, token: str, host: str, origin: str | None) -> str:
        """Why a request is refused; empty for one that may pass.

        Args:
            path: As it was asked for.
            token: Of the query, empty for none.
            host, origin: The headers; None for no origin.
        """
        if not is_local(host):
            # A name that somebody lets point to this machine: DNS rebinding.
            return "the page was asked for by a name that is not of this machine"
        if origin is not None and not same_origin(origin, host):
            return "a page of another server has asked"
        if path == "/":
            return "" if _same(token, self.token) else "the address lacks the right token"
        first = path.removeprefix("/").partition("/")[0]
        return "" if _same(first, self.passage) else "the address lacks the right token"


def is_local(host: str) -> bool:
    """Whether a Host header names this machine's loopback, on any port: a tunnel has its own."""
    return HOST.fullmatch(host) is not None


def same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header is of the server that the request went to."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc == host and bool(host)


def _same(given: str, secret: str) -> bool:
    """Compared in a time that tells nothing of how much is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())

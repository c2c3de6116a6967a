"""The page that holds the app's terminal in a browser. It loads nothing from elsewhere."""

from __future__ import annotations

import html
import json
import secrets

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/{passage}/static/css/xterm.css">
<style>
html, body {{ height: 100%; margin: 0; background: #10141a; color: #d7dde5; }}
body {{ font-family: monospace; overflow: hidden; }}
#terminal {{ height: 100%; }}
#over {{ display: none; position: fixed; inset: 0; align-items: center; justify-content: center;
  background: #10141ae6; z-index: 9; }}
body.-closed #over {{ display: flex; }}
</style>
</head>
<body>
<div id="terminal" class="textual-terminal" data-font-size="{font}"></div>
<div id="over"><p>The app has ended; runs go on. Load the page again to open it anew.</p></div>
<script nonce="{nonce}">
const place = (location.protocol === "https:" ? "wss://" : "ws://") + location.host;
document.getElementById("terminal").dataset.sessionWebsocketUrl = place + {socket};
</script>
<script src="/{passage}/static/js/textual.js"></script>
</body>
</html>
"""
LARGEST_FONT, USUAL_FONT = 64, 16


def render_page(passage: str, title: str, host: str, font: str = "") -> tuple[str, dict[str, str]]:
    """The page and its headers.

    Args:
        passage: See `Guard`.
        host: The checked Host header, to which the page may open its socket.
        font: Size in pixels as somebody asked for it.
    """
    nonce = secrets.token_urlsafe(16)
    size = int(font) if font.isdecimal() and len(font) < 4 else USUAL_FONT
    text = PAGE.format(
        title=html.escape(title),
        passage=passage,
        nonce=nonce,
        font=min(max(size, 6), LARGEST_FONT),
        socket=json.dumps(f"/{passage}/ws"),
    )
    policy = (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self'; "
        f"connect-src 'self' ws://{host} wss://{host}; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return text, {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }

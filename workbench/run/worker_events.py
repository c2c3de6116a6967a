"""What a worker process says: one JSON object a line on its standard output."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

from workbench.base.text import clean

QUIT_SECONDS = 5.0

Event = dict[str, Any]


def event_of(line: bytes) -> Event | None:
    """One line of the protocol; None for anything that a library printed between the lines."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def read_events(process: subprocess.Popen[bytes]) -> Generator[Event, None, None]:
    """The events of a process until its end; closing the iterator ends the process."""
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if (event := event_of(line)) is not None:
                yield event
    except BaseException:
        # Nobody waits for the rest any more: Ctrl-C, a problem, or a closed screen.
        process.terminate()
        raise
    finally:
        process.stdout.close()
        try:
            process.wait(QUIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def last_words(log: Path) -> str:
    """The last line with anything in it that a process wrote to its log; empty for none."""
    said: list[str] = []
    with contextlib.suppress(OSError):
        said = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((text for line in reversed(said) if (text := clean(line).strip())), "")

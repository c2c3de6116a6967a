"""The events of a worker process, and its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workbench.run.worker_events import event_of, last_words, read_events


def process(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


@pytest.mark.parametrize("line", [b"loading", b"[1]", b'{"event": 5}', b"{}", b"\xff\n"])
def test_what_a_library_prints_is_no_event(line: bytes) -> None:
    assert event_of(line) is None
    assert event_of(b'{"event": "end"}\n') == {"event": "end"}


def test_events_come_until_the_process_ends() -> None:
    worker = process('print(\'noise\'); print(\'{"event": "a"}\'); print(\'{"event": "b"}\')')
    assert [event["event"] for event in read_events(worker)] == ["a", "b"]
    assert worker.returncode == 0


def test_closing_the_iterator_ends_the_process() -> None:
    worker = process('import time; print(\'{"event": "a"}\', flush=True); time.sleep(600)')
    events = read_events(worker)
    assert next(events) == {"event": "a"}
    events.close()
    assert worker.returncode not in (None, 0)


def test_the_last_words_are_the_last_line_with_anything_in_it(tmp_path: Path) -> None:
    log = tmp_path / "stderr.log"
    assert last_words(log) == ""
    log.write_bytes(b"first\n  \x1b[31mValueError: no\xff \n\n   \n")
    assert last_words(log).startswith("ValueError: no")

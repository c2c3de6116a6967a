"""What an agent finds of its ranks' files where the first host does not see them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from workbench.base.tail import LineTail, read_small
from workbench.run.hosts.mouth import Mouth

SLICE_BYTES = 32 * 1024
LINE_LETTERS = 4096


class FileRelay:
    """Follows the records and logs in the folder `ranks` of a run directory."""

    def __init__(self, ranks: Path) -> None:
        self._ranks = ranks
        self._seen: dict[str, tuple[int, int]] = {}
        self._tails: dict[str, LineTail] = {}
        for log in ranks.glob("*.log"):
            # What an earlier attempt has said was sent then.
            self._tail(log).skip_to_last(0)
        for record in ranks.glob("*.json"):
            self._changed(record)

    def send(self, mouth: Mouth) -> None:
        """Say what is new; logs wait while the link is slow."""
        for record in sorted(self._ranks.glob("*.json")):
            if record.stem.isdecimal() and self._changed(record):
                with contextlib.suppress(OSError, ValueError, RecursionError):
                    content: Any = json.loads(read_small(record))
                    mouth.say("rank", rank=int(record.stem), record=content)
        for log in sorted(self._ranks.glob("*.log")):
            if mouth.crowded:
                return
            if log.stem.isdecimal() and (lines := self._tail(log).read()):
                mouth.say("log", rank=int(log.stem), lines=[line[:LINE_LETTERS] for line in lines])

    def _tail(self, log: Path) -> LineTail:
        return self._tails.setdefault(log.name, LineTail(log, SLICE_BYTES))

    def _changed(self, file: Path) -> bool:
        try:
            status = file.stat()
        except OSError:
            return False
        stamp = (status.st_mtime_ns, status.st_ino)
        changed = self._seen.get(file.name) != stamp
        self._seen[file.name] = stamp
        return changed

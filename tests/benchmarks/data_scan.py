"""How long a look at a data file takes, and how its memory grows with the rows.

    python tests/benchmarks/data_scan.py [ROWS ...]

Writes preference pairs of about a kilobyte as JSON lines, looks at them as `data FILE` does, and
prints for each number of rows: seconds to the first rows, seconds in all, rows a second, and the
peak memory of the process that reads.
"""

from __future__ import annotations

import json
import queue
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from workbench.run.data_look import DataJob, DataProcess

DEFAULT_ROWS = (10_000, 100_000, 1_000_000)
SAMPLE_SECONDS = 0.05
WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "for",
    "it",
    "as",
    "with",
    "on",
    "be",
    "at",
    "by",
    "this",
    "are",
    "from",
    "or",
    "an",
    "which",
    "you",
    "all",
    "can",
    "has",
    "more",
    "other",
    "one",
    "their",
    "there",
    "when",
    "use",
    "any",
    "these",
    "how",
    "each",
    "time",
    "about",
    "many",
    "then",
    "them",
    "would",
    "like",
    "so",
    "people",
    "water",
    "light",
    "because",
    "between",
    "number",
    "world",
    "house",
    "school",
    "never",
    "start",
]


def text(random_words: random.Random, words: int) -> str:
    """Some words."""
    return " ".join(random_words.choices(WORDS, k=words)).capitalize() + "."


def write(file: Path, rows: int) -> int:
    """Write so many rows; the bytes of the file."""
    draw = random.Random(rows)
    with file.open("w", encoding="utf-8") as out:
        for number in range(rows):
            row = {
                "prompt": f"{number}: {text(draw, 20)}",
                "chosen": text(draw, 75),
                "rejected": text(draw, 75),
            }
            out.write(json.dumps(row) + "\n")
    return file.stat().st_size


def events(process: DataProcess, told: queue.SimpleQueue[dict[str, Any]]) -> Iterator[Any]:
    """The events of a scan, and in between None."""
    process.scan()
    while True:
        try:
            event = told.get(timeout=SAMPLE_SECONDS)
        except queue.Empty:
            yield None
            continue
        yield event
        if event["event"] in ("done", "error"):
            return


def look(file: Path) -> tuple[float, float, int, dict[str, Any]]:
    """Seconds to the first rows, in all, peak bytes, and the report."""
    told: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    process = DataProcess(DataJob(files=(file,)), told.put)
    began, first, peak = time.monotonic(), 0.0, 0
    report: dict[str, Any] = {}
    for event in events(process, told):
        for child in psutil.Process().children():
            peak = max(peak, child.memory_info().rss)
        if event is not None and event["event"] == "first":
            first = time.monotonic() - began
        if event is not None and event["event"] in ("report", "error"):
            report = event
    seconds = time.monotonic() - began
    process.close()
    return first, seconds, peak, report


def main() -> None:
    """Measure each number of rows."""
    counts = [int(word) for word in sys.argv[1:]] or DEFAULT_ROWS
    print("    rows     MB  first s  all s  rows/s  peak MB  findings")
    for rows in counts:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "prefs.jsonl"
            size = write(file, rows)
            first, seconds, peak, report = look(file)
            found = sum(report.get("findings", {}).values())
            print(
                f"{rows:8} {size / 1e6:6.0f} {first:8.2f} {seconds:6.1f} {rows / seconds:7.0f} "
                f"{peak / 1e6:8.0f}  {found}",
                flush=True,
            )


if __name__ == "__main__":
    main()

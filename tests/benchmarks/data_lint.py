"""How fast a data set is looked through for faults, and how memory grows with its rows.

    python tests/benchmarks/data_lint.py [--rows 10000 100000 1000000] [--data FILE] [--profile]

Not a test. Each number of rows is looked through in a process of its own, without reading or
mapping a file: rows of about a kilobyte are made up, or taken from a file of preference pairs
(JSON lines with `prompt`, `chosen`, `rejected`) again and again, each with its number in every
text. Printed are: rows a second, seconds for comparing the rows with each other, peak resident
memory, and what memory grew by since before the first row.
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from workbench.data.formats.texts import example_parts
from workbench.data.lint.lint import Lint
from workbench.data.lint.model import Example

WORDS = ("the", "of", "and", "to", "in", "is", "that", "for", "it", "water", "light", "because")
WORDS += ("between", "number", "world", "house", "school", "never", "start", "people", "would")
TEXTS = 500


def made_up() -> list[dict[str, Any]]:
    """Pairs of about a kilobyte."""
    draw = random.Random(0)

    def text(words: int) -> str:
        return " ".join(draw.choices(WORDS, k=words)).capitalize() + "."

    return [{"prompt": text(25), "chosen": text(80), "rejected": text(85)} for _ in range(TEXTS)]


def numbered(value: Any, number: int) -> Any:
    """A text, or messages, that no other row has."""
    if isinstance(value, str):
        return f"{value} {number}"
    return [{**turn, "content": f"{turn['content']} {number}"} for turn in value]


def examples(rows: list[dict[str, Any]], count: int) -> Iterator[Example]:
    """So many rows."""
    for number, row in enumerate(itertools.islice(itertools.cycle(rows), count), start=1):
        trl = {name: numbered(value, number) for name, value in row.items()}
        yield Example(number, number, 0, *example_parts(trl, "dpo"), trl)


def peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(rows: list[dict[str, Any]], count: int) -> dict[str, float]:
    """Look through so many rows."""
    before, findings, letters, seeing = peak_bytes(), 0, 0, 0.0

    def keep(finding: object) -> None:
        nonlocal findings
        findings += 1

    with tempfile.TemporaryDirectory() as folder:
        lint = Lint("dpo", keep, folder=Path(folder))
        for example in examples(rows, count):
            letters += len(example.prompt) + sum(map(len, example.answers))
            began = time.perf_counter()
            lint.see(example)
            seeing += time.perf_counter() - began
        began = time.perf_counter()
        lint.finish()
        comparing = time.perf_counter() - began
    return {
        "letters": letters / count, "seeing": seeing, "comparing": comparing,
        "findings": findings, "peak": peak_bytes(), "grown": peak_bytes() - before,
    }  # fmt: skip


def main() -> None:
    """Measure each number of rows and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--profile", action="store_true", help="where the time goes instead")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.profile or options.one:
        lines = options.data.open(encoding="utf-8") if options.data else None
        rows = [json.loads(line) for line in lines] if lines else made_up()
        if options.profile:
            cProfile.runctx("measure(rows, options.rows[0])", globals(), locals(), sort="tottime")
        else:
            print(json.dumps(measure(rows, options.rows[0])))
        return
    print("    rows  letters   rows/s  seeing s  comparing s  peak MB  grown MB  findings")
    for count in options.rows:
        command = [sys.executable, __file__, "--one", "--rows", str(count)]
        command += ["--data", str(options.data)] if options.data else []
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        seconds = found["seeing"] + found["comparing"]
        print(
            f"{count:8} {found['letters']:8.0f} {count / seconds:8.0f} {found['seeing']:9.1f} "
            f"{found['comparing']:12.1f} {found['peak'] / 1e6:8.0f} {found['grown'] / 1e6:9.0f}"
            f"  {found['findings']:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

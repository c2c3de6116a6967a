"""How fast data files are read, and what that takes in memory.

Not a test. Rows of about a kilobyte are written to a temporary folder and read in a process of
their own, which prints its peak:

    python tests/benchmarks/data_reading.py [--rows 200000] [--kinds jsonl json csv parquet gz zst]
    python tests/benchmarks/data_reading.py --gigabytes 5 --kinds jsonl [--folder /var/tmp]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import itertools
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT)]

from workbench.data.readers.row import SourceRow  # noqa: E402
from workbench.data.readers.source import open_source  # noqa: E402

KINDS = ("jsonl", "json", "csv", "parquet", "gz", "zst")
WORDS = (
    "model",
    "answer",
    "question",
    "short",
    "long",
    "true",
    "kind",
    "of",
    "the",
    "train",
    "why",
)
ROW_BYTES = 1000
FIRST_ROWS = 50
TEXTS = 20_011
JUMPS = 200
GROUP_ROWS = 10_000
HEADER = "| kind | rows | MB | rows/s | MB/s | peak MB | added MB | first 50 ms | one row ms |"


def main() -> int:
    """Write, read and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--gigabytes", type=float, help="instead of --rows")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS])
    parser.add_argument("--folder", type=Path, help="where to write the files")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read(arguments.read)
        return 0
    count = int(arguments.gigabytes * 1e9 / ROW_BYTES) if arguments.gigabytes else arguments.rows
    print(HEADER, "|-" * (HEADER.count("|") - 1) + "|", sep="\n", flush=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for kind in arguments.kinds:
            file = Path(folder) / f"rows.{kind}"
            write(file, kind, count)
            command = [sys.executable, __file__, "--read", str(file)]
            found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            megabytes = file.stat().st_size / 1e6
            cells = (
                kind,
                f"{found['rows']:,}",
                f"{megabytes:,.0f}",
                f"{found['rows'] / found['seconds']:,.0f}",
                f"{megabytes / found['seconds']:,.0f}",
                f"{found['peak'] / 1e6:,.0f}",
                f"{found['added'] / 1e6:,.0f}",
                f"{found['first'] * 1e3:,.1f}",
                f"{found['jump'] * 1e3:,.2f}",
            )
            print(f"| {' | '.join(cells)} |", flush=True)
            file.unlink()
    return 0


def made_rows(count: int) -> Iterator[dict[str, str]]:
    """Pairs of about a kilobyte, from some that are made once."""
    letters = random.Random(1)
    texts = [" ".join(letters.choices(WORDS, k=60)) for _ in range(TEXTS)]
    for number in range(TEXTS // 10):
        texts[number * 10] += " né 日本 👍"
    for number in range(count):
        parts = (texts[(number * step + step) % TEXTS] for step in (1, 7919, 104729))
        yield dict(zip(("prompt", "chosen", "rejected"), parts, strict=True))


def write(file: Path, kind: str, count: int) -> None:
    """One file of rows."""
    rows = made_rows(count)
    if kind == "parquet":
        write_parquet(file, rows)
        return
    plain = file.with_suffix(".plain") if kind == "zst" else file
    with open_text(plain, kind) as out:
        if kind == "csv":
            writer = csv.DictWriter(out, ["prompt", "chosen", "rejected"])
            writer.writeheader()
            writer.writerows(rows)
            return
        for number, row in enumerate(rows):
            before = (",\n" if number else "[\n") if kind == "json" else ""
            after = "" if kind == "json" else "\n"
            out.write(before + json.dumps(row, ensure_ascii=False) + after)
        if kind == "json":
            out.write("\n]\n")
    if kind == "zst":
        import zstandard

        with plain.open("rb") as source, file.open("wb") as target:
            zstandard.ZstdCompressor().copy_stream(source, target)
        plain.unlink()


def open_text(file: Path, kind: str) -> IO[str]:
    """A text file to write to, compressed or not."""
    if kind == "gz":
        return io.TextIOWrapper(gzip.GzipFile(file, "wb", 1), encoding="utf-8")
    return file.open("w", newline="", encoding="utf-8")


def write_parquet(file: Path, rows: Iterator[dict[str, str]]) -> None:
    """Parquet as `datasets` writes it: groups of some thousand rows."""
    import pyarrow
    from pyarrow import parquet

    writer = None
    while part := list(itertools.islice(rows, GROUP_ROWS)):
        table = pyarrow.Table.from_pylist(part)
        writer = writer or parquet.ParquetWriter(file, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def read(file: Path) -> None:
    """Read all of a file, look at some rows again, and print what that took."""
    base = peak()
    began = time.perf_counter()
    with open_source(file) as source:
        list(itertools.islice(source.rows(), FIRST_ROWS))
        first = time.perf_counter() - began
        began = time.perf_counter()
        rows = sum(type(row) is SourceRow for row in source.rows())
        seconds = time.perf_counter() - began
        letters = random.Random(2)
        began = time.perf_counter()
        for _ in range(JUMPS):
            source.at(letters.randint(1, rows))
        jump = (time.perf_counter() - began) / JUMPS
    found = {"rows": rows, "seconds": seconds, "first": first, "jump": jump}
    print(json.dumps({**found, "peak": peak(), "added": peak() - base}))


def peak() -> int:
    """Most resident memory of this process so far, in bytes."""
    # The figure of getrusage would begin with that of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])


if __name__ == "__main__":
    raise SystemExit(main())

"""Real runs as fixtures: what the doctor reads of one, in a file, and back.

    python tests/run/health/recorded_runs.py RUN tests/run/health/recorded/NAME.json

Paths and moments of the machine are left out, and numbers are rounded to five digits.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from workbench.base.tail import read_jsonl
from workbench.run.directory import RunDirectory
from workbench.run.record import read_record

FOLDER = Path(__file__).with_name("recorded")
RECORD = ("state", "stages", "stage", "step", "max_steps", "model_source")
SAMPLE = ("stage", "step", "side", "prompt", "answer", "tokens", "cut", "checkpoint")
LEFT_OUT = ("path", "entropy", "logits/chosen", "logits/rejected", "message", "fraction")


def record(run: RunDirectory) -> dict[str, Any]:
    """What the doctor reads of a run."""
    known = vars(read_record(run))
    began = read_jsonl(run.metrics)[0]["time"]
    configs = {}
    for stage in known["stages"]:
        settings = yaml.safe_load(run.config(stage).read_text(encoding="utf-8"))
        configs[stage] = {
            key: value for key, value in settings.items() if not str(value).startswith("/")
        }
    return {
        "record": {name: known[name] for name in RECORD},
        "configs": configs,
        "metrics": [_small(row, began) for row in read_jsonl(run.metrics)],
        "samples": [
            _small({name: row[name] for name in ("time", *SAMPLE) if name in row}, began)
            for row in read_jsonl(run.samples)
        ],
    }


def _small(row: dict[str, Any], began: float) -> dict[str, Any]:
    kept = {name: value for name, value in row.items() if name not in LEFT_OUT}
    if "time" in kept:
        kept["time"] = round(kept["time"] - began + 1.0, 3)
    return {
        name: float(f"{value:.5g}") if isinstance(value, float) and name != "time" else value
        for name, value in kept.items()
    }


def restore(name: str, folder: Path) -> RunDirectory:
    """A run directory of a recorded run."""
    known = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    run = RunDirectory(folder / name)
    run.path.mkdir()
    run.record.write_text(json.dumps({"version": 1, "id": run.id, **known["record"]}))
    for stage, config in known["configs"].items():
        run.config(stage).write_text(yaml.safe_dump(config))
    for path, rows in ((run.metrics, known["metrics"]), (run.samples, known["samples"])):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


def growing(run: RunDirectory, every: int) -> Iterator[int]:
    """Let a run's metrics grow from nothing, `every` lines at a time; yields their number."""
    lines = run.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
    for count in (*range(every, len(lines), every), len(lines)):
        run.metrics.write_text("".join(lines[:count]), encoding="utf-8")
        yield count


if __name__ == "__main__":
    rows = json.dumps(record(RunDirectory(Path(sys.argv[1]))), ensure_ascii=False)
    # A row a line, so that a difference can be read.
    Path(sys.argv[2]).write_text(rows.replace("}, {", "},\n{") + "\n", encoding="utf-8")

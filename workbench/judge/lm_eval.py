"""EleutherAI's lm-evaluation-harness on both sides, as the command that the user has installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.base.files import is_number
from workbench.base.problems import Problem, ProblemError
from workbench.base.text import clean
from workbench.run.sides import is_adapter

COMMAND = "lm_eval"
INSTALL = "Install it beside dpo-workbench: pip install 'lm_eval[hf]'"
HINT = "Run it by hand to see more: lm_eval --model hf --model_args pretrained=... --tasks ..."
LOG_TAIL = 4096


def find_lm_eval() -> str:
    """The command's path.

    Raises:
        ProblemError: It is not installed.
    """
    found = shutil.which(COMMAND)
    if found is None:
        raise ProblemError(Problem(f"{COMMAND} is not installed", "--lm-eval", INSTALL))
    return found


def run_lm_eval(
    program: str,
    summary: Mapping[str, Any],
    tasks: str,
    *,
    limit: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run tasks on both sides of a score.

    Args:
        summary: Of the score: its `sides`, `weights`, `model`, `dtype` and `device` count.
        tasks: Names, as `lm_eval --tasks` takes them.
        limit: Examples of each task at most.

    Returns:
        `tasks`, `limit`, `sides`, `version`, and `table`: rows of `task`, `metric` and `values`
        (side -> `value`, `stderr`).

    Raises:
        ProblemError: The command failed, or left no result.
    """
    sides = list(summary["sides"])
    found = {}
    for side in sides:
        say(f"{COMMAND} {tasks} on {side}")
        folder = summary["weights"][side]["folder"]
        found[side] = _run(program, model_arguments(summary, folder), tasks, limit, summary)
    return {
        "tasks": tasks,
        "limit": limit,
        "sides": sides,
        "version": str(next(iter(found.values())).get("lm_eval_version") or ""),
        "table": table_of({side: one["results"] for side, one in found.items()}),
    }


def model_arguments(summary: Mapping[str, Any], folder: str) -> str:
    """`--model_args` for a side: the base model, with an adapter, or whole weights."""
    whole = bool(folder) and not is_adapter(Path(folder))
    parts = [f"pretrained={folder if whole else summary['model']}"]
    if folder and not whole:
        parts.append(f"peft={folder}")
    parts.append(f"dtype={summary['dtype']}")
    for part in parts:
        if "," in part:
            what = "lm_eval cannot take a path with a comma"
            raise ProblemError(Problem(what, part.partition("=")[2], "Rename the folder."))
    return ",".join(parts)


def _run(
    program: str, arguments: str, tasks: str, limit: int | None, summary: Mapping[str, Any]
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="dpo-workbench-") as name:
        output, log = Path(name) / "results", Path(name) / "log"
        command = [program, "--model", "hf", "--model_args", arguments, "--tasks", tasks]
        command += ["--device", summary["device"], "--output_path", str(output)]
        command += ["--limit", str(limit)] if limit else []
        with log.open("wb") as sink:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, check=False
            ).returncode
        if code:
            raise ProblemError(Problem(f"{COMMAND} failed: {_last_words(log, code)}", tasks, HINT))
        files = sorted(output.rglob("*.json"), key=lambda file: file.stat().st_mtime)
        for file in reversed(files):
            result = _read(file)
            if result is not None:
                return result
    raise ProblemError(Problem(f"{COMMAND} left no result that can be read", tasks, HINT))


def _read(file: Path) -> dict[str, Any] | None:
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    fits = isinstance(result, dict) and isinstance(result.get("results"), dict)
    return result if fits else None


def _last_words(log: Path, code: int) -> str:
    text = log.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace")
    lines = [line for line in clean(text).splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else f"exit code {code}"


def table_of(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tasks and metrics of every side, with standard errors where they are given.

    lm_eval names them `acc,none` and `acc_stderr,none`, the filter behind the comma.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for side, tasks in results.items():
        for task, metrics in tasks.items():
            if not isinstance(metrics, Mapping):
                continue
            for key, value in metrics.items():
                metric, _, filtered = key.partition(",")
                if metric.endswith("_stderr") or not filtered or not is_number(value):
                    continue
                shown = metric if filtered == "none" else f"{metric} ({filtered})"
                row: dict[str, Any] = {"task": task, "metric": shown, "values": {}}
                error = metrics.get(f"{metric}_stderr,{filtered}")
                found = {"value": value, "stderr": error if is_number(error) else None}
                rows.setdefault((task, shown), row)["values"][side] = found
    return list(rows.values())

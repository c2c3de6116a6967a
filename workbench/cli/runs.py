"""`status`, `logs`, `stop` and `rm`: what became of a run."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import LineTail, read_small
from workbench.base.text import clean
from workbench.cli import health_text
from workbench.cli.announce import Announcer
from workbench.cli.execute import BAD_USAGE, DONE, FAILED
from workbench.cli.history import progress
from workbench.cli.output import (
    duration,
    interactive,
    local_time,
    number,
    one_line,
    print_json,
    size,
)
from workbench.cli.queue import leave_queue
from workbench.cli.scaling_text import scaling_json, scaling_lines
from workbench.cli.slurm import JobWatch
from workbench.cli.summaries import read_end, summaries_json, summary_lines
from workbench.run.directory import RunDirectory, find_run
from workbench.run.health import examine_run
from workbench.run.launch import delete, describe_error, stop
from workbench.run.lineage import describe_lineage
from workbench.run.metrics import MetricsReader
from workbench.run.notes import read_notes
from workbench.run.ranks import rank_log
from workbench.run.record import RunRecord, has_ended, is_active, read_record
from workbench.run.slurm.job import ask_quietly
from workbench.run.slurm.status import job_words, read_job
from workbench.run.states import label
from workbench.run.trust import distrust

LOG_POLL_SECONDS = 0.3
LOG_LINE_BYTES = 1000
LOG_REACH_BYTES = 16 * 1024 * 1024
METRICS_REACH_BYTES = 4 * 1024 * 1024


def status(arguments: argparse.Namespace, paths: Paths) -> int:
    """What a run does now, or what came of it. The exit code is 0 whatever its state."""
    run = find_run(paths, arguments.run)
    trouble = ask_quietly([run], calm=False)
    record = read_record(run)
    if arguments.json:
        print_json(run_json(run, record, paths))
        return DONE
    lines = [("run", run.id), ("title", record.title), ("state", label(record.state))]
    lines += [
        ("slurm", job_words(run, record.slurm_job, record.started)),
        ("hosts", " ".join(record.hosts)),
    ]
    lines += [("slurm", trouble)] if trouble else []
    lines += [("step", progress(record)), ("model", record.model_source)]
    lines += [("parent", describe_lineage(record)), ("started", local_time(record.started))]
    lines += [("took" if record.finished else "since", _elapsed(record)), ("folder", str(run.path))]
    said = read_notes(run)
    lines += [("tags", " ".join(said.tags)), ("imported", record.imported)]
    lines += [("note", text) for text in (*said.text.splitlines(), distrust(run, record))]
    lines += [("note", text) for text in record.notes]
    lines += [("because", fact) for fact in record.evidence]
    for name, value in lines:
        if value:
            print(f"{name:<8} {one_line(value)}")
    for name, metric in _latest(run).items():
        print(f"  {one_line(name):<28} {number(metric)}")
    for line in scaling_lines(run, record, paths):
        print(line)
    _print_health(run, record)
    _print_results(run, record)
    _print_error(record)
    return DONE


def _print_health(run: RunDirectory, record: RunRecord) -> None:
    findings = examine_run(run)
    # A run that has failed is not called healthy because its metrics were.
    fine = all(finding.severity == "hint" for finding in findings)
    if (findings or record.step) and not (fine and record.error):
        print("\n".join(health_text.lines(findings, ended=has_ended(record))))


def _elapsed(record: RunRecord) -> str:
    end = record.finished or time.time()
    return duration(end - record.started) if record.started else ""


def _latest(run: RunDirectory) -> dict[str, float]:
    reader = MetricsReader(run)
    # The newest values stand near the end, however long the run is.
    reader.skip_to_last(METRICS_REACH_BYTES)
    reader.read_all()
    return dict(reader.latest)


def run_json(run: RunDirectory, record: RunRecord, paths: Paths) -> dict[str, Any]:
    """A run as `--json` shows it: its record, and all that its other files tell in short.

    Args:
        paths: Where other runs are that it is compared with.
    """
    said = read_notes(run)
    return {
        **asdict(record),
        "path": run.path,
        "slurm": asdict(job) if (job := read_job(run, record.slurm_job, record.started)) else None,
        "distrust": distrust(run, record),
        "tags": said.tags,
        "note": said.text,
        "metrics": _latest(run),
        "health": [asdict(finding) for finding in examine_run(run)],
        "checkpoints": {stage: run.checkpoints(stage) for stage in record.stages},
        "scores": read_scores(run),
        "summary": summaries_json(run, record, read_end(run)),
        **scaling_json(run, record, paths),
    }


def read_scores(run: RunDirectory) -> dict[str, Any]:
    """The run's scores.json; empty while there is none."""
    try:
        scores = json.loads(read_small(run.scores))
    except (OSError, ValueError, RecursionError):
        return {}
    return scores if isinstance(scores, dict) else {}


def print_summary(run: RunDirectory, record: RunRecord) -> None:
    """A few lines on a run that has ended, and the command that comes next."""
    took = _elapsed(record)
    print(f"{run.id} {label(record.state)}{f' after {took}' if took else ''}")
    _print_results(run, record)
    if record.state == "finished":
        print(f"Compare base and tuned: dpo-workbench compare {run.id}")
    elif record.state == "stopped":
        print(f"Go on from step {record.step}: dpo-workbench resume {run.id}")


def _print_results(run: RunDirectory, record: RunRecord) -> None:
    for line in summary_lines(run, record, read_end(run)):
        print(line)


def result_parts(result: dict[str, Any]) -> list[str]:
    """What a finished stage recorded, as short texts; what is missing is left out."""
    evaluated = result.get("eval") or {}
    shown = (
        ("steps", result.get("steps"), "{:.0f} steps"),
        ("train_loss", result.get("train_loss"), "train loss {:.3g}"),
        ("accuracy", evaluated.get("eval_rewards/accuracies"), "held-out accuracy {:.2f}"),
        ("margin", evaluated.get("eval_rewards/margins"), "margin {:.2f}"),
    )
    parts = [form.format(value) for _, value, form in shown if isinstance(value, int | float)]
    if result.get("seconds"):
        parts.insert(0, duration(result["seconds"]))
    for key, where in (("peak_rss_bytes", "memory"), ("peak_gpu_bytes", "GPU memory")):
        if result.get(key):
            parts.append(f"peak {where} {size(result[key])}")
    return parts


def end_code(record: RunRecord) -> int:
    """Exit code of following a run to its end; says on stderr why it did not finish."""
    if record.state == "finished":
        return DONE
    _print_error(record)
    return FAILED


def _print_error(record: RunRecord) -> None:
    if reason := describe_error(record):
        print(one_line(reason), file=sys.stderr)


def logs(arguments: argparse.Namespace, paths: Paths) -> int:
    """Print the last lines of a run's log, and with `-f` each new one until the run ends."""
    run = find_run(paths, arguments.run)
    tail, last = _last_lines(_chosen_log(run, arguments.rank), arguments.lines)
    _print_lines(last)
    if arguments.follow:
        with Announcer(run, paths) as announcer:
            _follow_log(run, tail, announcer)
    if tail.partial and not is_active(read_record(run)):
        _print_lines([_shown(tail.partial)])
    return DONE


def _chosen_log(run: RunDirectory, rank: int) -> Path:
    log = rank_log(run, rank)
    if rank and not log.is_file():
        count = read_record(run).processes
        what = f"there is no log of rank {rank}; the run has {count} process{'es' * (count > 1)}"
        hint = f"Name one from 0 to {count - 1}." if count > 1 else "Leave --rank out."
        raise ProblemError(Problem(what, run.id, hint), exit_code=2)
    return log


def _follow_log(run: RunDirectory, tail: LineTail, announcer: Announcer) -> None:
    job = JobWatch(run)
    while True:
        record = read_record(run)
        lines = _new_lines(tail)
        _print_lines(lines)
        if tail.more:
            continue
        announcer.look(record)
        job.look()
        if not is_active(record) and not job.goes_on(record) and not lines:
            return
        if not lines:
            time.sleep(LOG_POLL_SECONDS)


def _last_lines(log: Path, wanted: int) -> tuple[LineTail, deque[str]]:
    """The last lines of the log, and its tail from there on; the rest is not read."""
    reach = wanted * LOG_LINE_BYTES
    while True:
        tail = LineTail(log)
        tail.skip_to_last(reach)
        last: deque[str] = deque(maxlen=wanted)
        while tail.more:
            last.extend(_new_lines(tail))
        if len(last) == wanted or tail.whole or reach >= LOG_REACH_BYTES:
            return tail, last
        reach *= 8


def _new_lines(tail: LineTail) -> list[str]:
    return [_shown(line) for line in tail.read()]


def _shown(line: str) -> str:
    """A line made inert; of one that redraws itself only the last state."""
    return clean(line.rstrip("\r").rpartition("\r")[2])


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
    sys.stdout.flush()


def stop_run(arguments: argparse.Namespace, paths: Paths) -> int:
    """Ask a run to end after its step and to save a checkpoint; `--kill` ends it at once."""
    run = find_run(paths, arguments.run)
    print(one_line(leave_queue(paths, run) or stop(run, kill=arguments.kill)))
    return DONE


def remove(arguments: argparse.Namespace, paths: Paths) -> int:
    """Delete a run's folder, after a question unless `--yes`."""
    run = find_run(paths, arguments.run)
    if not arguments.yes and not interactive():
        problem = Problem(
            f"{run.id} and all its checkpoints would be deleted", next_step="Add --yes to do so."
        )
        raise ProblemError(problem, exit_code=BAD_USAGE)
    question = f"Delete {run.id} with its adapters and checkpoints? [y/N] "
    if not arguments.yes and input(question).strip().lower() not in ("y", "yes"):
        print("Nothing was deleted.")
        return DONE
    delete(run)
    print(f"Deleted {run.id}")
    return DONE

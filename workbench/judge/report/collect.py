"""What a report is about, read from the run directory. Nothing is trusted, nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.base.paths import Paths
from workbench.base.secrets import redact
from workbench.base.tail import read_small
from workbench.judge.comparisons import load_comparisons
from workbench.judge.timeline import Timeline, read_timeline
from workbench.judge.vote_results import VoteResults, results
from workbench.judge.votes import load_votes
from workbench.run.curves import Points
from workbench.run.directory import RunDirectory
from workbench.run.health import Finding, examine_run
from workbench.run.launch import describe_error
from workbench.run.lineage import describe_lineage
from workbench.run.metrics import MetricsReader
from workbench.run.rank_states import RankState
from workbench.run.record import RunRecord, read_record
from workbench.run.scaling import Scaling, ScalingOutlook
from workbench.run.summary import StageSummary, summaries

SCORE_LIMIT_BYTES = 16 * 1024 * 1024
MOST_SCORES = 20


@dataclass(frozen=True)
class Facts:
    """All that is known of a run.

    Attributes:
        elapsed: Seconds from its start to its end, 0 while it is not known.
        recipe: As typed; empty where it cannot be read.
        environment: environment.json.
        curves: By stage and metric.
        scores: Summaries that `score` has kept, the newest first.
        trained: What training measured at its end, scores.json.
        comparisons: The newest of each prompt, the newest first.
        stages: What each stage took and reached.
        answering: Seconds that answers at checkpoints took.
        problems: What went wrong, one sentence each.
        findings: What the rules on its metrics found, worst first.
        ranks, scaling: Of a run of several processes, each of them and what they come to.
    """

    run: str
    record: RunRecord
    elapsed: float
    lineage: str
    recipe: str
    environment: Mapping[str, Any]
    curves: Mapping[str, Mapping[str, Points]]
    timeline: Timeline
    scores: tuple[Mapping[str, Any], ...]
    trained: Mapping[str, Any]
    votes: VoteResults
    comparisons: tuple[Mapping[str, Any], ...]
    stages: tuple[StageSummary, ...] = ()
    answering: float = 0.0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    findings: tuple[Finding, ...] = ()
    ranks: tuple[RankState, ...] = ()
    scaling: Scaling | None = None


def collect(run: RunDirectory, paths: Paths | None = None) -> Facts:
    """Read everything; what is missing or damaged is empty. Takes a second for a long run.

    Args:
        paths: Where other runs are that it is compared with; None for nowhere.
    """
    record = read_record(run)
    metrics = MetricsReader(run)
    metrics.read_all()
    ranks, scaling = ScalingOutlook(run, paths).look(record, metrics)
    return Facts(
        run=run.id,
        record=record,
        elapsed=max(0.0, record.finished - record.started) if record.finished else 0.0,
        lineage=describe_lineage(record),
        recipe=_text(run.recipe),
        environment=_object(run.environment),
        curves={
            stage: {
                name: points for name in metrics.names() if (points := metrics.points(name, stage))
            }
            for stage in metrics.stages()
        },
        timeline=read_timeline(run, metrics),
        scores=_scores(run),
        trained=_object(run.scores),
        votes=results(load_votes(run)),
        comparisons=_newest(load_comparisons(run)),
        stages=tuple(summaries(run, record, metrics)),
        answering=sum(_seconds(event) for event in metrics.events),
        problems=tuple(map(redact, _problems(record, metrics))),
        notes=tuple(redact(str(note)) for note in record.notes),
        findings=examine_run(run, metrics),
        ranks=tuple(ranks),
        scaling=scaling,
    )


def _text(path: Path) -> str:
    try:
        return redact(read_small(path))
    except (OSError, ValueError):
        return ""


def _object(path: Path, limit_bytes: int = SCORE_LIMIT_BYTES) -> Mapping[str, Any]:
    try:
        found = json.loads(read_small(path, limit_bytes))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _scores(run: RunDirectory) -> tuple[Mapping[str, Any], ...]:
    files = sorted((run.path / "scores").glob("*.json"))[:MOST_SCORES]
    found = [score for file in files if isinstance((score := _object(file)).get("sides"), list)]
    return tuple(sorted(found, key=lambda score: str(score.get("time")), reverse=True))


def _newest(comparisons: list[dict[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """The newest comparison of each conversation that has two answers, the newest first."""
    found: dict[str, dict[str, Any]] = {}
    for record in comparisons:
        answers = [one for one in record["answers"].values() if isinstance(one, dict)]
        if len(answers) >= 2:
            key = json.dumps(record["messages"], sort_keys=True, default=str)
            found.pop(key, None)
            found[key] = record
    return tuple(reversed(found.values()))


def _seconds(event: Mapping[str, Any]) -> float:
    seconds = event.get("seconds") if event.get("event") == "answers" else 0.0
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def _problems(record: RunRecord, metrics: MetricsReader) -> list[str]:
    found = [describe_error(record)] if record.error else []
    found += record.evidence
    found += [f"{stage} step {step}: {name} was no number" for stage, step, name in metrics.faults]
    for event in metrics.events:
        if event.get("event") in ("save_failed", "stalled", "checkpoint_skipped"):
            where = f"{event.get('stage', '')} step {event.get('step', '')}".strip()
            what = event.get("reason") or event.get("what") or ""
            found.append(f"{event['event'].replace('_', ' ')}: {where} {what}".strip())
    return found

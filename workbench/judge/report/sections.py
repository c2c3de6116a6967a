"""From what is known of a run to the parts of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from workbench.judge.figures import MISSING, number, percent
from workbench.judge.report.blocks import (
    Block,
    Charts,
    Code,
    Document,
    Missing,
    Paragraph,
    Section,
    Table,
)
from workbench.judge.report.collect import Facts
from workbench.judge.report.health import health_blocks
from workbench.judge.report.judged import judged_sections
from workbench.judge.report.svg import Chart, Series
from workbench.judge.report.words import duration, inner, moment, size, verdict
from workbench.run.curves import Points
from workbench.run.rank_states import rank_rows
from workbench.run.scaling import scaling_words
from workbench.run.stage_totals import TIME_NAMES
from workbench.run.states import label

CURVES = (
    ("Loss", (("loss", "training", False), ("eval_loss", "held-out", True))),
    (
        "Reward margin",
        (("rewards/margins", "training", False), ("eval_rewards/margins", "held-out", True)),
    ),
    (
        "Reward accuracy",
        (("rewards/accuracies", "training", False), ("eval_rewards/accuracies", "held-out", True)),
    ),
    (
        "Rewards",
        (("rewards/chosen", "chosen answers", False), ("rewards/rejected", "rejected", False)),
    ),
    ("Token accuracy", (("mean_token_accuracy", "training", False),)),
    ("Memory, GB", (("memory/rss_gb", "RAM", False), ("memory/gpu_gb", "GPU", False))),
)


def build(facts: Facts) -> Document:
    """The whole report."""
    record = facts.record
    score = facts.scores[0] if facts.scores else None
    about = [
        ("Run", facts.run),
        ("State", label(record.state)),
        ("Model", record.model_source),
        ("Stages", " → ".join(record.stages)),
        ("Started", moment(record.started)),
        ("Took", duration(facts.elapsed) if facts.elapsed else MISSING),
        ("Lineage", facts.lineage or "new weights on the base model"),
    ]
    sections = [
        *judged_sections(facts),
        Section("health", "Health", health_blocks(facts)),
        Section("curves", "Curves", _curves(facts)),
        Section("cost", "Time, memory and energy", _cost(facts)),
        Section("recipe", "Recipe", [Code(facts.recipe)] if facts.recipe else []),
        Section("environment", "Environment", _environment(facts.environment)),
        Section("notes", "Problems and notes", _notes(facts)),
    ]
    return Document(
        title=record.title or record.name or facts.run,
        facts=[(name, value) for name, value in about if value],
        verdict=verdict(score, facts.trained, facts.votes.pairs),
        sections=[section for section in sections if section.blocks],
    )


def _curves(facts: Facts) -> list[Block]:
    offsets, at = {}, 0
    for stage, curves in facts.curves.items():
        offsets[stage] = at
        at += max((points[-1][0] for points in curves.values()), default=0)
    charts = []
    for title, wanted in CURVES:
        found = [
            Series(name, points, held_out)
            for metric, name, held_out in wanted
            if (points := _joined(facts.curves, metric, offsets))
        ]
        if found:
            charts.append(Chart(title, found, [(step, stage) for stage, step in offsets.items()]))
    if not charts:
        return [Missing("Nothing has been logged yet.")]
    told = "Steps of all stages in turn; a dotted line is where a stage begins."
    return [Paragraph(told), Charts(charts)]


def _joined(
    curves: Mapping[str, Mapping[str, Points]], metric: str, offsets: Mapping[str, int]
) -> Points:
    """A metric over all stages, each behind the one before."""
    return tuple(
        (step + offsets[stage], value)
        for stage, known in curves.items()
        for step, value in known.get(metric, ())
    )


def _cost(facts: Facts) -> list[Block]:
    rows = [
        [
            found.stage,
            number(found.steps),
            duration(found.seconds),
            number(found.tokens_per_second),
            number(found.rows_per_second),
            size(found.peak_rss_bytes),
            size(found.peak_gpu_bytes),
            number(found.energy_wh),
            number(found.mean_loss),
            number(found.held_out.get("loss")),
        ]
        for found in facts.stages
    ]
    if not rows:
        return [Missing("No stage has begun yet.")]
    header = (
        *("Stage", "Steps", "Time", "Tokens/s", "Rows/s", "Peak RAM", "Peak GPU", "Wh"),
        *("Training loss", "Held-out loss"),
    )
    blocks: list[Block] = [Table(header, rows), *_shares(facts), *_ranks(facts)]
    if facts.answering:
        of = f", {percent(facts.answering / facts.elapsed)} of the run" if facts.elapsed else ""
        took = f"Answers at checkpoints took {facts.answering:.1f} s{of}."
        blocks.append(Paragraph(took))
    return blocks


def _shares(facts: Facts) -> list[Block]:
    """What each stage spent its time on, where that was measured."""
    measured = [found for found in facts.stages if found.shares]
    if not measured:
        return []
    rows = [
        [found.stage, *(percent(found.shares.get(name, 0.0)) for name in TIME_NAMES)]
        for found in measured
    ]
    return [Table(("Stage", *(name.title() for name in TIME_NAMES)), rows, "Share of the time")]


def _ranks(facts: Facts) -> list[Block]:
    """How several processes worked together, in the last stage."""
    if facts.scaling is None:
        return []
    words = ", ".join(scaling_words(facts.scaling))
    blocks: list[Block] = [Paragraph(f"{words}. Efficiency: {facts.scaling.compared}.")]
    if facts.ranks:
        head, *rows = (list(row[:-1]) for row in rank_rows(facts.ranks))
        header = [name.capitalize() for name in head]
        blocks.append(Table(header, rows, "Processes, by their last log record"))
    return blocks


def _environment(found: Mapping[str, Any]) -> list[Block]:
    if not found:
        return [Missing("environment.json is not there or cannot be read.")]
    versions = inner(found, "versions")
    rows = [[name, str(known)] for name, known in _items(versions)]
    rows += [[name, str(found[name])] for name in ("python", "platform") if found.get(name)]
    rows += [["CPU cores", number(found["cpu_count"])]] if found.get("cpu_count") else []
    rows += [["Memory", size(found.get("memory_bytes"))]]
    gpus = found.get("gpus")
    named = [_gpu(gpu) for gpu in gpus] if isinstance(gpus, list) else []
    rows += [["GPU", ", ".join(named) or "none"]]
    commit = inner(found, "git", "commit")
    if commit:
        changed = " with changes" if inner(found, "git", "changed") else ""
        rows += [["Recipe's commit", f"{str(commit)[:12]}{changed}"]]
    blocks: list[Block] = [Table(("What", "Which"), rows, numbers=False)]
    data = _data(found.get("datasets"))
    if data:
        header = ("Data", "Rows", "Used", "Dropped", "Cut", "Fingerprint")
        blocks.append(Table(header, data, "Data"))
    return blocks


def _gpu(gpu: Any) -> str:
    return str(gpu.get("name") or gpu) if isinstance(gpu, Mapping) else str(gpu)


def _items(found: Any) -> Sequence[tuple[str, Any]]:
    return (
        [(str(name), known) for name, known in found.items()] if isinstance(found, Mapping) else []
    )


def _data(datasets: Any) -> list[list[str]]:
    rows = []
    for stage, data in _items(datasets):
        for split in ("train", "test"):
            known = inner(data, split)
            if isinstance(known, Mapping):
                counts = [number(known.get(n)) for n in ("rows", "kept", "dropped", "truncated")]
                rows.append([f"{stage} {split}", *counts, str(known.get("fingerprint") or "")])
        files = inner(data, "files")
        for file in files if isinstance(files, list) else []:
            if isinstance(file, Mapping):
                # The folder says more about its owner than about the data.
                name = PurePath(str(file.get("path") or "")).name
                shown = size(file.get("bytes"))
                digest = str(file.get("sha256") or "")[:12]
                rows.append([f"{stage} file {name}", shown, "", "", "", digest])
    return rows


def _notes(facts: Facts) -> list[Block]:
    rows = [["problem", text] for text in facts.problems]
    rows += [["note", text] for text in facts.notes]
    if not rows:
        return [Paragraph("Nothing went wrong, and there was nothing to note.")]
    return [Table(("Kind", "What"), rows, numbers=False)]

"""What a deeper look found, in sentences."""

from __future__ import annotations

from typing import Any

from workbench.run.deep import DeepReport

SHOWN_PARTS = ("p50", "p95", "max")


def deep_lines(report: DeepReport) -> list[str]:
    """What each stage comes to, by the deeper look."""
    if not report.looked:
        return ["the model and the data are looked at once these are mended"]
    lines: list[str] = []
    for stage, found in report.stages.items():
        lines += [f"{stage}: {text}" for text in _rows(found)]
        lines += [f"{stage}: {text}" for text in _tokens(found)]
        if found.get("total"):
            share = 100 * found["trainable"] / found["total"]
            what = f"{found['modules']} modules adapted, " if found.get("modules") else ""
            numbers = f"{found['trainable']:,} of {found['total']:,} parameters ({share:.2f} %)"
            lines.append(f"{stage}: {what}trains {numbers}")
    return lines


def _rows(found: dict[str, Any]) -> list[str]:
    if not found.get("sample"):
        return []
    rows, sample = found.get("rows"), found["sample"]
    total = f"{rows:,} rows" if rows is not None else "a stream"
    if found.get("held_out"):
        total += f", {found['held_out']:,} held out"
    if sample != rows:
        total += f"; of a sample of {sample:,}"
    if "truncated" not in found:
        return [total]
    shares = [f"{100 * found[key] / sample:.3g} % {key}" for key in ("truncated", "dropped")]
    return [f"{total}: {', '.join(shares)}"]


def _tokens(found: dict[str, Any]) -> list[str]:
    parts = found.get("tokens") or {}
    texts = [
        f"{name} {'/'.join(str(spread[key]) for key in SHOWN_PARTS)}"
        for name, spread in parts.items()
    ]
    return [f"tokens ({'/'.join(SHOWN_PARTS)}): {', '.join(texts)}"] if texts else []

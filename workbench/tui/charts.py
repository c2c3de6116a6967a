"""The small texts around a run's charts."""

from __future__ import annotations

from textual.content import Content

from workbench.run.states import label
from workbench.tui.board import RunRow
from workbench.tui.render import (
    duration,
    join,
    next_line,
    number,
    plain,
    sentence,
    state_mark,
    where_line,
)
from workbench.tui.watching import RunView

NEXT_STEPS = {
    "queued": "nothing; it starts when its device is free",
    "starting": "nothing; the model is being loaded",
    "running": "nothing: it trains without this app. q leaves, x stops it and saves",
    "stopping": "nothing; it finishes its step and saves a checkpoint",
    "stalled": "press l for the log; it has not told of a step for a long time",
    "finished": "press c to compare it with its base, e to measure it",
    "stopped": "press R to go on from the last checkpoint, c to compare it as it is",
}
GAP = "  "
WIDE = 96
"""Cells from which on the time of the whole run has room beside that of the stage."""
# Name on the screen, metric, whether its sign is always written.
STRIP = (
    ("lr", "learning_rate", False),
    ("grad", "grad_norm", False),
    ("acc", "rewards/accuracies", False),
    ("margin", "rewards/margins", True),
    ("chosen", "rewards/chosen", True),
    ("rejected", "rewards/rejected", True),
    ("token accuracy", "mean_token_accuracy", False),
)


def strip(view: RunView) -> Content:
    """The newest values in one line, as far as there are any."""
    parts: list[Content | str | tuple[str, str]] = []
    for words, metric, signed in STRIP:
        value = view.latest.get(metric)
        # In DPO the accuracy of single tokens only distracts from that of the pairs.
        if value is None or (metric == "mean_token_accuracy" and view.row.stage == "dpo"):
            continue
        text = number(value, 2)
        sign = "+" if signed and value > 0 else ""
        parts += [(f"{words} ", "$muted"), f"{sign}{text}", "  "]
    return join(*parts)


def effort(view: RunView) -> Content:
    """Speed and memory, as far as they are known."""
    parts: list[Content | str | tuple[str, str]] = []
    speed = view.latest.get("tokens_per_second")
    if speed is not None:
        parts += [f"{speed:.0f}", (" tokens/s  ", "$muted")]
    memory = view.latest.get("memory/gpu_gb", view.latest.get("memory/rss_gb"))
    if memory is not None:
        kind = "GPU" if "memory/gpu_gb" in view.latest else "RAM"
        parts += [f"{memory:.1f}", (f" GB {kind}  ", "$muted")]
    return join(*parts)


def next_words(view: RunView) -> Content:
    """What to do now, in a line under the progress; a failure has a panel for that."""
    if view.row.error is not None:
        return Content("")
    if view.row.waiting:
        return plain(view.row.waiting)
    if view.row.imported:
        return next_line("only its curves are here; o lays it over another run")
    if view.findings and view.findings[0].severity == "alarm":
        return next_line("press h: what is wrong, why, and which setting to change")
    return next_line(NEXT_STEPS.get(view.row.state, "press R to go on from the last checkpoint"))


def fault_line(view: RunView) -> Content:
    """The newest non-finite value, if any."""
    if not view.faults:
        return Content("")
    stage, step, metric = view.faults[-1]
    return plain(f"✗ {metric} was not a finite number in {stage} step {step}", style="$error")


def reading_line(view: RunView) -> Content:
    """That the curves are not whole yet."""
    return plain("… reading the curves' later steps", style="$muted") if view.more else Content("")


def note_line(view: RunView, width: int) -> Content:
    """The newest thing that the worker decided on its own, in one line."""
    if not view.notes:
        return Content("")
    count = f"{len(view.notes)} notes, " if len(view.notes) > 1 else ""
    return plain(f"note  {count}{view.notes[-1]}", style="$muted").truncate(width, ellipsis=True)


def machine_words(view: RunView, width: int) -> Content:
    """What a live run takes of its machine, in one line."""
    if view.machine is None or not view.row.active:
        return Content("")
    from workbench.tui.machine import machine_line

    name = "machine  "
    return join((name, "$muted"), machine_line(view.machine, width - len(name)))


def rank_words(view: RunView, width: int) -> Content:
    """How several processes work together, in one line; what does not fit is left out."""
    if view.scaling is None:
        return Content("")
    from workbench.run.scaling import scaling_words

    parts = scaling_words(view.scaling)
    if view.scaling.tokens_per_second and plain(GAP.join(parts)).cell_length > width:
        del parts[1]  # the head tells it too
    return plain(GAP.join(parts)).truncate(width, ellipsis=True)


def time_words(view: RunView, width: int) -> Content:
    """Where the stage's time goes, in one line."""
    from workbench.run.summary import rows_word, share_words

    words = share_words(view.shares)
    if not words:
        return Content("")
    rows = view.latest.get("samples_per_second")
    speed = f", {number(rows, 2)} {rows_word(view.row.stage)}/s" if rows else ""
    return join(("time  ", "$muted"), plain(f"{words}{speed}")).truncate(width, ellipsis=True)


def headline(view: RunView, stage: str) -> Content:
    """Name, state, stage, model."""
    row = view.row
    place = ""
    if row.stage in row.stages and len(row.stages) > 1:
        place = f" (stage {row.stages.index(row.stage) + 1} of {len(row.stages)})"
    shown = "" if stage in ("", row.stage) else f"   showing {stage}"
    return join(
        plain(row.label, style="bold"),
        "   ",
        state_mark(row.state),
        "   ",
        plain(row.stage, style="bold $accent"),
        (place, "$muted"),
        (f"   job {row.job}" if row.job and row.active else "", "$muted"),
        (shown, "$secondary"),
        "   ",
        effort(view),
        plain(view.model, style="$faint"),
    )


def progress(view: RunView, now: float, width: int, *, ascii_only: bool = False) -> Content:
    """A bar of the stage's steps with elapsed time and, while it trains, the time left."""
    row = view.row
    part = min(1.0, row.step / row.max_steps) if row.max_steps > 0 else 0.0
    elapsed = duration(row.seconds(now))
    texts: list[str | tuple[str, str]] = [
        ("  step ", "$muted"),
        f"{row.step}/{row.max_steps or '?'}",
        (f"  {100 * part:.0f} %", "$muted"),
        ("  ran ", "$muted"),
        elapsed,
    ]
    if row.active:
        # The time that it ran is that of all stages.
        last = row.stage == row.stages[-1] if row.stages else True
        words = "  left " if last else "  stage left "
        texts += [(words, "$muted"), duration(view.eta.stage_seconds if view.eta else None)]
        if width >= WIDE and view.eta and view.eta.run_seconds > view.eta.stage_seconds:
            least = "" if view.eta.exact else "at least "
            texts += [("  whole run ", "$muted"), f"{least}{duration(view.eta.run_seconds)}"]
    tail = join(*texts)
    cells = max(4, width - tail.cell_length)
    done = round(cells * part)
    full, rest = ("#", "-") if ascii_only else ("━", "─")
    calm = "$success" if row.active or row.state == "finished" else "$warning"
    alarm = any(finding.severity == "alarm" for finding in view.findings)
    style = "$error" if row.error is not None or alarm else calm
    return join((full * done, style), (rest * (cells - done), "$line"), tail)


def failure(row: RunRow) -> Content:
    """Why a run ended badly and what to do, instead of a traceback."""
    what, where, next_step = row.error or ("", "", "")
    parts = [sentence(what or f"The run is {label(row.state)}.", style="bold")]
    if where:
        parts.append(where_line(where))
    next_step = next_step or "Press l for the log, R to resume from the last checkpoint."
    parts.append(next_line(next_step))
    return Content("\n").join(parts)

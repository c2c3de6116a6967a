"""How a run ended, concluded from its worker's exit and from what the system says about it."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.base.problems import Problem

CRASH_SIGNALS = {
    signal.SIGSEGV: "an invalid memory access",
    signal.SIGBUS: "a bus error",
    signal.SIGABRT: "an abort by one of its libraries",
    signal.SIGFPE: "an arithmetic error",
    signal.SIGILL: "a processor instruction that this machine does not have",
}
SMALLER = (
    "Halve per_device_train_batch_size and double gradient_accumulation_steps, or lower "
    "max_length; then resume the run."
)


@dataclass(frozen=True)
class Ending:
    """The end state of a run whose worker wrote none itself.

    Attributes:
        state: `failed`, `killed` or `out_of_memory`.
        problem: What the person is told.
        evidence: What it was concluded from, one sentence each.
    """

    state: str
    problem: Problem
    evidence: tuple[str, ...] = ()


def signal_name(code: int) -> str:
    """`SIGKILL` for an exit code of -9, as `subprocess` counts; empty where no signal ended it."""
    if code >= 0:
        return ""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def conclude(
    code: int,
    *,
    requested: bool = False,
    memory_kills: Sequence[str] = (),
    advice: Problem | None = None,
    smaller: str = SMALLER,
    log: str = "",
    who: str = "the trainer",
) -> Ending:
    """What a worker's exit without an end record means.

    Args:
        code: Its exit code, negative where a signal ended it.
        requested: Whether a person asked for the kill.
        memory_kills: Counters of the kernel's memory killer that rose at the time.
        advice: What its last words say, where they are of a known kind.
        smaller: What to do against a lack of main memory.
        log: Path of its log, for the person.
        who: What to call it.
    """
    name = signal_name(code)
    resume = "Resume it: it goes on from its last complete checkpoint."
    exit_fact = f"{who} ended by {name}" if name else f"{who}'s exit code was {code}"
    facts = (exit_fact, *memory_kills)
    if requested:
        return Ending("killed", Problem("killed on request", log, resume), facts)
    if code == -signal.SIGKILL and memory_kills:
        what = f"this machine's memory ran out, and the kernel killed {who}"
        return Ending("out_of_memory", Problem(what, log, smaller), facts)
    if advice is not None:
        return Ending("out_of_memory" if is_memory(advice) else "failed", advice, facts)
    if -code in CRASH_SIGNALS:
        what = f"{who} crashed: {CRASH_SIGNALS[signal.Signals(-code)]} ({name})"
        hint = f"Its last words stand at the end of {Path(log).name or 'its log'}. " + resume
        return Ending("failed", Problem(what, log, hint), facts)
    if name:
        what = f"{who} was killed from outside ({name}); nobody asked for it here"
        hint = "Ask who administers this machine, or look for a limit of memory or time. " + resume
        return Ending("killed", Problem(what, log, hint), facts)
    what = f"{who} ended with exit code {code} and left no report"
    hint = f"Read the end of {Path(log).name or 'its log'}. " + resume
    return Ending("failed", Problem(what, log, hint), facts)


def is_memory(problem: Problem) -> bool:
    """Whether a known cause is a lack of memory."""
    return "memory" in problem.what and "full" in problem.what

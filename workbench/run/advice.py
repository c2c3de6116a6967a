"""Known causes: from a traceback or the end of a log to one sentence, its place and its cure.

The table stands in the modules `advice_*`. It needs no library: the supervisor reads a dead
worker's log with it, and the worker its own exceptions.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from workbench.base.problems import Problem
from workbench.run.advice_machine import (
    CRASH_ROWS,
    DISK_ROWS,
    GPU_ROWS,
    MEMORY_ROWS,
    PARALLEL_ROWS,
    memory_steps,
)
from workbench.run.advice_model import FILE_ROWS, HUB_ROWS, LIBRARY_ROWS
from workbench.run.advice_rows import Facts, Row
from workbench.run.advice_settings import (
    ADAPTER_ROWS,
    DATA_ROWS,
    PRECISION_ROWS,
    VALUE_ROWS,
)
from workbench.run.directory import RunDirectory

ROWS: tuple[Row, ...] = (
    *MEMORY_ROWS,
    *DISK_ROWS,
    *GPU_ROWS,
    *PARALLEL_ROWS,
    *HUB_ROWS,
    *FILE_ROWS,
    *ADAPTER_ROWS,
    *PRECISION_ROWS,
    *DATA_ROWS,
    *VALUE_ROWS,
    *LIBRARY_ROWS,
    *CRASH_ROWS,
)
"""The most specific first: the first row that fits speaks."""

LAST_CHARACTERS = 256 * 1024
CONFIG_BYTES = 1024**2
FRAME = re.compile(r'\s{0,8}File "([^"\n]{0,400})", line \d{1,9}, in (\S{1,100})')
RANK = re.compile(r"\[(?:rank)?\d{1,5}\]: ?")
NOISE = re.compile(r"(?:^|[\s:.])(?:\w{0,40}Warning: |warning: )|^\[?W\d{4} ")
PHASE_WORDS = (
    ("loading", re.compile(r"from_pretrained$|create_model_from_path$|load_base$")),
    ("generation", re.compile(r"generate$|answer_probes$")),
    ("reference", re.compile(r"_precompute_ref_logps$|compute_ref_log_probs$")),
    ("evaluation", re.compile(r"evaluate$|evaluation_loop$|prediction_step$")),
)
OPTIMIZER_FILES = ("torch/optim/", "bitsandbytes/optim/")


def advise(text: str, facts: Facts | None = None) -> Problem | None:
    """What a known failure tells its user; None for an unknown one.

    Args:
        text: A traceback, or the end of a log; untrusted.
        facts: What is known about the run.
    """
    found = find(text, facts or Facts())
    return found[1] if found else None


def find(text: str, facts: Facts) -> tuple[Row, Problem] | None:
    """The first row that fits a text, and what it says."""
    frames, messages = read_traceback(text[-LAST_CHARACTERS:])
    facts = with_phase(facts, frames)
    for row in ROWS:
        match = row.pattern.search(messages)
        told = row.tell(match, facts) if match else None
        if told is not None:
            return row, told
    return None


def memory_evidence(text: str, facts: Facts) -> list[str]:
    """All changes against a lack of memory, one sentence each; empty for any other failure."""
    found = find(text, facts)
    if found is None or not fills_memory(found):
        return []
    frames, _ = read_traceback(text[-LAST_CHARACTERS:])
    return less_memory(with_phase(facts, frames), on_gpu="GPU" in found[1].what)


def less_memory(facts: Facts, *, on_gpu: bool) -> list[str]:
    """All changes that make a run need less memory, one sentence each, best first."""
    steps = memory_steps(facts, on_gpu=on_gpu)
    return [f"less memory {number}: {step.sentence}" for number, step in enumerate(steps, 1)]


def is_memory_failure(text: str) -> bool:
    """Whether a text tells that the memory of the GPU or of the machine was full."""
    found = find(text, Facts())
    return found is not None and fills_memory(found)


def fills_memory(found: tuple[Row, Problem]) -> bool:
    """Whether a row is about main or GPU memory; /dev/shm is neither."""
    return found[0] in MEMORY_ROWS and "memory is full" in found[1].what


def read_traceback(text: str) -> tuple[list[tuple[str, str]], str]:
    """The frames (file, function) of a text's tracebacks, and its lines that are messages.

    Lines of source code quote messages that were not said, and warnings end no run.
    """
    frames: list[tuple[str, str]] = []
    messages: list[str] = []
    in_frame = False
    for raw in text.splitlines():
        prefix = RANK.match(raw)
        line = raw[prefix.end() :] if prefix else raw
        frame = FRAME.match(line)
        if frame:
            frames.append((frame.group(1), frame.group(2)))
            in_frame = True
        elif not (in_frame and line.startswith("    ")):
            in_frame = False
            if not NOISE.search(line[:400]):
                messages.append(line)
    return frames, "\n".join(messages)


def with_phase(facts: Facts, frames: list[tuple[str, str]]) -> Facts:
    """The facts with what the process did, as its frames tell."""
    if facts.phase:
        return facts
    for phase, words in PHASE_WORDS:
        if any(words.search(name) for _, name in frames):
            return dataclasses.replace(facts, phase=phase)
    if any(part in file for file, _ in frames for part in OPTIMIZER_FILES):
        return dataclasses.replace(facts, phase="optimizer")
    return facts


def facts_of(run: RunDirectory, stage: str = "", model: str = "") -> Facts:
    """What a run directory tells about its run; what cannot be read is left out.

    Args:
        stage: The stage that failed.
        model: Its base model; the config's when not given.
    """
    config: dict[str, Any] = {}
    if stage:
        try:
            file = run.config(stage)
            if file.stat().st_size <= CONFIG_BYTES:
                read = yaml.safe_load(file.read_text(encoding="utf-8"))
                config = read if isinstance(read, dict) else {}
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            config = {}
    model = model or str(config.get("model_name_or_path") or "")
    return Facts(stage, config, model, run.path, free_bytes(run.path))


def free_bytes(folder: Path) -> int | None:
    """Free space of a folder's disk."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None

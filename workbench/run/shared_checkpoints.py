"""Which files hold what several processes have saved of one checkpoint.

Beside the adapter, transformers lets each engine save in its own way. DDP writes `optimizer.pt`;
FSDP `optimizer.bin` and `pytorch_model_fsdp.bin`, or with `SHARDED_STATE_DICT` a folder for each
with a part of every process; DeepSpeed a folder `global_stepN`, whose name stands in `latest`.
Each process adds its own random state. Nothing is unpickled here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FSDP_FILES = ("optimizer.bin", "pytorch_model_fsdp.bin")
FSDP_FOLDERS = ("optimizer_0", "pytorch_model_fsdp_0")
LATEST = "latest"
METADATA = ".metadata"
METADATA_LIMIT_BYTES = 2**30
PART = re.compile(rb"__\d+_\d+\.distcp")
PART_NAME = re.compile(r"__(?P<rank>\d+)_\d+\.distcp")
RANDOM_STATE = re.compile(r"rng_state_(?P<rank>\d+)\.pth")
OPTIMIZER_PART = re.compile(
    r"(?P<before>.*zero_pp_rank_)(?P<rank>\d+)(?P<behind>_mp_rank_\d+_optim_states\.pt)"
)
PICKLE_END = b"b."
"""Of one object: its attributes are set, and nothing follows."""
ZIP_END = b"PK\x05\x06"
ZIP_END_BYTES = 22


def training_files(folder: Path, manifest: Mapping[str, Any] | None = None) -> list[str]:
    """Names of the files that must be there for training to go on: of optimizer, schedule, chance.

    Args:
        manifest: The checkpoint's, whose `ranks` are the processes that have saved into this
            folder; without it all from 0 to the last one that is found.
    """
    return [*_optimizer_files(folder), *_random_states(folder, manifest or {})]


def _optimizer_files(folder: Path) -> list[str]:
    if (folder / LATEST).is_file():
        return _deepspeed_files(folder)
    if any((folder / name).exists() for name in FSDP_FOLDERS):
        parts = [name for inner in FSDP_FOLDERS for name in _parts(folder, inner)]
        return [*parts, "scheduler.pt"]
    if any((folder / name).exists() for name in FSDP_FILES):
        return [*FSDP_FILES, "scheduler.pt"]
    return ["optimizer.pt", "scheduler.pt"]


def _parts(folder: Path, inner: str) -> list[str]:
    """The index of a folder of torch's distributed checkpoint, and the parts that it names."""
    index = folder / inner / METADATA
    found: set[str] = set()
    if index.is_file() and index.stat().st_size <= METADATA_LIMIT_BYTES:
        found = {name.decode() for name in PART.findall(index.read_bytes())}
    return [f"{inner}/{name}" for name in (METADATA, *sorted(found))]


def _deepspeed_files(folder: Path) -> list[str]:
    """What `latest` points to; DeepSpeed may keep the schedule in it too."""
    tag = (folder / LATEST).read_text(encoding="utf-8", errors="replace").strip()
    if not re.fullmatch(r"\w+", tag):
        return [LATEST, "global_step"]
    names = sorted(file.name for file in folder.glob(f"{tag}/*.pt"))
    models = [name for name in names if name.endswith("_model_states.pt")]
    parts = [match for name in names if (match := OPTIMIZER_PART.fullmatch(name))]
    optimizer = [
        f"{parts[0]['before']}{rank}{parts[0]['behind']}"
        for rank in range(1 + _last_rank(folder) if parts else 0)
    ]
    found = (*(models or ["mp_rank_00_model_states.pt"]), *optimizer)
    return [LATEST, *(f"{tag}/{name}" for name in found)]


def _random_states(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    ranks = manifest.get("ranks")
    if isinstance(ranks, list) and ranks and all(isinstance(rank, int) for rank in ranks):
        return [f"rng_state_{rank}.pth" for rank in ranks]
    last = _last_rank(folder)
    if last > 0 or (folder / "rng_state_0.pth").exists():
        return [f"rng_state_{rank}.pth" for rank in range(1 + last)]
    return ["rng_state.pth"]


def _last_rank(folder: Path) -> int:
    """The highest number of a process in the name of anything that one has saved, -1 for none."""
    names = [OPTIMIZER_PART.fullmatch(file.name) for file in folder.glob("*/*_optim_states.pt")]
    names += [PART_NAME.fullmatch(file.name) for file in folder.glob("*/*.distcp")]
    parts = [int(name["rank"]) for name in names if name]
    return max((*saved_ranks(folder), *parts), default=-1)


def saved_ranks(folder: Path) -> list[int]:
    """The processes that have saved their random state into a folder, where there are several."""
    names = [RANDOM_STATE.fullmatch(file.name) for file in folder.glob("rng_state_*.pth")]
    return sorted(int(name["rank"]) for name in names if name)


def is_whole_part(file: Path) -> bool | None:
    """Whether a file of FSDP's has the end that it was written with; None for any other file."""
    if file.name == METADATA:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - len(PICKLE_END)))
            return stream.read() == PICKLE_END
    if file.suffix == ".distcp" or file.name in FSDP_FILES:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - ZIP_END_BYTES))
            return stream.read().startswith(ZIP_END)
    return None

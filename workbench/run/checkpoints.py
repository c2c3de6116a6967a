"""Which checkpoint can be trusted: a manifest written last, and what is looked at without one."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from workbench.base.files import json_safe, write_atomic
from workbench.run.shared_checkpoints import is_whole_part, training_files

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
INCOMPLETE_MARK = "checkpoint-is-incomplete.txt"
STATE = "trainer_state.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PREFIX = "checkpoint-"
HASH_CHUNK_BYTES = 1 << 20
HEADER_LIMIT_BYTES = 100_000_000


class DamagedError(Exception):
    """Why a checkpoint cannot be gone on from, as a phrase without its name."""


@dataclass(frozen=True)
class Choice:
    """The checkpoint to go on from, and those that are newer and damaged.

    Attributes:
        skipped: `(name, reason)` of each damaged one, newest first.
    """

    folder: Path | None
    skipped: tuple[tuple[str, str], ...]


def step_of(checkpoint: Path) -> int:
    """Optimizer step of a `checkpoint-N` folder, -1 for any other name."""
    number = checkpoint.name.removeprefix(PREFIX)
    return int(number) if checkpoint.name.startswith(PREFIX) and number.isdecimal() else -1


def checkpoint_folders(output: Path) -> list[Path]:
    """All folders `checkpoint-N` of a stage, whole or not, oldest step first."""
    found = [folder for folder in output.glob(f"{PREFIX}*") if step_of(folder) >= 0]
    return sorted(found, key=step_of)


def choose(run: RunDirectory, stage: str, *, deep: bool = True) -> Choice:
    """The newest whole checkpoint of a stage. With `deep` every byte of it is verified."""
    skipped: list[tuple[str, str]] = []
    for folder in reversed(checkpoint_folders(run.output(stage))):
        reason = verify(folder, root=run.path, deep=deep)
        if not reason:
            return Choice(folder, tuple(skipped))
        skipped.append((folder.name, reason))
    return Choice(None, tuple(skipped))


def verify(folder: Path, *, root: Path | None = None, deep: bool = False) -> str:
    """Why training cannot go on from a checkpoint as if it had never stopped; empty if it can.

    The optimizer, the scheduler and the random state must be there: without them the Trainer
    resumes silently with other losses.

    Args:
        root: Folder that no file of the checkpoint may lie outside of, by a link.
        deep: Also compare hashes; without a manifest, read the structure of each file.
    """
    try:
        if not folder.is_dir():
            return "it is no folder"
        _refuse_links(folder, root or folder)
        if (folder / INCOMPLETE_MARK).exists():
            return "saving it was not finished"
        if not any(folder.iterdir()):
            return "it is empty"
        manifest = read_manifest(folder)
        if manifest is not None:
            _compare(folder, manifest, deep)
        required = required_files(folder, manifest)
        for name in required:
            _require(folder, name)
            if manifest is not None and name not in manifest["files"]:
                return f"{name} is not in its {MANIFEST}"
        if manifest is None or deep:
            _check_state(folder)
        if manifest is not None and manifest["step"] != step_of(folder):
            return f"its {MANIFEST} is of step {manifest['step']}"
        if manifest is None and deep:
            for file in sorted(folder.rglob("*")):
                check_structure(file)
    except DamagedError as damage:
        return str(damage)
    except OSError as error:
        return f"{Path(error.filename or folder).name} cannot be read ({error.strerror})"
    return ""


def _refuse_links(folder: Path, root: Path) -> None:
    inside = root.resolve()
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise DamagedError(f"{path.name} is a link to a place outside of the run")


def required_files(folder: Path, manifest: Mapping[str, Any] | None = None) -> list[str]:
    """Names of the files without which a checkpoint is none."""
    whole_model = sorted(file.name for file in folder.glob("model*.safetensors"))
    weights = whole_model or [ADAPTER_WEIGHTS, ADAPTER_CONFIG]
    return [STATE, *training_files(folder, manifest), *weights]


def _require(folder: Path, name: str) -> None:
    file = folder / name
    if not file.is_file():
        raise DamagedError(f"{name} is missing")
    if file.stat().st_size == 0:
        raise DamagedError(f"{name} is empty")


def _check_state(folder: Path) -> None:
    step = _read_json(folder / STATE).get("global_step")
    if step != step_of(folder):
        raise DamagedError(f"its {STATE} is of step {step}")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise DamagedError(f"{file.name} is damaged")
    return content


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a checkpoint or of final weights, None where none was written.

    Raises:
        DamagedError: It is no manifest.
    """
    file = folder / MANIFEST
    if not file.is_file():
        return None
    manifest = _read_json(file)
    files = manifest.get("files")
    if not isinstance(files, dict) or not isinstance(manifest.get("step"), int):
        raise DamagedError(f"{MANIFEST} is damaged")
    for name, entry in files.items():
        path = PurePosixPath(name)
        fits = isinstance(entry, dict) and isinstance(entry.get("size"), int)
        if path.is_absolute() or ".." in path.parts or not fits:
            raise DamagedError(f"{MANIFEST} is damaged")
    return manifest


def _compare(folder: Path, manifest: Mapping[str, Any], deep: bool) -> None:
    for name, entry in manifest["files"].items():
        file, size = folder / name, entry["size"]
        if not file.is_file():
            raise DamagedError(f"{name} is missing")
        if (there := file.stat().st_size) != size:
            raise DamagedError(f"{name} is {there:,} bytes, not {size:,}")
    if deep:
        for name, entry in manifest["files"].items():
            if file_hash(folder / name) != entry.get("sha256"):
                raise DamagedError(f"{name} is not as it was saved (its sha256 differs)")


def check_structure(file: Path) -> None:
    """Look for a cut or an overwritten file by its own structure; nothing is unpickled.

    Raises:
        DamagedError: The file is damaged.
    """
    if file.suffix == ".json":
        _read_json(file)
    elif file.suffix == ".safetensors":
        _check_safetensors(file)
    elif file.suffix in (".pt", ".pth"):
        try:
            with zipfile.ZipFile(file) as archive:
                whole = bool(archive.namelist())
        except (zipfile.BadZipFile, ValueError):
            whole = False
        if not whole:
            raise DamagedError(f"{file.name} is damaged")
    elif is_whole_part(file) is False:
        raise DamagedError(f"{file.name} is damaged")


def _check_safetensors(file: Path) -> None:
    # 8 bytes of header length, the header, and the tensors as far as the header says.
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length <= min(size - 8, HEADER_LIMIT_BYTES):
            raise DamagedError(f"{file.name} is damaged")
        raw = stream.read(length)
    try:
        header = json.loads(raw)
        ends = [item["data_offsets"][1] for key, item in header.items() if key != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise DamagedError(f"{file.name} is damaged") from None
    if size != 8 + length + max(ends, default=0):
        raise DamagedError(f"{file.name} is cut: {size:,} bytes")


def file_hash(file: Path) -> str:
    """The sha256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def write_manifest(folder: Path, facts: Mapping[str, Any], *, recursive: bool = True) -> None:
    """Put every file of a folder on the disk, then list them with sizes and hashes, last of all.

    Args:
        facts: `run`, `stage`, `step` and what else the manifest tells of the training.

    Raises:
        OSError: A file cannot be read or the disk is full; the folder has no manifest then.
    """
    found = folder.rglob("*") if recursive else folder.glob("*")
    files = {}
    for file in sorted(found):
        if file.is_file() and file.name != MANIFEST:
            _flush(file)
            name = file.relative_to(folder).as_posix()
            files[name] = {"size": file.stat().st_size, "sha256": file_hash(file)}
    content = {"version": MANIFEST_VERSION, **facts, "files": files}
    write_atomic(folder / MANIFEST, json.dumps(json_safe(content), indent=1, ensure_ascii=False))
    _flush(folder)
    _flush(folder.parent)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def surplus(output: Path, limit: int | None, *, keep: tuple[Path, ...] = ()) -> list[Path]:
    """What `save_total_limit` deletes: damaged folders first, then the oldest ones.

    The newest whole checkpoint and those in `keep` are never among them.
    """
    if limit is None or limit <= 0:
        return []
    folders = checkpoint_folders(output)
    whole = [folder for folder in folders if not verify(folder, root=output.parent)]
    protected = {*keep, *whole[-1:]}
    damaged = [folder for folder in folders if folder not in whole]
    candidates = [folder for folder in (*damaged, *whole) if folder not in protected]
    return candidates[: max(len(folders) - max(limit, len(protected)), 0)]

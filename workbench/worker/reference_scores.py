"""What the frozen reference says of each row, computed once and kept for later epochs and runs.

The reference of DPO never changes, yet TRL asks it anew in every epoch and at every evaluation, or
beforehand with `precompute_ref_log_probs`, whose cache misses as soon as the new adapter's rank or
the seed differs. Here the log-probabilities of a row's tokens are kept under the row's own tokens,
in one file per reference: base weights, adapter, precision, device and version of transformers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import TrainerCallback

from workbench.base.files import write_atomic
from workbench.worker.world import World

REFERENCE_ADAPTER = "ref"
FOLDER = "reference"
SCHEME = "1"
"""Counts how often the way to compute them has changed for more than rounding."""
KEY_BYTES = 16
HEADER = struct.Struct(f"<{KEY_BYTES}sII")
"""A record: the row's key, how many fp32 follow, and their checksum."""
LIMIT_BYTES = 2**30
EDGE_BYTES = 2**20


class ReferenceScores(TrainerCallback):  # type: ignore[misc]
    """Log-probabilities of rows, in memory and in a file that runs share.

    As a trainer's callback it writes what is new before each checkpoint: a run that is resumed
    there then has the very numbers of one that nothing has interrupted. Processes that train
    together tell each other then what is new, so that no row is scored by two of them for long, and
    one of each host writes.

    Args:
        file: Where they are kept; None keeps them for these processes only.
        world: This process among those that train together.
    """

    def __init__(self, file: Path | None, world: World | None = None) -> None:
        self.file = file
        self.world = world or World()
        self.known: dict[bytes, torch.Tensor] = {}
        self._new: list[bytes] = []
        self._damaged = False
        if file is not None:
            with contextlib.suppress(OSError):
                self.known, self._damaged = read_records(file.read_bytes())

    def put(self, key: bytes, values: torch.Tensor) -> None:
        """Keep the (n,) log-probabilities of a row."""
        self.known[key] = values.detach().float().cpu().clone()
        self._new.append(key)

    def save(self) -> None:
        """Append what is new to the file; a disk that takes no more costs nothing but time.

        All processes must call it.
        """
        new = self._exchange()
        if self.file is None:
            return
        if new and self.world.rank == 0:
            self._write(new)
        if not self.world.is_shared:
            return
        # Another host has written the same file, or has another disk.
        written = self.world.share(self._mark())
        if new and self.world.rank > 0 and self.world.local_rank == 0 and self._mark() != written:
            self._write(new)

    def _exchange(self) -> list[bytes]:
        """Take what is new over from all processes; of a row that several have, the first one's."""
        new, self._new = self._new, []
        if not self.world.is_shared:
            return new
        found: dict[bytes, torch.Tensor] = {}
        for part in self.world.gather(self._records(new)):
            found = {**read_records(part)[0], **found}
        self.known |= found
        return list(found)

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            facts = self.file.stat() if self.file is not None else None
        except OSError:
            return None
        return facts and (facts.st_ino, facts.st_size, facts.st_mtime_ns)

    def _write(self, new: list[bytes]) -> None:
        assert self.file is not None
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._damaged:
                write_atomic(self.file, self._records(list(self.known)))
                self._damaged = False
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(self.file, flags, 0o600)
            try:
                if os.fstat(handle).st_size < LIMIT_BYTES:
                    # In one call, so that two runs never write into each other's records.
                    os.write(handle, self._records(new))
            finally:
                os.close(handle)

    def _records(self, keys: list[bytes]) -> bytes:
        records = []
        for key in keys:
            values = self.known[key].numpy().tobytes()
            records.append(HEADER.pack(key, len(values) // 4, zlib.crc32(key + values)) + values)
        return b"".join(records)

    def on_step_end(self, _: Any, __: Any, control: Any, **___: Any) -> None:
        """Before the trainer saves a checkpoint."""
        if control.should_save:
            self.save()

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        """Before the rows come again, in another process maybe."""
        if self.world.is_shared:
            self.save()

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        """After the held-out pairs."""
        self.save()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """After the last step."""
        self.save()


def read_records(content: bytes) -> tuple[dict[bytes, torch.Tensor], bool]:
    """The log-probabilities by key, and whether the content is damaged behind them."""
    found: dict[bytes, torch.Tensor] = {}
    start = 0
    while start < len(content):
        if start + HEADER.size > len(content):
            return found, True
        key, count, check = HEADER.unpack_from(content, start)
        end = start + HEADER.size + 4 * count
        values = content[start + HEADER.size : end]
        # A kill or a full disk can cut a record, and hides where the next one begins.
        if end > len(content) or zlib.crc32(key + values) != check:
            return found, True
        found[key] = torch.tensor(memoryview(values).cast("f"), dtype=torch.float32)
        start = end
    return found, False


def row_key(tokens: torch.Tensor, labels: torch.Tensor) -> bytes:
    """The key of a row: (n,) tokens and labels, without padding, on the CPU."""
    content = torch.stack((tokens, labels)).to(torch.int64).numpy().tobytes()
    return hashlib.blake2b(content, digest_size=KEY_BYTES).digest()


def is_reference_pass(model: Any) -> bool:
    """Whether a model with LoRA answers as the frozen reference at this moment."""
    if torch.is_grad_enabled():
        return False
    layer = next((part for part in model.modules() if hasattr(part, "lora_A")), None)
    return layer is not None and (
        layer.disable_adapters or list(layer.active_adapters) == [REFERENCE_ADAPTER]
    )


def reference_file(
    model: Any, path: str, cache: Path | None, precision: str = "", world: World | None = None
) -> Path | None:
    """The file of a model's reference.

    Args:
        model: The causal language model with its adapters.
        path: Where its base weights come from, a folder or a name on the hub.
        cache: The user's cache folder.
        precision: What the trainer computes in beside the weights' own type, as under autocast.
        world: The processes that train together; rank 0 tells the name, as with FSDP it may be the
            only one that has read the weights yet.

    Returns:
        None where the base weights cannot be told apart from others, or without a cache folder.
    """
    name = (world or World()).share(_file_name(model, path, precision))
    return cache / FOLDER / name if name and cache is not None else None


def _file_name(model: Any, path: str, precision: str) -> str:
    weights = _weights_identity(model, path)
    if not weights:
        return ""
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    # The config too: the same weights compute something else with another rope_theta.
    settings = model.config.to_json_string()
    way = (SCHEME, transformers.__version__, str(model.dtype), model.device.type, precision)
    for part in (*weights, *way, settings):
        digest.update(part.encode() + b"\0")
    for name, weight in model.named_parameters():
        if f".{REFERENCE_ADAPTER}." in name:
            digest.update(name.encode())
            digest.update(weight.detach().float().cpu().numpy().tobytes())
    return f"{digest.hexdigest()}.scores"


def _weights_identity(model: Any, path: str) -> list[str]:
    folder = Path(path)
    if not folder.is_dir():
        commit = getattr(model.config, "_commit_hash", None)
        return [path, commit] if commit else []
    parts = []
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        size = file.stat().st_size
        digest = hashlib.blake2b(digest_size=KEY_BYTES)
        with file.open("rb") as content:
            digest.update(content.read(EDGE_BYTES))
            content.seek(max(0, size - EDGE_BYTES))
            digest.update(content.read())
        parts.append(f"{file.name} {size} {file.stat().st_mtime_ns} {digest.hexdigest()}")
    return parts

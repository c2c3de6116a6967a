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
    there then has the very numbers of one that nothing has interrupted.

    Args:
        file: Where they are kept; None keeps them for this process only.
    """

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.known: dict[bytes, torch.Tensor] = {}
        self._new: list[bytes] = []
        self._damaged = False
        if file is not None:
            with contextlib.suppress(OSError):
                self._read(file.read_bytes())

    def _read(self, content: bytes) -> None:
        start = 0
        while start < len(content):
            if start + HEADER.size > len(content):
                self._damaged = True
                return
            key, count, check = HEADER.unpack_from(content, start)
            end = start + HEADER.size + 4 * count
            values = content[start + HEADER.size : end]
            # A kill or a full disk can cut a record, and hides where the next one begins.
            if end > len(content) or zlib.crc32(key + values) != check:
                self._damaged = True
                return
            self.known[key] = torch.tensor(memoryview(values).cast("f"), dtype=torch.float32)
            start = end

    def put(self, key: bytes, values: torch.Tensor) -> None:
        """Keep the (n,) log-probabilities of a row."""
        self.known[key] = values.detach().float().cpu().clone()
        self._new.append(key)

    def save(self) -> None:
        """Append what is new to the file; a disk that takes no more costs nothing but time."""
        if self.file is None or not self._new:
            return
        new, self._new = self._new, []
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

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        """After the held-out pairs."""
        self.save()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """After the last step."""
        self.save()


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


def reference_file(model: Any, path: str, cache: Path | None, precision: str = "") -> Path | None:
    """The file of a model's reference.

    Args:
        model: The causal language model with its adapters.
        path: Where its base weights come from, a folder or a name on the hub.
        cache: The user's cache folder.
        precision: What the trainer computes in beside the weights' own type, as under autocast.

    Returns:
        None where the base weights cannot be told apart from others, or without a cache folder.
    """
    weights = _weights_identity(model, path)
    if not weights or cache is None:
        return None
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
    return cache / FOLDER / f"{digest.hexdigest()}.scores"


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

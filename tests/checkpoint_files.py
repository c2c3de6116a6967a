"""Adapters and checkpoints with the true structure of each file, made without any library."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from workbench.run.checkpoints import write_manifest

TENSOR_BYTES = 4096


def write_safetensors(file: Path) -> None:
    """One tensor of zeros."""
    entry = {"dtype": "F32", "shape": [TENSOR_BYTES // 4], "data_offsets": [0, TENSOR_BYTES]}
    header = json.dumps({"base.lora_A.weight": entry}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(TENSOR_BYTES))


def write_adapter(folder: Path, *, rank: int = 16) -> Path:
    """An adapter with its tokenizer's config; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"peft_type": "LORA", "r": rank, "target_modules": ["q_proj", "v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text("{}")
    write_safetensors(folder / "adapter_model.safetensors")
    return folder


def write_checkpoint(
    output: Path, step: int, *, manifest: bool = True, reference: bool = False, **facts: Any
) -> Path:
    """A whole `checkpoint-N` in a stage's folder; `facts` go into its manifest."""
    folder = write_adapter(output / f"checkpoint-{step}")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("archive/data.pkl", b"x" * 400)
    (folder / "trainer_state.json").write_text(
        json.dumps({"global_step": step, "log_history": [{"step": n} for n in range(40)]})
    )
    (folder / "training_args.bin").write_bytes(b"args")
    if reference:
        write_adapter(folder / "ref")
    if manifest:
        write_manifest(folder, {"run": "r", "stage": output.name, "step": step, **facts})
    return folder

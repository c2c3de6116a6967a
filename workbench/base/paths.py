"""Where files live, and names that are safe to make files of."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

APPLICATION = "dpo-workbench"
HOME_VARIABLE = "DPO_WORKBENCH_HOME"
NAME_LENGTH = 64


@dataclass(frozen=True)
class Paths:
    """The user's folders: `data` holds runs, `config` recipes, `cache` models."""

    data: Path
    config: Path
    cache: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """Folders by `$DPO_WORKBENCH_HOME` (all three under it), else by the platform's rules."""
        home = environ.get(HOME_VARIABLE)
        if home:
            root = Path(home).expanduser().absolute()
            return cls(data=root, config=root, cache=root / "cache")
        return cls(
            data=Path(platformdirs.user_data_dir(APPLICATION)),
            config=Path(platformdirs.user_config_dir(APPLICATION)),
            cache=Path(platformdirs.user_cache_dir(APPLICATION)),
        )

    @property
    def runs(self) -> Path:
        """Folder of the run directories."""
        return self.data / "runs"

    @property
    def recipes(self) -> Path:
        """Folder of the user's own recipes."""
        return self.config / "recipes"

    @property
    def models(self) -> Path:
        """Folder of models that were converted here."""
        return self.cache / "models"


def existing(folder: Path, text: str) -> Path | None:
    """What a person's text names as seen from a folder, absolute, if there is such a thing.

    Any text is allowed: too long a name, a zero byte or an unknown user name nothing.
    """
    try:
        found = folder / Path(text).expanduser()
        return found.absolute() if found.exists() else None
    except (OSError, ValueError, RuntimeError):
        return None


def safe_name(text: str) -> str:
    """Turn any text into a file name of the form `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.

    Never empty: what holds no usable character becomes `unnamed`.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    return re.sub(r"[-.]{2,}", "-", name)[:NAME_LENGTH].rstrip("-._") or "unnamed"


def is_safe_name(text: str) -> bool:
    """Whether a text is a file name as it stands, without path parts or odd characters."""
    return re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{NAME_LENGTH - 1}}}", text) is not None

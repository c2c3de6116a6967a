"""What a run needs at the same place on every host, beside its own directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from workbench.base.paths import existing
from workbench.base.tail import read_small
from workbench.run.directory import RunDirectory
from workbench.run.record import read_record


def paths_of(values: Mapping[str, Any], inside: Path) -> list[Path]:
    """The files and folders of this host that a stage's config names, but for those `inside`."""
    found = []
    for text in _texts(values):
        path = existing(Path("/"), text) if text.startswith("/") else None
        if path is not None and not path.is_relative_to(inside):
            found.append(path)
    return list(dict.fromkeys(found))


def paths_of_run(run: RunDirectory) -> list[Path]:
    """The same of all stages of a run, as their resolved configs say."""
    found: list[Path] = []
    for stage in read_record(run).stages:
        try:
            values = yaml.safe_load(read_small(run.config(stage)))
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(values, Mapping):
            found += paths_of(values, run.path)
    return list(dict.fromkeys(found))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)

"""The stored description of all settings: the one that is shipped, or one made on this machine.

`schema.json` was made by `python -m workbench.worker.schema_dump` from the versions it names. Where
others are installed, the same command runs here once and its answer is kept in the cache folder.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workbench.base.files import make_private_dir, write_atomic
from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError

SHIPPED_SNAPSHOT = Path(__file__).with_name("schema.json")
SOURCES = ("accelerate", "transformers", "trl")
"""The packages whose settings are described."""
MOST_SECONDS = 300
_INSTALLED = re.compile(rf"({'|'.join(SOURCES)})-([^-]+)\.dist-info")


def installed_versions(folders: Iterable[str] = ()) -> dict[str, str]:
    """Version by package, those that are not installed left out.

    Reads the names of the metadata folders alone: `importlib.metadata`, which knows more, takes
    a tenth of the time that the app may take until it is drawn.

    Args:
        folders: Where packages lie, first match wins; by default where this Python looks.
    """
    versions: dict[str, str] = {}
    for folder in folders or sys.path:
        try:
            found = [_INSTALLED.fullmatch(entry.name) for entry in Path(folder).iterdir()]
        except OSError:  # zip files and folders that are not there
            continue
        for match in filter(None, found):
            versions.setdefault(match[1], match[2])
    return versions


def shipped() -> dict[str, Any]:
    """The description that comes with the project."""
    found: dict[str, Any] = json.loads(SHIPPED_SNAPSHOT.read_text(encoding="utf-8"))
    return found


def read_snapshot() -> dict[str, Any]:
    """The description of the installed versions, else the shipped one."""
    ours, versions = shipped(), installed_versions()
    if not _differs(ours, versions):
        return ours
    try:
        own = json.loads(_own_file(versions).read_text(encoding="utf-8"))
        return own if {"versions", "fields", "launch"} <= own.keys() else ours
    except (OSError, ValueError, AttributeError):
        return ours


def is_outdated() -> bool:
    """Whether other versions are installed than any description at hand is of."""
    versions = installed_versions()
    return _differs(shipped(), versions) and not _own_file(versions).exists()


def describe_installed() -> None:
    """Describe the installed versions and keep the answer. Takes about ten seconds.

    Raises:
        ProblemError: The packages could not be imported, or the answer could not be kept.
    """
    versions = installed_versions()
    command = [sys.executable, "-m", "workbench.worker.schema_dump"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=True,
        )
        json.loads(done.stdout)
        make_private_dir(_own_file(versions).parent)
        write_atomic(_own_file(versions), done.stdout)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        names = ", ".join(f"{name} {version}" for name, version in versions.items())
        stderr = getattr(error, "stderr", None) or str(error)
        what = f"the settings of {names} could not be read: {stderr.strip().splitlines()[-1]}"
        hint = "The known ones are used. `dpo-workbench doctor` says what is wrong."
        raise ProblemError(Problem(what, "", hint, "warning")) from None


def _differs(ours: dict[str, Any], versions: dict[str, str]) -> bool:
    """Whether an installed version is not the shipped one; a missing package tells nothing."""
    return any(ours["versions"].get(name) != found for name, found in versions.items())


def _own_file(versions: dict[str, str]) -> Path:
    name = "-".join(f"{name}-{versions[name]}" for name in sorted(versions))
    return Paths.from_environment().cache / f"settings-{name}.json"

"""Programs that tests need beside Python; on a CI machine they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

SBIN = "/usr/sbin:/sbin"
INSTALL_SECONDS = 600.0


def program(name: str) -> str | None:
    """The path of a program, of an administrator's too; None where it is not installed."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SBIN}")


def missing(programs: Sequence[str], packages: Sequence[str]) -> str:
    """Why programs are not to be had, empty where they are; installs Debian's packages in CI."""
    lacking = [name for name in programs if program(name) is None]
    if not lacking:
        return ""
    if os.environ.get("CI") != "true":
        return f"no {', '.join(lacking)}: install {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        return f"no {', '.join(lacking)}, and no apt-get to install them with"
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "-qq", "update"],
        ["apt-get", "-qq", "-y", "install", "--no-install-recommends", *packages],
    ):
        try:
            done = subprocess.run(
                command, env=quiet, capture_output=True, timeout=INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return f"{' '.join(command)} took more than {INSTALL_SECONDS:.0f} s"
        if done.returncode:
            return f"{' '.join(command)} failed: {done.stderr.decode(errors='replace')[-300:]}"
    return ""

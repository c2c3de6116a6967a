"""Sending a run directory's small files to a host that does not share its file system.

``python -m workbench.run.hosts.sending RUN`` on the other side unpacks them at the same path.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from workbench.base.files import make_private_dir
from workbench.base.problems import Problem, ProblemError
from workbench.run.checkpoints import choose
from workbench.run.directory import RunDirectory
from workbench.run.hosts.remote import remote_command
from workbench.run.hosts.ssh_words import last_words
from workbench.run.record import read_record

WORDS_BYTES = 4096


def files_to_send(run: RunDirectory) -> list[Path]:
    """What the processes on another host need: configs, rows, and the weights to begin with."""
    record = read_record(run)
    found = [run.record, run.recipe, run.path / "accelerate.yaml", *_below(run.start)]
    found += _below(run.path / "data")
    for stage in record.stages:
        found.append(run.config(stage))
        # The final weights of a stage that is done, without its checkpoints.
        found += [file for file in _entries(run.output(stage)) if file.is_file()]
    if record.stage in record.stages:
        checkpoint = choose(run, record.stage, deep=False).folder
        found += _below(checkpoint) if checkpoint else []
    return [file for file in found if file.is_file() and not file.is_symlink()]


def _below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def send(run: RunDirectory, host: str) -> int:
    """Send the files to the same path on a host; returns how many bytes.

    Raises:
        ProblemError: The host does not take them.
    """
    files = files_to_send(run)
    command = remote_command(host, ["-m", __name__, str(run.path)])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        with contextlib.suppress(OSError), tarfile.open(fileobj=process.stdin, mode="w|") as pack:
            for file in files:
                pack.add(file, file.relative_to(run.path))
        with contextlib.suppress(OSError):
            process.stdin.close()
        words = process.stderr.read().decode("utf-8", "replace")
    if process.returncode:
        said = last_words(words[-WORDS_BYTES:])
        what = f"host {host} does not take the run's files: {said or process.returncode}"
        hint = f"See whether {run.path} can be written there, or share the folder of the runs."
        raise ProblemError(Problem(what, str(run.path), hint))
    return sum(file.stat().st_size for file in files)


def receive(target: Path) -> None:
    """Unpack what comes in on stdin; nothing goes outside of the target, links are refused."""
    make_private_dir(target)
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as pack:
        for member in _inside(pack, target):
            pack.extract(member, target, set_attrs=False)


def _inside(pack: tarfile.TarFile, target: Path) -> Iterator[tarfile.TarInfo]:
    root = target.resolve()
    for member in pack:
        place = (root / member.name).resolve()
        if not member.isfile() or not place.is_relative_to(root):
            raise OSError(f"{member.name!r} has no business in a run directory")
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield member


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        print("usage: python -m workbench.run.hosts.sending RUN_DIRECTORY", file=sys.stderr)
        return 2
    os.umask(0o077)
    try:
        receive(Path(arguments[0]))
    except (OSError, tarfile.TarError) as error:
        print(f"{error.__class__.__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Locks that the kernel releases when their holder dies, and that a child can inherit.

`filelock` locks the same way (flock), but keeps its descriptor to itself; a launcher must hand its
lock over to the process that it starts, without a moment in which nobody holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

POLL_SECONDS = 0.02


def take_lock(path: Path, *, wait_seconds: float = 0.0) -> int | None:
    """Lock a file for this process and for whoever inherits the descriptor.

    Returns:
        The open descriptor (close it to let go), or None where somebody else holds the lock.

    Raises:
        OSError: The file cannot be opened.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_seconds
    while not lock_again(handle):
        if time.monotonic() >= deadline:
            os.close(handle)
            return None
        time.sleep(POLL_SECONDS)
    return handle


def lock_again(handle: int) -> bool:
    """Make sure that an inherited descriptor holds its lock.

    On a local disk it does already. On NFS the kernel keeps a lock per process, so that an heir
    has to ask anew.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether a process holds a lock on a file at this moment."""
    try:
        handle = take_lock(path)
    except OSError:
        return False
    if handle is None:
        return True
    with contextlib.suppress(OSError):
        os.close(handle)
    return False

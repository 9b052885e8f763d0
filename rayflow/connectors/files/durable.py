"""Writes files so that they are there after a crash, whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rayflow.core.errors import BrokerRefused, DiskFull, RayflowError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and sync it; not its folder."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file against other processes and other callers here; a process that dies lets go of it."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def refused(error: OSError, path: Path) -> RayflowError:
    """The error to raise for what the system said to a write."""
    if error.errno in _FULL:
        return DiskFull(
            f"No space is left to write {path}", advice="Free disk space; the next start publishes the epoch again"
        )
    return BrokerRefused(f"{path} cannot be written: {error.strerror}", advice="Check the folder and its permissions")

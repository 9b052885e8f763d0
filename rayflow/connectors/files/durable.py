"""Writes files atomically and durably: after a crash a file is complete, or does not exist."""

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
    """Write a file and sync it, but not its folder."""
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
    """Hold the lock of a file against other processes and other callers in this one. If a process dies, its lock is
    released."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def refused(error: OSError, path: Path) -> RayflowError:
    """The error to raise for an error of the system during a write."""
    if error.errno in _FULL:
        return DiskFull(
            f"No space is left to write {path}", advice="Free disk space; the next start publishes the epoch again"
        )
    return BrokerRefused(f"{path} cannot be written: {error.strerror}", advice="Check the folder and its permissions")

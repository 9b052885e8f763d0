"""LMDB environments, one per process and path however many users it has: opening one twice in a process raises."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import lmdb

from rayflow.core.errors import BrokerRefused, DamagedObject, DiskFull, InvalidConnector
from rayflow.core.lmdb_file import check_data_file

LmdbTransaction: TypeAlias = Any
"""An lmdb.Transaction (the library carries no types)."""

ADVICE = "Restore the folder from a backup, or delete it and write the topics again"
MAP_SIZE = 256 << 30
"""Bytes that one log may grow to; address space only, the file is as large as what it holds."""
_MAX_PROCESSES = 1024
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""LMDB calls a write that was cut short EIO, whatever the reason; a full disk is the usual one."""

_open: dict[str, Environment] = {}
_lock = Lock()


class Environment:
    """One open LMDB environment, synced at every commit; safe to use from several threads and processes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._users = 0
        data = Path(path, "data.mdb")
        try:
            os.makedirs(path, exist_ok=True)
            check_data_file(data, "The embedded log's file", ADVICE)
        except OSError as error:
            raise InvalidConnector(f"The embedded log at {path} cannot be opened: {error.strerror}") from error
        with self._errors():
            try:
                self._lmdb = lmdb.open(path, map_size=MAP_SIZE, max_readers=_MAX_PROCESSES, readahead=False)
            except (lmdb.ReadonlyError, lmdb.LockError) as error:
                raise InvalidConnector(f"The embedded log at {path} cannot be opened: {error}") from error
            # A reader that was killed would keep its pages from being used again.
            self._lmdb.reader_check()
        _sync_folder(path)

    @contextmanager
    def read(self) -> Iterator[LmdbTransaction]:
        """A consistent view; values are memoryviews that end with it. Keep it short: pages it sees cannot be freed."""
        with self._errors(), self._lmdb.begin(buffers=True) as transaction:
            yield transaction

    @contextmanager
    def write(self) -> Iterator[LmdbTransaction]:
        """A transaction that is durable at the end of the block, or leaves nothing when the block raises.

        Waits for writers of other threads and processes. Raises DiskFull, then nothing of it is visible.
        """
        with self._errors(), self._lmdb.begin(write=True) as transaction:
            yield transaction

    @property
    def commits(self) -> int:
        """Number of the last transaction of any process: while it stays, nothing has changed."""
        return int(self._lmdb.info()["last_txnid"])

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except lmdb.MapFullError as error:
            raise DiskFull(
                f"The embedded log at {self.path} has reached its largest size ({MAP_SIZE >> 20} MiB)",
                advice="Delete topics that you no longer need, or use Kafka",
            ) from error
        except (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, lmdb.VersionMismatchError) as error:
            raise DamagedObject(f"The embedded log at {self.path} is damaged: {error}", advice=ADVICE) from error
        except lmdb.Error as error:
            if isinstance(error, lmdb.DiskError) or getattr(error, "code", None) in _FULL:
                raise DiskFull(
                    f"The embedded log at {self.path} could not be written: the disk is full, or failing ({error})",
                    advice="Free disk space. The transaction was rolled back, and no earlier record is lost",
                ) from error
            raise BrokerRefused(f"The embedded log at {self.path} refused: {error}") from error

    def release(self) -> None:
        """Give back what `acquire` gave; the last one closes the environment."""
        with _lock:
            self._users -= 1
            if self._users == 0:
                _open.pop(self.path, None)
                self._lmdb.close()


def acquire(path: Path) -> Environment:
    """The environment at `path`, opened if nobody in this process has it open, created if there is none.

    Give it back with `release`. Raises InvalidConnector, DamagedObject, DiskFull.
    """
    real = os.path.realpath(path)
    with _lock:
        environment = _open.get(real)
        if environment is None:
            environment = _open[real] = Environment(real)
        environment._users += 1
        return environment


def _sync_folder(path: str) -> None:
    """Make the names in a folder durable, and its own name in the folder above."""
    for folder in (path, os.path.dirname(path)):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

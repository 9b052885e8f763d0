"""LMDB environments: one per process and path, shared by all its users, because LMDB cannot open one twice in a
process."""

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
"""An lmdb.Transaction (the library has no type annotations)."""

ADVICE = "Restore the folder from a backup, or delete it and write the topics again"
MAP_SIZE = 256 << 30
"""The maximum size of a log in bytes. It takes address space only: the file has the size of its contents."""
_MAX_PROCESSES = 1024
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""LMDB reports EIO for a write that was cut short, whatever the reason; usually the disk is full."""

_open: dict[str, Environment] = {}
_lock = Lock()


class Environment:
    """One open LMDB environment, synced at every commit. Several threads and processes may use it."""

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
            # A killed reader would prevent its pages from being reused.
            self._lmdb.reader_check()
        _sync_folder(path)

    @contextmanager
    def read(self) -> Iterator[LmdbTransaction]:
        """A consistent view. Its values are memoryviews that end with it. Keep it short: pages that it sees cannot be
        freed."""
        with self._errors(), self._lmdb.begin(buffers=True) as transaction:
            yield transaction

    @contextmanager
    def write(self) -> Iterator[LmdbTransaction]:
        """A transaction that is durable at the end of the block, or has no effect if the block raises.

        Waits for writers of other threads and processes. Raises DiskFull; then none of its changes is visible.
        """
        with self._errors(), self._lmdb.begin(write=True) as transaction:
            yield transaction

    @property
    def commits(self) -> int:
        """Number of the last transaction of any process. If it is the same, nothing has changed."""
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
        """Return an environment from `acquire`. The last release closes it."""
        with _lock:
            self._users -= 1
            if self._users == 0:
                _open.pop(self.path, None)
                self._lmdb.close()


def acquire(path: Path) -> Environment:
    """The environment at `path`: shared if this process has it open, and created if it does not exist.

    Return it with `release`. Raises InvalidConnector, DamagedObject, DiskFull.
    """
    real = os.path.realpath(path)
    with _lock:
        environment = _open.get(real)
        if environment is None:
            environment = _open[real] = Environment(real)
        environment._users += 1
        return environment


def _sync_folder(path: str) -> None:
    """Make the names in a folder durable, and the folder's own name in its parent."""
    for folder in (path, os.path.dirname(path)):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

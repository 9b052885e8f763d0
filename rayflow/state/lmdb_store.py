"""The store of a task's state: one LMDB environment with exactly one completed checkpoint."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import compress, islice, repeat
from operator import is_
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import lmdb

from rayflow.core.errors import DamagedObject, DiskFull, InvariantBroken
from rayflow.core.lmdb_file import check_data_file
from rayflow.state.base import Delta, Rows, Stamp, Store
from rayflow.state.snapshot import Snapshot
from rayflow.state.state_directory import StateDirectory

T = TypeVar("T")

_FIRST_RUN, _LONGEST_RUN = 4, 4_096
"""Rows that a scan reads in one transaction: few at first, because many scans need only the first row."""

_SLICE = 500
"""Rows that are written before other work can continue: about 1 ms."""

_DAMAGE = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError, lmdb.InvalidError, lmdb.VersionMismatchError)


class LmdbStore(Store):
    """Rows in LMDB, not synced: a killed process loses no applied checkpoint. After an unclean reboot the store is
    empty.

    No transaction outlives a call, not even that of a scan, because an open reader would enlarge the file permanently.

    Args:
        path: the store's own directory; created if missing.
        map_size: bytes of address space at the start; doubled when full.

    Raises InvariantBroken if this process has opened the directory already, AlreadyRunning if another process has,
    DiskFull.
    """

    def __init__(self, path: str | Path, *, map_size: int = 1 << 30) -> None:
        self._map_size = map_size
        self._version = 0
        self._snapshots: WeakSet[Snapshot] = WeakSet()
        self._closed = False
        self._applying = False
        self._directory = StateDirectory(Path(path))
        try:
            if not self._directory.trusted:
                self._directory.wipe()
            try:
                check_data_file(
                    self._directory.path / "data.mdb", "The state's file", "It is rebuilt from the checkpoint"
                )
                self._open()
            except (DamagedObject, *_DAMAGE):
                self._directory.wipe()
                self._open()
        except lmdb.Error as error:
            failure = self._failure(error)
            self._directory.release()
            raise failure from error

    def _open(self) -> None:
        self._env = lmdb.open(
            str(self._directory.path),
            map_size=self._map_size,
            sync=False,
            metasync=False,
            meminit=False,
            max_dbs=2,
        )
        try:
            self._env.reader_check()
            self._rows = self._env.open_db(b"rows")
            self._about = self._env.open_db(b"about")
            with self._env.begin(db=self._about) as transaction:
                text = transaction.get(b"stamp")
        except lmdb.Error:
            self._env.close()
            raise
        self._stamp: Stamp | None = None
        if text is not None:
            epoch, _, lineage = text.decode().partition(" ")
            self._stamp = Stamp(lineage, int(epoch))

    @property
    def stamp(self) -> Stamp | None:
        return self._stamp

    def get(self, key: bytes) -> bytes | None:
        try:
            transaction = self._env.begin(self._rows)
            try:
                data: bytes | None = transaction.get(key)
                return data
            finally:
                transaction.abort()
        except lmdb.Error as error:
            raise self._failure(error) from error

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        if not keys:
            return []

        def read(transaction: Any) -> list[bytes | None]:
            return list(map(transaction.get, keys))

        return self._reading(read)

    def scan(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        return self._scan(start, stop, self._version)

    def _scan(self, start: bytes, stop: bytes | None, version: int) -> Iterator[tuple[bytes, bytes]]:
        size = _FIRST_RUN
        while True:
            if self._version != version:
                raise InvariantBroken("a scan of a store went on after the store had changed")
            rows = self._read(start, size + 1)
            more = len(rows) > size
            if more:
                start = rows.pop()[0]
            if rows and stop is not None and rows[-1][0] >= stop:
                del rows[bisect_left(rows, (stop,)) :]
                more = False
            yield from rows
            if not more:
                return
            size = min(size * 8, _LONGEST_RUN)

    def scan_back(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        return self._scan_back(start, stop, self._version)

    def _scan_back(self, start: bytes, stop: bytes | None, version: int) -> Iterator[tuple[bytes, bytes]]:
        size = _FIRST_RUN
        while True:
            if self._version != version:
                raise InvariantBroken("a scan of a store went on after the store had changed")
            rows = self._read_back(stop, size)
            for row in rows:
                if row[0] < start:
                    return
                yield row
            if len(rows) < size:
                return
            stop = rows[-1][0]
            size = min(size * 8, _LONGEST_RUN)

    def _read_back(self, stop: bytes | None, size: int) -> list[tuple[bytes, bytes]]:
        def read(transaction: Any) -> list[tuple[bytes, bytes]]:
            cursor = transaction.cursor()
            return list(islice(cursor.iterprev(), size)) if _to_last(cursor, stop) else []

        return self._reading(read)

    def scan_many(self, ranges: list[tuple[bytes, bytes]], limit: int | None = None) -> list[list[tuple[bytes, bytes]]]:
        def read(transaction: Any) -> list[list[tuple[bytes, bytes]]]:
            cursor = transaction.cursor()
            return [_rows_of(cursor, start, stop, limit) for start, stop in ranges]

        return self._reading(read) if ranges else []

    def _read(self, start: bytes, size: int) -> list[tuple[bytes, bytes]]:
        def read(transaction: Any) -> list[tuple[bytes, bytes]]:
            cursor = transaction.cursor()
            return list(islice(cursor.iternext(), size)) if cursor.set_range(start) else []

        return self._reading(read)

    def last(self, start: bytes, stop: bytes | None) -> bytes | None:
        def read(transaction: Any) -> bytes | None:
            cursor = transaction.cursor()
            key: bytes | None = cursor.key() if _to_last(cursor, stop) else None
            return key

        key = self._reading(read)
        return key if key is not None and key >= start else None

    def apply(self, delta: Delta, stamp: Stamp) -> None:
        for _ in self.applying(delta, stamp):
            pass

    def applying(self, delta: Delta, stamp: Stamp) -> Iterator[None]:
        self._applying = True
        try:
            for snapshot in list(self._snapshots):
                for start in range(0, len(delta), _SLICE):
                    snapshot.keep(delta.keys[start : start + _SLICE], self.get_many)
                    yield
            while not (yield from self._applied(delta, stamp)):
                pass
        finally:
            self._applying = False
        self._version += 1
        self._stamp = stamp

    def _applied(self, delta: Delta, stamp: Stamp) -> Generator[None, None, bool]:
        """One transaction, in slices. False if the map is full: it was enlarged, and everything must be done again."""
        keys, values = delta.keys, delta.values
        transaction = self._env.begin(self._rows, write=True)
        try:
            cursor = transaction.cursor()
            # Rows after the last one are appended, which fills pages instead of splitting them.
            end = bisect_right(keys, cursor.key()) if cursor.last() else 0
            for start, stop in _slices(end, len(keys)):
                some: list[bytes] = keys[start:stop]
                data: list[Any] = values[start:stop]
                if None in data:
                    for key in compress(some, map(is_, data, repeat(None))):
                        transaction.delete(key)
                    kept = [value is not None for value in data]
                    some, data = list(compress(some, kept)), list(compress(data, kept))
                _put(cursor, some, data, append=start >= end)
                yield
            self._put_stamp(transaction, stamp)
            transaction.commit()
        except lmdb.MapFullError:
            transaction.abort()
            self._grow()
            return False
        except lmdb.Error as error:
            raise self._failure(error) from error
        finally:
            transaction.abort()  # no effect after a commit
        return True

    def replace(self, rows: Iterable[Rows], stamp: Stamp) -> None:
        self._version += 1
        self._end_snapshots("replaced")
        self._env.close()
        self._directory.wipe()
        try:
            self._open()
        except lmdb.Error as error:
            raise self._failure(error) from error
        for keys, values in rows:
            self._append(keys, values)
        self._writing(lambda transaction: self._put_stamp(transaction, stamp))
        self._stamp = stamp

    def _append(self, keys: list[bytes], values: list[bytes]) -> None:
        self._writing(lambda transaction: _put(transaction.cursor(), keys, values, append=True))

    def rows(self, chunk: int = 16_384) -> Iterator[Rows]:
        if self._applying:
            raise InvariantBroken("the rows of a store were requested during a change")
        snapshot = Snapshot(self._read, chunk)
        self._snapshots.add(snapshot)
        return snapshot

    def count(self) -> int:
        entries: int = self._reading(lambda transaction: transaction.stat(self._rows))["entries"]
        return entries

    def size(self) -> int:
        stat = self._reading(lambda transaction: transaction.stat(self._rows))
        pages: int = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return pages * int(stat["psize"])

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._version += 1
        self._end_snapshots("closed")
        try:
            self._env.sync(True)
            self._directory.mark_clean()
        except (lmdb.Error, OSError):
            # So it is not clean; it stays usable until the machine goes down.
            pass
        finally:
            self._env.close()
            self._directory.release()

    def _put_stamp(self, transaction: Any, stamp: Stamp) -> None:
        transaction.put(b"stamp", f"{stamp.epoch} {stamp.lineage}".encode(), db=self._about)

    def _end_snapshots(self, why: str) -> None:
        for snapshot in self._snapshots:
            snapshot.end(InvariantBroken(f"the rows of a store were read on after it was {why}"))
        self._snapshots.clear()

    def _reading(self, read: Callable[[Any], T]) -> T:
        try:
            with self._env.begin(self._rows) as transaction:
                return read(transaction)
        except lmdb.Error as error:
            raise self._failure(error) from error

    def _writing(self, change: Callable[[Any], None]) -> None:
        """One transaction, repeated with a larger map as long as the map is full (a full map makes a transaction
        unusable)."""
        while True:
            try:
                with self._env.begin(self._rows, write=True) as transaction:
                    change(transaction)
                return
            except lmdb.MapFullError:
                self._grow()
            except lmdb.Error as error:
                raise self._failure(error) from error

    def _grow(self) -> None:
        self._map_size = 2 * self._env.info()["map_size"]
        self._env.set_mapsize(self._map_size)

    def _failure(self, error: lmdb.Error) -> Exception:
        path = self._directory.path
        if isinstance(error, _DAMAGE):
            self._directory.distrust()
            return DamagedObject(
                f"the state in {path} is damaged", advice="Start the job again: it is rebuilt from the last checkpoint"
            )
        if isinstance(error, lmdb.DiskError) or self._directory.is_full():
            return DiskFull(f"the disk is full: cannot write the state in {path}")
        return error


def _slices(end: int, length: int) -> Iterator[tuple[int, int]]:
    """Cuts 0 to `length` into slices that do not cross `end`.

    >>> list(_slices(3, 5))
    [(0, 3), (3, 5)]
    """
    for first, last in ((0, end), (end, length)):
        for start in range(first, last, _SLICE):
            yield start, min(start + _SLICE, last)


def _to_last(cursor: Any, stop: bytes | None) -> bool:
    """Move to the last row before `stop`. Returns whether there is one."""
    found: bool = cursor.prev() if stop is not None and cursor.set_range(stop) else cursor.last()
    return found


def _rows_of(cursor: Any, start: bytes, stop: bytes, limit: int | None) -> list[tuple[bytes, bytes]]:
    rows: list[tuple[bytes, bytes]] = []
    if cursor.set_range(start):
        for row in islice(cursor.iternext(), limit):
            if row[0] >= stop:
                break
            rows.append(row)
    return rows


def _put(cursor: Any, keys: list[bytes], values: list[bytes], *, append: bool) -> None:
    count = len(keys)
    if count and cursor.putmulti(zip(keys, values, strict=True), append=append) != (count, count):
        raise InvariantBroken("rows are not in ascending order")

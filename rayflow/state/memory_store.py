"""A store in memory: for the testing driver and for simulation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from sortedcontainers import SortedDict

from rayflow.core.errors import InvariantBroken
from rayflow.state.base import Delta, Rows, Stamp, Store


class MemoryStore(Store):
    """Rows in a sorted dict. Closing keeps them: to reopen the store, use the same object again.

    >>> store = MemoryStore()
    >>> store.apply(Delta([b"a", b"b"], [b"1", b"2"]), Stamp("lineage", 1))
    >>> store.apply(Delta([b"a"], [None]), Stamp("lineage", 2))
    >>> list(store.scan(b"", None)), store.stamp
    ([(b'b', b'2')], Stamp(lineage='lineage', epoch=2))
    """

    def __init__(self) -> None:
        self._rows: SortedDict[bytes, bytes] = SortedDict()
        self._stamp: Stamp | None = None
        self._version = 0

    @property
    def stamp(self) -> Stamp | None:
        return self._stamp

    def get(self, key: bytes) -> bytes | None:
        data: bytes | None = self._rows.get(key)
        return data

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        return list(map(self._rows.get, keys))

    def scan(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        return self._scan(start, stop, self._version, reverse=False)

    def scan_back(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        return self._scan(start, stop, self._version, reverse=True)

    def _scan(self, start: bytes, stop: bytes | None, version: int, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        for key in self._rows.irange(start, stop, inclusive=(True, False), reverse=reverse):
            yield key, self._rows[key]
            if self._version != version:
                raise InvariantBroken("a scan of a store went on after the store had changed")

    def scan_many(self, ranges: list[tuple[bytes, bytes]], limit: int | None = None) -> list[list[tuple[bytes, bytes]]]:
        return [list(islice(self.scan(start, stop), limit)) for start, stop in ranges]

    def last(self, start: bytes, stop: bytes | None) -> bytes | None:
        key: bytes | None = next(self._rows.irange(start, stop, inclusive=(True, False), reverse=True), None)
        return key

    def apply(self, delta: Delta, stamp: Stamp) -> None:
        self._version += 1
        rows = self._rows
        for key, value in zip(delta.keys, delta.values, strict=True):
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
        self._stamp = stamp

    def replace(self, rows: Iterable[Rows], stamp: Stamp) -> None:
        self._version += 1
        self._stamp = None
        self._rows.clear()
        for keys, values in rows:
            self._rows.update(zip(keys, values, strict=True))
        self._stamp = stamp

    def rows(self, chunk: int = 16_384) -> Iterator[Rows]:
        keys, values = list(self._rows.keys()), list(self._rows.values())
        return ((keys[at : at + chunk], values[at : at + chunk]) for at in range(0, len(keys), chunk))

    def count(self) -> int:
        return len(self._rows)

    def size(self) -> int:
        return sum(map(len, self._rows.keys())) + sum(map(len, self._rows.values()))

    def close(self) -> None:
        """Does nothing: there are no resources to release."""

"""The namespaces of a nested table: the open epoch's rows of each, and the rows below that they hide."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from math import inf
from typing import Any

from rayflow.serde.keys import decode_key, encode_all_canonical, encode_canonical
from rayflow.state.key_order import SortedKeys, in_order, is_natural
from rayflow.state.region import Region
from rayflow.state.row_keys import BEYOND

_INTS_FROM = encode_canonical(-(1 << 72))[:1]
_INTS_TO = bytes([encode_canonical(1 << 72)[0] + 1])
"""Encodings of int are between these two bounds."""

SMALL = 64
"""Up to this many rows, a namespace is sorted for each read, and kept whole in the cache."""

_PATIENCE = 64
"""Rows of one namespace to read past before seeking its end."""


class Namespaces:
    """Rows, deletes and drops in the open epoch of one nested table.

    A namespace is *detached* if no row below is visible: the open epoch has dropped it, or there are none below. Int
    namespaces are in a heap, and there is a lower bound for those below, so that a check for due namespaces is free
    while none can be due.
    """

    def __init__(self, region: Region) -> None:
        self._region = region
        self._floor: float = -inf
        """A lower bound for the first int namespace below."""
        self._open()

    def _open(self) -> None:
        self._spaces: dict[Any, dict[Any, Any]] = {}
        self._sorted: dict[Any, SortedKeys] = {}
        self._encoded: dict[Any, bytes] = {}
        self._deleted: dict[Any, set[Any]] = {}
        self._detached: set[Any] = set()
        self._attached: set[Any] = set()
        self._dropped: set[bytes] = set()
        self._created: list[Any] = []
        self._heap: list[int] = []
        self._touched: set[Any] = set()
        self._counts: dict[Any, int] = {}
        self._count = 0
        self._deletes = 0

    # rows

    def rows(self, namespace: Any) -> dict[Any, Any]:
        """The open epoch's rows of a namespace."""
        space = self._spaces.get(namespace)
        if space is None:
            space = self._spaces[namespace] = {}
            self._created.append(namespace)
        self._touched.add(namespace)
        return space

    def find(self, namespace: Any, key: Any) -> Any:
        """The open epoch's row, or None."""
        space = self._spaces.get(namespace)
        return None if space is None else space.get(key)

    def space(self, namespace: Any) -> dict[Any, Any]:
        """The open epoch's rows of a namespace, read-only."""
        return self._spaces.get(namespace) or {}

    def keys(self, namespace: Any, start: Any, stop: Any, closed: bool) -> list[Any]:
        """The keys of the open epoch's rows of a namespace with start <= key < stop (closed: <= stop; None: no bound),
        in order."""
        space = self._spaces.get(namespace)
        if not space:
            return []
        index = self._sorted.get(namespace)
        if index is None:
            if len(space) <= SMALL:
                return in_order(space, start, stop, closed)
            index = self._sorted[namespace] = SortedKeys(space)
        return index.between(start, stop, closed)

    def encoded(self, namespace: Any) -> bytes:
        """The namespace's encoding, with which the encoded keys of its rows begin."""
        encoded = self._encoded.get(namespace)
        if encoded is None:
            encoded = self._encoded[namespace] = encode_canonical(namespace)
        return encoded

    def is_detached(self, namespace: Any) -> bool:
        """Whether no row below is visible."""
        return namespace in self._detached

    def hides(self, namespace: Any, key: Any) -> bool:
        """Whether a delete or a drop hides a row below, if there is one."""
        if namespace in self._detached:
            return True
        deleted = self._deleted.get(namespace)
        return deleted is not None and key in deleted

    def detach(self, namespace: Any) -> None:
        """Note that there is no row below."""
        self._detached.add(namespace)

    def note_miss(self, namespace: Any) -> None:
        """Note that a row was not found below: check once whether the namespace has any rows, to save further reads."""
        if namespace not in self._attached:
            base = self.encoded(namespace)
            if next(self._region.scan(base, base + BEYOND, base), None) is None:
                self._detached.add(namespace)
            else:
                self._attached.add(namespace)

    def delete(self, namespace: Any, key: Any) -> None:
        """Delete one row."""
        space = self._spaces.get(namespace)
        if space is not None:
            space.pop(key, None)
            if self._sorted and namespace in self._sorted:
                self._sorted[namespace].remove(key)
            self._touched.add(namespace)
        if namespace not in self._detached:
            self._deleted.setdefault(namespace, set()).add(key)
            self._deletes += 1

    def drop(self, namespace: Any) -> None:
        """Delete all rows."""
        space = self._spaces.get(namespace)
        if space is not None:
            space.clear()
            self._sorted.pop(namespace, None)
            self._touched.add(namespace)
        if namespace not in self._detached:
            self._deleted.pop(namespace, None)
            base = self.encoded(namespace)
            self._dropped.update([row_key for row_key, _, _ in self._region.scan(base, base + BEYOND, base)])
            self._detached.add(namespace)

    # the existing namespaces

    def every(self) -> list[Any]:
        """All namespaces with a row, in encoded order."""
        live = {self.encoded(namespace): namespace for namespace, space in self._spaces.items() if space}
        for namespace in self._below(b"", BEYOND):
            live[encode_canonical(namespace)] = namespace
        return [live[encoded] for encoded in sorted(live)]

    def due(self, upto: int) -> list[int]:
        """The int namespaces with a row, up to and including `upto`, in order."""
        live = set(self._pop_open(upto))
        for namespace in live:
            heappush(self._heap, namespace)
        if self._floor <= upto:
            low, high = self._reach(upto)
            below = set(self._below(low, high))
            self._floor = min(below) if below else self._first_from(high)
            live |= below
        return sorted(live)

    def take(self, upto: int) -> list[tuple[int, Any]]:
        """Delete all rows in int namespaces up to and including `upto`, and return their (namespace, key), in order."""
        taken = []
        namespaces = set()
        if self._floor <= upto:
            low, high = self._reach(upto)
            for row_key, encoded, _ in self._region.scan(low, high):
                namespace, at = decode_key(encoded)
                if namespace in self._detached:
                    continue
                namespaces.add(namespace)
                self._dropped.add(row_key)
                key = decode_key(encoded, at)[0]
                if self.find(namespace, key) is None and not self.hides(namespace, key):
                    taken.append((namespace, key))
            self._floor = self._first_from(high)
        for namespace in self._pop_open(upto):
            namespaces.add(namespace)
            taken += [(namespace, key) for key in self._spaces.pop(namespace)]
            self._sorted.pop(namespace, None)
            self._touched.add(namespace)
        for namespace in namespaces:
            self._deleted.pop(namespace, None)
        self._detached |= namespaces
        taken.sort(key=None if is_natural([key for _, key in taken]) else _encoded_key)
        return taken

    def last(self) -> Any:
        """The last namespace with a row."""
        live = [self.encoded(namespace) for namespace, space in self._spaces.items() if space]
        high = BEYOND
        while (encoded := self._region.last_short(high)) is not None:
            namespace, at = decode_key(encoded)
            if namespace in self._detached:
                high = encoded[:at]
            elif self.hides(namespace, decode_key(encoded, at)[0]):
                high = encoded
            else:
                live.append(encoded[:at])
                break
        live += map(encode_canonical, self._below_long(b"", BEYOND))
        return decode_key(max(live))[0] if live else None

    def _reach(self, upto: int) -> tuple[bytes, bytes]:
        low = _INTS_FROM if self._floor == -inf else encode_canonical(int(self._floor))
        return low, encode_canonical(upto) + BEYOND

    def _first_from(self, low: bytes) -> float:
        """A lower bound for the int namespaces below whose encoding is not before `low`."""
        short = next(self._region.scan_short(low, _INTS_TO), None)
        first: float = inf if short is None else decode_key(short[1])[0]
        for _, encoded, _ in self._region.scan_long(low, _INTS_TO):
            first = min(first, decode_key(encoded)[0])
        return first

    def _pop_open(self, upto: int) -> list[int]:
        """Remove namespaces up to `upto` from the heap. Returns those with a row, in order."""
        self._heap_created()
        heap = self._heap
        live = []
        while heap and heap[0] <= upto:
            namespace = heappop(heap)
            if self._spaces.get(namespace):
                live.append(namespace)
            else:
                self._spaces.pop(namespace, None)
                self._sorted.pop(namespace, None)
        return live

    def _heap_created(self) -> None:
        for namespace in self._created:
            if type(namespace) is int:
                heappush(self._heap, namespace)
        self._created.clear()

    def _below(self, low: bytes, high: bytes) -> Iterator[Any]:
        """Namespaces with low <= encoded < high that have a visible row below; a namespace may occur twice."""
        yield from self._below_long(low, high)
        seeking = True
        while seeking:
            seeking = False
            decided, passed = BEYOND, 0
            for _, encoded, _ in self._region.scan_short(low, high):
                if encoded.startswith(decided):
                    passed += 1
                    if passed > _PATIENCE:
                        low, seeking = decided + BEYOND, True
                        break
                    continue
                namespace, at = decode_key(encoded)
                detached = namespace in self._detached
                if detached or not self.hides(namespace, decode_key(encoded, at)[0]):
                    decided, passed = encoded[:at], 0
                    if not detached:
                        yield namespace

    def _below_long(self, low: bytes, high: bytes) -> Iterator[Any]:
        for _, encoded, _ in self._region.scan_long(low, high):
            namespace, at = decode_key(encoded)
            if not self.hides(namespace, decode_key(encoded, at)[0]):
                yield namespace

    # the end of the epoch

    def pending(self) -> int:
        """Rows of the open epoch, deletes included."""
        counts = self._counts
        for namespace in self._touched:
            count = len(self._spaces.get(namespace, ()))
            self._count += count - counts.get(namespace, 0)
            counts[namespace] = count
        self._touched.clear()
        return self._count + self._deletes + len(self._dropped)

    def flat(self) -> tuple[list[bytes], list[Any]]:
        """The open epoch's rows: encoded keys, values."""
        encoded: list[bytes] = []
        values: list[Any] = []
        for namespace, space in self._spaces.items():
            if space:
                base = self.encoded(namespace)
                encoded += [base + key for key in encode_all_canonical(space)]
                values += space.values()
        return encoded, values

    def tombstones(self) -> list[bytes]:
        """Row keys of the rows below that the open epoch deletes (and may have written again)."""
        gone = [
            self.encoded(namespace) + encode_canonical(key)
            for namespace, keys in self._deleted.items()
            if namespace not in self._detached
            for key in keys
        ]
        return [*self._dropped, *self._region.existing(gone)]

    def whole(self) -> list[Any]:
        """The small namespaces that have only rows of the open epoch."""
        spaces = self._spaces
        return [namespace for namespace in self._detached if 0 < len(spaces.get(namespace, ())) <= SMALL]

    def turn(self) -> dict[Any, dict[Any, Any]]:
        """Open an empty epoch. Returns the rows of the epoch that ends, by namespace."""
        spaces = self._spaces
        for namespace, space in spaces.items():
            if space and type(namespace) is int and namespace < self._floor:
                self._floor = namespace
        self._open()
        return spaces


def _encoded_key(row: tuple[int, Any]) -> tuple[int, bytes]:
    return row[0], encode_canonical(row[1])

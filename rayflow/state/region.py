"""The rows of one table below its open epoch: translates encoded keys to rows of the store and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from operator import itemgetter
from typing import Any

from rayflow.core.errors import InvariantBroken
from rayflow.serde.keys import decode_key, encode_canonical
from rayflow.state.base import RowReader
from rayflow.state.row_keys import (
    BEYOND,
    LIMIT,
    LONGEST,
    PREFIX,
    long_group,
    long_row_key,
    pack_long,
    table_end,
    unpack_long,
)


def closed_range(first: Any, last: Any) -> tuple[bytes, bytes]:
    """The encoded keys from `first` to `last` (None: no bound): low <= encoded < high."""
    low = b"" if first is None else encode_canonical(first)
    # No encoded key is a prefix of another.
    return low, BEYOND if last is None else encode_canonical(last) + b"\x00"


_encoded = itemgetter(1)


class Region:
    """One table's part of a store. "Encoded" means a row's encoded key without the table: [namespace +] key.

    Args:
        below: the reader of the rows.
        prefix: the first bytes of the table's row keys.
        nested: whether encoded keys begin with a namespace.
    """

    def __init__(self, below: RowReader, prefix: bytes, nested: bool) -> None:
        self._below = below
        self._prefix = prefix
        self._nested = nested
        self._long: bool | None = None

    def row_key(self, encoded: bytes) -> bytes:
        """The key of the row in the store."""
        if len(encoded) <= LONGEST:
            return self._prefix + encoded
        return long_row_key(self._prefix, self._namespace(encoded), encoded)

    def get(self, encoded: bytes) -> bytes | None:
        """The data of one row."""
        if len(encoded) <= LONGEST:
            return self._below.get(self._prefix + encoded)
        return self._data_of_long(encoded, self._below.get(self.row_key(encoded)))

    def get_many(self, encoded: list[bytes]) -> list[bytes | None]:
        """The data of many rows."""
        if len(max(encoded, key=len, default=b"")) <= LONGEST:
            return self._below.get_many(list(map(self._prefix.__add__, encoded)))
        found = self._below.get_many(list(map(self.row_key, encoded)))
        return [
            value if len(key) <= LONGEST else self._data_of_long(key, value)
            for key, value in zip(encoded, found, strict=True)
        ]

    def existing(self, encoded: Iterable[bytes]) -> list[bytes]:
        """The row keys of those rows that exist."""
        ordered = sorted(encoded)
        found = self.get_many(ordered)
        return [self.row_key(key) for key, data in zip(ordered, found, strict=True) if data is not None]

    def collect(self, changed: dict[bytes, bytes | None], encoded: list[bytes], data: list[bytes]) -> None:
        """Put rows into `changed`, by row key. Raises InvariantBroken if two long keys have the same hash."""
        if not encoded:
            return
        if len(max(encoded, key=len)) <= LONGEST:
            changed.update(zip(map(self._prefix.__add__, encoded), data, strict=True))
            return
        for key, value in zip(encoded, data, strict=True):
            row_key = self.row_key(key)
            if len(key) > LONGEST:
                self._long = True
                self._data_of_long(key, self._below.get(row_key))
                self._data_of_long(key, changed.get(row_key))
                changed[row_key] = pack_long(key, value)
            else:
                changed[row_key] = value

    def scan(self, low: bytes, high: bytes, namespace: bytes | None = None) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Rows with low <= encoded < high as (row key, encoded, data), in order of their row keys.

        `namespace`: the encoded namespace, if all of the rows are in one. Then it skips the long rows of other
        namespaces.
        """
        yield from self.scan_short(low, high)
        if self._has_long():
            yield from self.scan_long(low, high, namespace)

    def scan_in_order(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Like `scan`, in order of the encoded keys. It first reads all of the table's long rows."""
        long = sorted(self.scan_long(low, high), key=_encoded)
        short = self.scan_short(low, high)
        return merge(short, long, key=_encoded) if long else short

    def scan_short(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
        """The part of `scan` with keys that are stored unchanged, in the order of the encoded keys."""
        start = (self._prefix + low)[:LIMIT]
        rows = self._below.scan(start, self._prefix + high)
        if len(low) <= LONGEST:
            return ((row_key, row_key[PREFIX:], data) for row_key, data in rows)
        return ((row_key, row_key[PREFIX:], data) for row_key, data in rows if row_key[PREFIX:] >= low)

    def scan_long(
        self, low: bytes, high: bytes, namespace: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes, bytes]]:
        """The part of `scan` with hashed keys, in no useful order."""
        if not self._has_long():
            return
        if namespace is None:
            rows = self._below.scan(self._prefix + BEYOND, table_end(self._prefix))
        else:
            group = long_group(self._prefix, namespace)
            rows = self._below.scan(group, group + BEYOND * (LIMIT - len(group)))
        for row_key, value in rows:
            encoded, data = unpack_long(value)
            if low <= encoded < high:
                yield row_key, encoded, data

    def last_short(self, high: bytes) -> bytes | None:
        """The greatest encoded key below `high`, without long ones."""
        row_key = self._below.last(self._prefix, self._prefix + high)
        return None if row_key is None else row_key[PREFIX:]

    def _has_long(self) -> bool:
        if self._long is None:
            rows = self._below.scan(self._prefix + BEYOND, table_end(self._prefix))
            self._long = next(rows, None) is not None
        return self._long

    def _namespace(self, encoded: bytes) -> bytes:
        return encoded[: decode_key(encoded)[1]] if self._nested else b""

    @staticmethod
    def _data_of_long(encoded: bytes, value: bytes | None) -> bytes | None:
        if value is None:
            return None
        found, data = unpack_long(value)
        if found != encoded:
            raise InvariantBroken("two long keys of one state have the same hash", advice="Use shorter keys")
        return data

"""State by key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from rayflow.core.errors import KeyNotUsable
from rayflow.serde.codec import Codec
from rayflow.serde.keys import decode_key, encode_all_canonical, encode_canonical
from rayflow.state.cache import CleanCache, ValueCache
from rayflow.state.key_order import SortedKeys
from rayflow.state.overlay import overlay
from rayflow.state.region import Region, closed_range
from rayflow.state.state_table import StateTable
from rayflow.state.table_view import TableView

_UNREAD = object()
MISSES = 0.1
"""The share of a batch's keys that may be read from the store one by one."""


class ValueTable(StateTable, TableView):
    """Key to value. A value is never None: None means that there is no row.

    A hot loop uses `rows` itself, and gets it again for each batch (a seal replaces it by an empty dict):

        row = table.rows.get(key)
        if row is None:
            row = table.load(key)
            if row is None:
                row = table.rows[key] = new

    Attributes:
        rows: the open epoch's rows, to be changed in place; only `delete` removes rows.
        deleted: keys deleted in the open epoch. A key that is also in `rows` was written again later.
    """

    def __init__(self, operator: str, name: str, region: Region, codec: Codec, cache: CleanCache) -> None:
        super().__init__(operator, name, codec)
        self._region = region
        self.rows: dict[Any, Any] = {}
        self.deleted: set[Any] = set()
        self._cache = ValueCache(cache)
        self._ahead: dict[Any, Any] = {}
        """What the last `prefetch` has read, None for a missing row; valid until the next seal."""
        self._misses = 0
        self._sorted: SortedKeys | None = None
        """The open epoch's keys in order, after they were requested."""

    def load(self, key: Any) -> Any:
        """Load an earlier epoch's row into `rows` to be changed in place; None if there is none.

        From then on it counts as changed. Do not call it for a key that is in `rows`.
        """
        if self.deleted and key in self.deleted:
            return None
        value = self._ahead.get(key, _UNREAD)
        if value is _UNREAD:
            value = self._cache.take(key)
            if value is None:
                self._misses += 1
                data = self._region.get(encode_canonical(key))
                if data is None:
                    return None
                value = self._decode(data)
        elif value is None:
            return None
        self.rows[key] = value
        return value

    def prefetch(self, keys: Iterable[Any], share: float = MISSES) -> None:
        """Read at once what separate `load` calls would read for `keys`.

        It does nothing unless, since the last call, more than a `share` of the keys were read one by one: checking each
        key costs more than it saves as long as the open epoch and the cache have nearly all of them.
        """
        chosen = list(keys)
        misses, self._misses = self._misses, 0
        if misses < share * len(chosen):
            return
        try:
            wanted = list(self._cache.lacking(set(chosen).difference(self.rows)))
            encoded = encode_all_canonical(wanted)
        except (TypeError, KeyNotUsable):  # one of them is no key: its own look-up raises the error
            return
        self._misses = len(wanted)
        found = self._region.get_many(encoded)
        there = [key for key, data in zip(wanted, found, strict=True) if data is not None]
        rows = self._decode_all([data for data in found if data is not None])
        self._ahead = dict.fromkeys(wanted)
        self._ahead.update(zip(there, rows, strict=True))

    def get(self, key: Any, default: Any = None) -> Any:
        value = self.rows.get(key)
        if value is not None:
            return value
        if key in self.deleted:
            return default
        value = self._ahead.get(key)
        if value is None:
            value = self._cache.find(key)
        if value is None:
            if key in self._ahead:
                return default
            data = self._region.get(encode_canonical(key))
            if data is None:
                return default
            value = self._decode(data)
            self._cache.keep_one(key, value, len(data))
        return value

    def get_many(self, keys: Sequence[Any]) -> list[Any]:
        found = list(map(self.rows.get, keys))
        lacking = [key for key, value in zip(keys, found, strict=True) if value is None]
        if lacking:
            self.prefetch(lacking, share=0)
            get = self.get
            found = [get(key) if value is None else value for key, value in zip(keys, found, strict=True)]
        return found

    def put(self, key: Any, value: Any) -> None:
        """Write a row, whether it exists or not."""
        self.rows[key] = value

    def delete(self, key: Any) -> None:
        """Delete a row, if it exists."""
        self.rows.pop(key, None)
        if self._sorted is not None:
            self._sorted.remove(key)
        self._cache.forget(key)
        self.deleted.add(key)

    def scan(self, first: Any = None, last: Any = None, limit: int | None = None) -> Iterator[tuple[Any, Any]]:
        low, high = closed_range(first, last)
        if self._sorted is None:
            self._sorted = SortedKeys(self.rows)
        keys = self._sorted.between(first, last, True)
        mine = ((encode_canonical(key), key) for key in keys)
        below = ((encoded, encoded, data) for _, encoded, data in self._region.scan_in_order(low, high))
        return islice(self._live(overlay(mine, below)), limit)

    def _live(self, rows: Iterator[tuple[Any, bytes, bytes | None]]) -> Iterator[tuple[Any, Any]]:
        opened, deleted = self.rows, self.deleted
        for key, encoded, data in rows:
            if data is None:
                value = opened.get(key)
                if value is None:
                    continue
            else:
                key = decode_key(encoded)[0]
                value = opened.get(key)
                if value is None:
                    if key in deleted:
                        continue
                    value = self._cache.find(key)
                    if value is None:
                        value = self._decode(data)
            yield key, value

    @property
    def pending(self) -> int:
        return len(self.rows) + len(self.deleted)

    def collect(self, changed: dict[bytes, bytes | None]) -> tuple[int, int]:
        rows = self.rows
        data = self._encode(rows.values())
        self._region.collect(changed, encode_all_canonical(rows), data)
        if self.deleted:
            gone = [encode_canonical(key) for key in self.deleted if key not in rows]
            changed.update(dict.fromkeys(self._region.existing(gone)))
        return len(data), self._sealing_bytes

    def turn(self) -> None:
        self._cache.keep(self.rows, self._sealing_bytes)
        self.rows = {}
        self.deleted = set()
        self._ahead = {}
        self._sorted = None

"""State by namespace and key: windows by their end, maps by their record's key."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from rayflow.serde.codec import Codec
from rayflow.serde.keys import decode_key, encode_canonical
from rayflow.state.cache import CleanCache
from rayflow.state.key_order import in_order
from rayflow.state.namespaces import SMALL, Namespaces
from rayflow.state.nested_cache import NestedCache
from rayflow.state.overlay import overlay
from rayflow.state.region import Region
from rayflow.state.row_keys import BEYOND
from rayflow.state.state_table import StateTable


class NestedTable(StateTable):
    """(namespace, key) to value, ordered by namespace, then key. A value is never None: None means no row.

    `rows(namespace)` is for one namespace what `ValueTable.rows` is for a table. A namespace exists as long as it has a
    row. Dropping one reads its rows in the store, and costs nothing if it only has rows of this epoch.
    """

    def __init__(self, operator: str, name: str, region: Region, codec: Codec, cache: CleanCache) -> None:
        super().__init__(operator, name, codec)
        self._region = region
        self._cache = NestedCache(cache, SMALL)
        self._spaces = Namespaces(region)
        self._large: set[Any] = set()
        """Namespaces with many rows below."""

    def rows(self, namespace: Any) -> dict[Any, Any]:
        """The open epoch's rows of one namespace; change them in place. Call it again for each batch."""
        return self._spaces.rows(namespace)

    def load(self, namespace: Any, key: Any) -> Any:
        """Load an earlier epoch's row into `rows(namespace)` to be changed in place; None if there is none.

        From then on it counts as changed. Do not call it for a key that is in `rows(namespace)`.
        """
        spaces = self._spaces
        value = self._cache.take(namespace, key)
        if value is None:
            if spaces.hides(namespace, key):
                return None
            if namespace in self._cache.whole_spaces:
                return None  # otherwise it would be in the cache
            data = self._region.get(spaces.encoded(namespace) + encode_canonical(key))
            if data is None:
                spaces.note_miss(namespace)
                return None
            value = self._decode(data)
        spaces.rows(namespace)[key] = value
        return value

    def get(self, namespace: Any, key: Any, default: Any = None) -> Any:
        """The row at `key` of a namespace, read-only."""
        value = self._spaces.find(namespace, key)
        if value is not None:
            return value
        if self._spaces.hides(namespace, key):
            return default
        value = self._cache.find(namespace, key)
        if value is None:
            if namespace in self._cache.whole_spaces:
                return default  # otherwise it would be in the cache
            data = self._region.get(self._spaces.encoded(namespace) + encode_canonical(key))
            if data is None:
                return default
            value = self._decode(data)
            self._cache.keep_one(namespace, key, value, len(data))
        return value

    def put(self, namespace: Any, key: Any, value: Any) -> None:
        """Write a row, whether it exists or not."""
        self._spaces.rows(namespace)[key] = value

    def delete(self, namespace: Any, key: Any) -> None:
        """Delete a row, if it exists."""
        self._cache.forget(namespace, key)
        self._spaces.delete(namespace, key)

    def drop(self, namespace: Any) -> None:
        """Delete all rows of a namespace."""
        self._cache.forget_all(namespace)
        self._spaces.drop(namespace)

    def range(self, namespace: Any, first: Any = None, last: Any = None) -> list[tuple[Any, Any]]:
        """Rows of a namespace with first <= key <= last (None: no bound), read-only, in the order of `scan`."""
        spaces = self._spaces
        space = spaces.space(namespace)
        below = {} if spaces.is_detached(namespace) else self._whole(namespace)
        if below is None:
            keys = spaces.keys(namespace, first, last, True)
            return list(self._laid_over(namespace, keys, first, last, True))
        if len(space) <= SMALL:
            rows = {**below, **space} if below and space else below or space
            if len(rows) < 2 and first is None and last is None:
                return list(rows.items())
            return [(key, rows[key]) for key in in_order(rows, first, last, True)]
        keys = spaces.keys(namespace, first, last, True)
        other = in_order([key for key in below if key not in space], first, last, True)
        if other:
            keys = sorted(keys + other, key=encode_canonical)
        return [(key, space[key] if key in space else below[key]) for key in keys]

    def scan(self, namespace: Any, start: Any = None, stop: Any = None) -> Iterator[tuple[Any, Any]]:
        """Rows of a namespace with start <= key < stop in encoded order (None: from the first, to the last), read-only.
        Rows whose keys (with the namespace) have more than 507 bytes may come last.

        It does not see rows that are added during the iteration, and omits rows that are deleted. Finish it before the
        next seal.
        """
        keys = self._spaces.keys(namespace, start, stop, False)
        if self._spaces.is_detached(namespace):
            return self._own(namespace, keys)
        return self._laid_over(namespace, keys, start, stop, False)

    def _laid_over(
        self, namespace: Any, keys: list[Any], start: Any, stop: Any, closed: bool
    ) -> Iterator[tuple[Any, Any]]:
        """The open epoch's rows at `keys`, merged over those below."""
        spaces = self._spaces
        find, row_key = spaces.find, self._region.row_key
        base = spaces.encoded(namespace)
        low = base if start is None else base + encode_canonical(start)
        high = base + (BEYOND if stop is None else encode_canonical(stop))
        if closed and stop is not None:
            high += b"\x00"  # no other key's encoding begins with this one
        mine = sorted((row_key(base + encode_canonical(key)), key) for key in keys)
        at = len(base)
        for key, encoded, data in overlay(mine, self._region.scan(low, high, base)):
            if data is None:
                value = find(namespace, key)
                if value is None:
                    continue
            else:
                key = decode_key(encoded, at)[0]
                value = find(namespace, key)
                if value is None:
                    if spaces.hides(namespace, key):
                        continue
                    value = self._cache.find(namespace, key)
                    if value is None:
                        value = self._decode(data)
            yield key, value

    def _own(self, namespace: Any, keys: list[Any]) -> Iterator[tuple[Any, Any]]:
        """The open epoch's rows of a namespace that has no others."""
        for key in keys:
            value = self._spaces.find(namespace, key)
            if value is not None:
                yield key, value

    def _whole(self, namespace: Any) -> dict[Any, Any] | None:
        """All visible rows below of a namespace, from the cache; None if there are many. Some may be older than those
        of the open epoch."""
        rows = self._cache.whole(namespace)
        if rows is not None or namespace in self._large:
            return rows
        spaces = self._spaces
        base = spaces.encoded(namespace)
        found = list(islice(self._region.scan(base, base + BEYOND, base), SMALL + 1))
        if len(found) > SMALL:
            self._large.add(namespace)
            return None
        if not found:
            spaces.detach(namespace)
            return {}
        at, space = len(base), spaces.space(namespace)
        keys = [decode_key(encoded, at)[0] for _, encoded, _ in found]
        data = [row[2] for row in found]
        rows = {
            key: value
            for key, value in zip(keys, self._decode_all(data), strict=True)
            if key not in space and not spaces.hides(namespace, key)
        }
        self._cache.keep_whole(namespace, rows, sum(map(len, data)))
        return rows

    def namespaces(self, upto: int | None = None) -> list[Any]:
        """The namespaces that have a row, in order. With `upto`, which requires int namespaces, those up to and
        including it. With `upto` it reads the store only if a namespace there can be due."""
        return self._spaces.every() if upto is None else self._spaces.due(upto)

    @property
    def pending(self) -> int:
        return self._spaces.pending()

    def collect(self, changed: dict[bytes, bytes | None]) -> tuple[int, int]:
        encoded, values = self._spaces.flat()
        data = self._encode(values)
        changed.update(dict.fromkeys(self._spaces.tombstones()))
        self._region.collect(changed, encoded, data)
        return len(data), self._sealing_bytes

    def turn(self) -> None:
        self._large.clear()
        self._cache.keep_epoch(self._spaces.whole(), self._spaces.turn(), self._sealing_bytes)

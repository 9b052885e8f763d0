"""The states of a running ProcessFunction: `rf.value`, `rf.list` and `rf.map` over state tables.

Rows are lists that contain the user's object (see `expiry`), because a table cannot store None.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rayflow.api.state import ListState, MapState, ValueState
from rayflow.operators.expiry import Expiring, LiveRow, Moment, TimeToLive
from rayflow.serde.keys import as_equal
from rayflow.state.nested_table import NestedTable
from rayflow.state.value_table import ValueTable


class LiveValue(ValueState[Any], Expiring):
    """One row per key."""

    def __init__(self, table: ValueTable, default: Any, moment: Moment, ttl: TimeToLive | None) -> None:
        self._table = table
        self._default = default
        self._moment = moment
        self._ttl = ttl

    def get(self) -> Any:
        table, key = self._table, self._moment.key
        row = table.rows.get(key) or table.get(key)  # a row is never empty; most are in the open epoch
        if row is None or (self._ttl is not None and self._ttl.expired(row)):
            return self._default
        return row[0]

    def set(self, value: Any) -> None:
        key = self._moment.key
        if self._ttl is None:
            self._table.rows[key] = [value]
        else:
            self._table.put(key, self._ttl.stamped(self._table.get(key), value, key))

    def clear(self) -> None:
        key = self._moment.key
        if self._ttl is not None:
            self._ttl.disarm(self._table.get(key), key)
        self._table.delete(key)

    def row_of(self, key: Any) -> LiveRow | None:
        row: LiveRow | None = self._table.get(key)
        return row

    def put_back(self, key: Any, row: LiveRow) -> None:
        self._table.put(key, row)

    def forget(self, key: Any) -> None:
        self._table.delete(key)


class LiveList(ListState[Any], Expiring):
    """A row per item, numbered from 0, so that appending costs one row; the row None contains the length."""

    def __init__(self, table: NestedTable, moment: Moment, ttl: TimeToLive | None) -> None:
        self._table = table
        self._moment = moment
        self._ttl = ttl

    def get(self) -> list[Any]:
        return [row[0] for _, row in self._table.scan(self._moment.key, start=0)] if len(self) else []

    def append(self, item: Any) -> None:
        self.extend((item,))

    def extend(self, items: Iterable[Any]) -> None:
        added = list(items)
        if not added:
            return
        key, table = self._moment.key, self._table
        length = len(self)
        head = table.get(key, None)
        if head is not None and length == 0:  # it has expired: its items must not reappear
            table.drop(key)
        for index, item in enumerate(added, length):
            table.put(key, index, [item])
        length += len(added)
        table.put(key, None, [length] if self._ttl is None else self._ttl.stamped(head, length, key))

    def set(self, items: Iterable[Any]) -> None:
        kept = list(items)
        self.clear()
        self.extend(kept)

    def clear(self) -> None:
        key = self._moment.key
        if self._ttl is not None:
            self._ttl.disarm(self._table.get(key, None), key)
        self._table.drop(key)

    def __len__(self) -> int:
        head = self._table.get(self._moment.key, None)
        if head is None or (self._ttl is not None and self._ttl.expired(head)):
            return 0
        length: int = head[0]
        return length

    def __iter__(self) -> Iterator[Any]:
        return iter(self.get())

    def row_of(self, key: Any) -> LiveRow | None:
        row: LiveRow | None = self._table.get(key, None)
        return row

    def put_back(self, key: Any, row: LiveRow) -> None:
        self._table.put(key, None, row)

    def forget(self, key: Any) -> None:
        self._table.drop(key)


class LiveMap(MapState[Any, Any], Expiring):
    """A row per entry. With a TTL, each entry expires by itself."""

    def __init__(self, table: NestedTable, moment: Moment, ttl: TimeToLive | None) -> None:
        self._table = table
        self._moment = moment
        self._ttl = ttl

    def get(self, item: Any, default: Any = None) -> Any:
        row = self._live(item)
        return default if row is None else row[0]

    def set(self, item: Any, value: Any) -> None:
        key, item = self._moment.key, as_equal(item)
        if self._ttl is None:
            self._table.put(key, item, [value])
        else:
            self._table.put(key, item, self._ttl.stamped(self._table.get(key, item), value, (key, item)))

    def remove(self, item: Any) -> None:
        key = self._moment.key
        if self._ttl is not None:
            self._ttl.disarm(self._table.get(key, item), (key, item))
        self._table.delete(key, item)

    def items(self) -> Iterator[tuple[Any, Any]]:
        rows, ttl = self._table.range(self._moment.key), self._ttl  # a copy: the user may change the map meanwhile
        return iter([(item, row[0]) for item, row in rows if ttl is None or not ttl.expired(row)])

    def keys(self) -> Iterator[Any]:
        return iter([item for item, _ in self.items()])

    def values(self) -> Iterator[Any]:
        return iter([value for _, value in self.items()])

    def clear(self) -> None:
        key = self._moment.key
        if self._ttl is not None:
            for item, row in self._table.range(key):
                self._ttl.disarm(row, (key, item))
        self._table.drop(key)

    def __contains__(self, item: object) -> bool:
        return self._live(item) is not None

    def _live(self, item: Any) -> LiveRow | None:
        row: LiveRow | None = self._table.get(self._moment.key, item)
        return None if row is None or (self._ttl is not None and self._ttl.expired(row)) else row

    def row_of(self, key: Any) -> LiveRow | None:
        row: LiveRow | None = self._table.get(*key)
        return row

    def put_back(self, key: Any, row: LiveRow) -> None:
        namespace, item = key
        self._table.put(namespace, item, row)

    def forget(self, key: Any) -> None:
        self._table.delete(*key)

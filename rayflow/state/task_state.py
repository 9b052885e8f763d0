"""A task's state: its tables, the open epoch's overlay, the sealed epoch, and the store below them."""

from __future__ import annotations

from collections.abc import Iterator

from rayflow.core.errors import InvariantBroken, StateKindChanged
from rayflow.serde.codec import Codec
from rayflow.state.base import Delta, Stamp, Store
from rayflow.state.cache import CleanCache, bytes_of
from rayflow.state.nested_table import NestedTable
from rayflow.state.ordered_table import OrderedTable
from rayflow.state.region import Region
from rayflow.state.row_keys import table_prefix
from rayflow.state.sealed_store import SealedStore
from rayflow.state.state_table import StateTable
from rayflow.state.table_view import CompletedView, TableView
from rayflow.state.timer_table import TimerTable
from rayflow.state.value_table import ValueTable

_FIRST_GUESS = 100
"""Assumed bytes of an encoded row, until one was encoded."""


class TaskState:
    """The tables of one task over its store. Single-threaded.

    Reads go to the open epoch's live objects, the sealed epoch, the clean cache, the store. `seal` ends the open epoch;
    `complete` applies what was sealed to the store. A crash loses what the store does not hold: nothing else is kept.

    Args:
        store: holds the checkpoint that the task starts from; only `complete` writes to it from now on.
        codec: carries values. cache_bytes: memory that the clean cache may take, an estimate.

    >>> from rayflow.serde.codec import Codec
    >>> from rayflow.state.memory_store import MemoryStore
    >>> state = TaskState(MemoryStore(), Codec())
    >>> totals = state.values("totals", "sum")
    >>> totals.rows["ann"] = 3
    >>> delta = state.seal()
    >>> len(delta), totals.rows, totals.get("ann"), state.row_count()
    (1, {}, 3, 0)
    >>> state.complete(Stamp("lineage", 1))
    >>> state.row_count()
    1
    """

    def __init__(self, store: Store, codec: Codec, *, cache_bytes: int = 64 << 20) -> None:
        self._store = store
        self._codec = codec
        self._below = SealedStore(store)
        self._cache = CleanCache(cache_bytes)
        self._tables: dict[tuple[str, str], StateTable] = {}
        self._prefixes: dict[bytes, tuple[str, str]] = {}
        self._rows_seen = 0
        self._bytes_seen = 0

    def values(self, operator: str, name: str) -> ValueTable:
        """The table of that name, by key. Raises StateKindChanged if it was created as another kind."""
        table = self._tables.get((operator, name))
        if table is None:
            table = ValueTable(operator, name, self._region(operator, name, nested=False), self._codec, self._cache)
            self._tables[operator, name] = table
        if not isinstance(table, ValueTable):
            raise _other_kind(operator, name)
        return table

    def nested(self, operator: str, name: str) -> NestedTable:
        """The table of that name, by namespace and key. Raises StateKindChanged if it was created as another kind."""
        table = self._tables.get((operator, name))
        if table is None:
            table = NestedTable(operator, name, self._region(operator, name, nested=True), self._codec, self._cache)
            self._tables[operator, name] = table
        if not isinstance(table, NestedTable):
            raise _other_kind(operator, name)
        return table

    def timers(self, operator: str, name: str) -> TimerTable:
        """The timers of that name. Raises StateKindChanged if the table was created as another kind."""
        table = self._tables.get((operator, name))
        if table is None:
            table = TimerTable(operator, name, self._region(operator, name, nested=True), self._codec)
            self._tables[operator, name] = table
        if not isinstance(table, TimerTable):
            raise _other_kind(operator, name)
        return table

    def ordered(self, operator: str, name: str) -> OrderedTable:
        """The table of that name, by key and time. Raises StateKindChanged if it was created as another kind."""
        table = self._tables.get((operator, name))
        if table is None:
            prefix = self._prefix(operator, name)
            table = OrderedTable(operator, name, self._below, prefix, self._codec, self._cache)
            self._tables[operator, name] = table
        if not isinstance(table, OrderedTable):
            raise _other_kind(operator, name)
        return table

    def completed(self, operator: str, name: str) -> TableView:
        """The value table of that name as of the last completed epoch. Raises StateKindChanged if it is of another
        kind."""
        if not isinstance(self._tables.get((operator, name)), ValueTable | None):
            raise _other_kind(operator, name)
        return CompletedView(self._below, table_prefix(operator, name), self._codec)

    def seal(self) -> Delta:
        """End the open epoch, and return every changed row, encoded once. Do not change the lists.

        Raises InvariantBroken if the epoch before is not complete, ValueNotCarried (which names operator and state) for
        a value that the codec cannot encode; the epoch then stays open.
        """
        if self._below.is_sealed:
            raise InvariantBroken("an epoch was sealed before the one before it was complete")
        changed: dict[bytes, bytes | None] = {}
        for table in self._tables.values():
            rows, size = table.collect(changed)
            self._rows_seen += rows
            self._bytes_seen += size
        delta = self._below.seal(changed)
        for table in self._tables.values():
            table.turn()
        return delta

    def complete(self, stamp: Stamp) -> None:
        """Apply the sealed delta to the store, in one transaction with `stamp`. An empty delta is stamped, too.

        Raises DiskFull (the delta stays sealed), InvariantBroken if nothing is sealed.
        """
        self._below.complete(stamp)

    def completing(self, stamp: Stamp) -> Iterator[None]:
        """Like `complete`, but in steps of about a ms, with reads in between. Iterate to the end before the next
        seal."""
        return self._below.completing(stamp)

    @property
    def pending_rows(self) -> int:
        """Rows that the open epoch has changed so far."""
        return sum([table.pending for table in self._tables.values()])

    @property
    def pending_bytes(self) -> int:
        """Estimate of the memory that the open epoch uses."""
        rows = self.pending_rows
        mean = self._bytes_seen // self._rows_seen if self._rows_seen else _FIRST_GUESS
        return bytes_of(rows, rows * mean)

    def row_count(self) -> int:
        """Rows in the store."""
        return self._store.count()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _region(self, operator: str, name: str, *, nested: bool) -> Region:
        return Region(self._below, self._prefix(operator, name), nested)

    def _prefix(self, operator: str, name: str) -> bytes:
        prefix = table_prefix(operator, name)
        other = self._prefixes.setdefault(prefix, (operator, name))
        if other != (operator, name):
            raise InvariantBroken(
                f"the states {other[0]}/{other[1]} and {operator}/{name} have the same four-byte hash",
                operator=operator,
                advice="Give one of the two another name",
            )
        return prefix


def _other_kind(operator: str, name: str) -> StateKindChanged:
    return StateKindChanged(f"the state {name} is used as two kinds", operator=operator)

"""The read side of a table, for joins, interactive queries and the command line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from rayflow.serde.codec import Codec
from rayflow.serde.keys import decode_key, encode_all_canonical
from rayflow.state.region import Region, closed_range
from rayflow.state.sealed_store import SealedStore


class TableView(ABC):
    """Reads rows by key. There are two views of a table, with the same contract:

    - a `ValueTable` itself, for operators of its task: the current rows, including the open epoch;
    - `TaskState.completed(operator, name)`, for all other readers: the rows of the last completed epoch, which are
      never rolled back. Two reads can see different epochs.

    Use it on the task's thread; it blocks only to read the local store. Rows are read-only, because they are the
    table's own objects. Keys that are equal in Python are one key. Raises KeyNotUsable for an invalid key,
    DamagedObject if the store is damaged.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        """The row at `key`, or `default`."""
        (value,) = self.get_many((key,))
        return default if value is None else value

    @abstractmethod
    def get_many(self, keys: Sequence[Any]) -> list[Any]:
        """The row at each key, None if there is none, with one read of the store for the whole batch."""

    @abstractmethod
    def scan(self, first: Any = None, last: Any = None, limit: int | None = None) -> Iterator[tuple[Any, Any]]:
        """At most `limit` rows with first <= key <= last (None: no bound), in order of their keys' canonical bytes:
        keys of one type in their own order, and different types one after the other. To continue, begin at the last key
        seen.

        It may not see rows that are added during the iteration, and omits rows that are deleted. Finish it before the
        task's next seal or completed epoch.
        """


class CompletedView(TableView):
    """A value table as of the last completed epoch, even while the next is being applied to the store."""

    def __init__(self, below: SealedStore, prefix: bytes, codec: Codec) -> None:
        self._below = below
        self._prefix = prefix
        self._codec = codec

    def get_many(self, keys: Sequence[Any]) -> list[Any]:
        found = self._region().get_many(encode_all_canonical(keys))
        values = iter(self._codec.decode_all([data for data in found if data is not None]))
        return [None if data is None else next(values) for data in found]

    def scan(self, first: Any = None, last: Any = None, limit: int | None = None) -> Iterator[tuple[Any, Any]]:
        rows = self._region().scan_in_order(*closed_range(first, last))
        for _, encoded, data in islice(rows, limit):
            yield decode_key(encoded)[0], self._codec.decode(data)

    def _region(self) -> Region:
        return Region(self._below.completed, self._prefix, nested=False)

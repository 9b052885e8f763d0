"""The unit that operators work on: parallel columns of records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import compress
from operator import itemgetter
from typing import Any, NamedTuple

Headers = list[tuple[str, bytes | None]]
"""The headers of one record, in order; a name may repeat."""


class Origin(NamedTuple):
    """Where the records of a batch came from: a topic's partition, or an operator (partition of its task)."""

    topic: str
    partition: int


class Change(IntEnum):
    """What a record of a table's changes does to the row of its key."""

    INSERT = 0
    """There was none."""
    UPDATE = 1
    """It takes the place of the old one."""
    DELETE = 2
    """It is gone; the record's value is None."""


@dataclass(slots=True)
class Batch:
    """Records as columns of one length. Never mutated once emitted: an operator makes a new batch.

    Made by the constructors below and derived by the methods, so that nobody forgets a column.

    Attributes:
        origin: the topic partition that the records came from; for records that an operator made
            (windows, timers) the operator's id and its task's partition.
        keys, values: Python objects; raw ``bytes | None`` before they are decoded.
        timestamps: event times, ms since the Unix epoch.
        offsets: positions in the origin; a ``range`` when they follow one another; -1 where there is none.
        headers: one list per record, or None when no record has headers.
        lateness: for batches that hold records behind their source partition's watermark, per record the
            watermark of that partition when the record was read; None when no record was behind. An operator
            that drops late records compares with it, so that what is late never depends on reading order.
        changes: of a table that retracts, what each record does; None: they are records of their own, no changes.
        old: with `changes`, the value that each record takes the place of; None where there was none.
    """

    origin: Origin
    keys: list[Any]
    values: list[Any]
    timestamps: list[int]
    offsets: Sequence[int]
    headers: list[Headers] | None = None
    lateness: list[int] | None = None
    changes: list[Change] | None = None
    old: list[Any] | None = None

    @classmethod
    def read(
        cls,
        origin: Origin,
        keys: list[Any],
        values: list[Any],
        timestamps: list[int],
        offsets: Sequence[int],
        headers: list[Headers] | None = None,
    ) -> Batch:
        """Undecoded records of a topic's partition, as a source gives them."""
        return cls(origin, keys, values, timestamps, offsets, headers)

    @classmethod
    def made(cls, origin: Origin, keys: list[Any], values: list[Any], timestamps: list[int]) -> Batch:
        """Records that an operator makes: they have no offset."""
        return cls(origin, keys, values, timestamps, [-1] * len(values))

    @classmethod
    def one(cls, origin: Origin, key: Any, value: Any, timestamp: int) -> Batch:
        """A single record that an operator makes."""
        return cls(origin, [key], [value], [timestamp], [-1])

    @classmethod
    def empty(cls, origin: Origin) -> Batch:
        """No records."""
        return cls(origin, [], [], [], ())

    @classmethod
    def carried(
        cls,
        origin: Origin,
        *,
        keys: list[Any],
        values: list[Any],
        timestamps: list[int],
        offsets: Sequence[int],
        headers: list[Headers] | None,
        lateness: list[int] | None,
        changes: list[Change] | None,
        old: list[Any] | None,
    ) -> Batch:
        """What came through an exchange: every column is to be given, so that an exchange loses none."""
        return cls(origin, keys, values, timestamps, offsets, headers, lateness, changes, old)

    def __len__(self) -> int:
        return len(self.values)

    def with_values(self, values: list[Any]) -> Batch:
        """The same records with other values, one for one."""
        return Batch(
            self.origin,
            self.keys,
            values,
            self.timestamps,
            self.offsets,
            self.headers,
            self.lateness,
            self.changes,
            self.old,
        )

    def with_results(self, results: list[Any]) -> Batch:
        """What an operator has made of each record's key and value, one for one: without the record's headers."""
        return Batch(
            self.origin,
            self.keys,
            results,
            self.timestamps,
            self.offsets,
            None,
            self.lateness,
            self.changes,
            self.old,
        )

    def with_keys(self, keys: list[Any]) -> Batch:
        """The same records with other keys, one for one."""
        return Batch(
            self.origin,
            keys,
            self.values,
            self.timestamps,
            self.offsets,
            self.headers,
            self.lateness,
            self.changes,
            self.old,
        )

    def with_timestamps(self, timestamps: list[int]) -> Batch:
        """The same records with other event times, one for one."""
        return Batch(
            self.origin,
            self.keys,
            self.values,
            timestamps,
            self.offsets,
            self.headers,
            self.lateness,
            self.changes,
            self.old,
        )

    def with_headers(self, headers: list[Headers] | None) -> Batch:
        """The same records with other headers, one list for each, or none."""
        return Batch(
            self.origin,
            self.keys,
            self.values,
            self.timestamps,
            self.offsets,
            headers,
            self.lateness,
            self.changes,
            self.old,
        )

    def with_lateness(self, lateness: list[int] | None) -> Batch:
        """The same records, and the watermark that each one met."""
        return Batch(
            self.origin,
            self.keys,
            self.values,
            self.timestamps,
            self.offsets,
            self.headers,
            lateness,
            self.changes,
            self.old,
        )

    def with_changes(self, changes: list[Change], old: list[Any]) -> Batch:
        """The same records as changes of a table, with the values that they take the place of."""
        return Batch(
            self.origin,
            self.keys,
            self.values,
            self.timestamps,
            self.offsets,
            self.headers,
            self.lateness,
            changes,
            old,
        )

    def select(self, mask: Iterable[Any]) -> Batch:
        """The records for which `mask` is true, in order. `mask` may be read several times, so: a list."""
        chosen = list(mask)
        return Batch(
            self.origin,
            list(compress(self.keys, chosen)),
            list(compress(self.values, chosen)),
            list(compress(self.timestamps, chosen)),
            list(compress(self.offsets, chosen)),
            None if self.headers is None else list(compress(self.headers, chosen)),
            None if self.lateness is None else list(compress(self.lateness, chosen)),
            None if self.changes is None else list(compress(self.changes, chosen)),
            None if self.old is None else list(compress(self.old, chosen)),
        )

    def take(self, indexes: Sequence[int]) -> Batch:
        """The records at `indexes`, in that order; an index may repeat (as `flat_map` needs)."""
        if len(indexes) == 0:
            return Batch.empty(self.origin)
        if len(indexes) == 1:
            i = indexes[0]
            return Batch(
                self.origin,
                [self.keys[i]],
                [self.values[i]],
                [self.timestamps[i]],
                [self.offsets[i]],
                None if self.headers is None else [self.headers[i]],
                None if self.lateness is None else [self.lateness[i]],
                None if self.changes is None else [self.changes[i]],
                None if self.old is None else [self.old[i]],
            )
        pick = itemgetter(*indexes)
        return Batch(
            self.origin,
            list(pick(self.keys)),
            list(pick(self.values)),
            list(pick(self.timestamps)),
            list(pick(self.offsets)),
            None if self.headers is None else list(pick(self.headers)),
            None if self.lateness is None else list(pick(self.lateness)),
            None if self.changes is None else list(pick(self.changes)),
            None if self.old is None else list(pick(self.old)),
        )


@dataclass(slots=True)
class EncodedBatch:
    """Output records ready for a topic: the columns as a broker takes them.

    Attributes:
        topic: the topic's name in its connector.
        keys, values: bytes, or None (a null key; a tombstone).
        timestamps: ms since the Unix epoch.
        headers: one list per record, or None when no record has headers.
        partition: the partition to write to; None lets the connector choose by the key's hash.
    """

    topic: str
    keys: list[bytes | None]
    values: list[bytes | None]
    timestamps: list[int]
    headers: list[Headers] | None = None
    partition: int | None = None

    def __len__(self) -> int:
        return len(self.values)

"""The unit that operators work on: parallel columns of records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import compress
from operator import itemgetter
from typing import Any, NamedTuple

from rayflow.core.errors import EncodeFailed

BYTES: set[type[Any]] = {bytes, type(None)}
"""The types of encoded keys and values."""

Headers = list[tuple[str, bytes | None]]
"""The headers of one record, in order; a name may repeat."""


class Origin(NamedTuple):
    """The origin of a batch's records: a topic's partition, or an operator (with its task's partition)."""

    topic: str
    partition: int


class Change(IntEnum):
    """The effect of a record of a table's changes on the row of its key."""

    INSERT = 0
    """There was no row."""
    UPDATE = 1
    """It replaces the old row."""
    DELETE = 2
    """The row is deleted; the record's value is None."""


@dataclass(slots=True)
class Batch:
    """Records as columns of the same length. Never changed after it was emitted: an operator creates a new batch.

    Create it with the constructors below, and derive others with the methods, so that no column is forgotten.

    Attributes:
        origin: the topic partition from which the records came; for records that an operator created (windows, timers)
            the operator's id and its task's partition.
        keys, values: Python objects; raw ``bytes | None`` before they are decoded.
        timestamps: event times, ms since the Unix epoch.
        offsets: positions in the origin; a ``range`` if they are consecutive; -1 if there is none.
        headers: one list per record, or None if no record has headers.
        lateness: for batches with records behind their source partition's watermark: for each record, the watermark of
            that partition when the record was read; None if no record was behind. An operator that drops late records
            compares records with it, so that the result never depends on reading order.
        changes: for a table that retracts, the effect of each record; None: the records are not changes.
        old: with `changes`, the value that each record replaces; None if there was none.
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
        """Undecoded records of a topic's partition, from a source."""
        return cls(origin, keys, values, timestamps, offsets, headers)

    @classmethod
    def made(cls, origin: Origin, keys: list[Any], values: list[Any], timestamps: list[int]) -> Batch:
        """Records that an operator creates: they have no offset."""
        return cls(origin, keys, values, timestamps, [-1] * len(values))

    @classmethod
    def one(cls, origin: Origin, key: Any, value: Any, timestamp: int) -> Batch:
        """A single record that an operator creates."""
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
        """The records after an exchange: every column is required, so that an exchange loses none."""
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
        """An operator's result for each record, with its key, but without its headers."""
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
        """The same records with other headers, one list for each record, or none."""
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
        """The same records, with the watermark for each one."""
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
        """The same records as changes of a table, with the values that they replace."""
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
        """The records for which `mask` is true, in order. `mask` may be read several times, so it should be a list."""
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
    """Output records for a topic: columns in the form that a broker accepts.

    Attributes:
        topic: the topic's name in its connector.
        keys, values: bytes, or None (a null key; a tombstone).
        timestamps: ms since the Unix epoch.
        headers: one list per record, or None if no record has headers.
        partition: the partition to write to; None: the connector chooses it by the key's hash.
    """

    topic: str
    keys: list[bytes | None]
    values: list[bytes | None]
    timestamps: list[int]
    headers: list[Headers] | None = None
    partition: int | None = None

    def __len__(self) -> int:
        return len(self.values)

    def check(self) -> None:
        """Raise EncodeFailed unless the columns have the types that are written above. The embedded log would keep what
        it could never read again. For records from outside of a job; an operator checks what it stages."""
        expected = ((self.keys, "key", BYTES), (self.values, "value", BYTES), (self.timestamps, "timestamp", {int}))
        for column, name, types in expected:
            for kind in set(map(type, column)) - types:
                raise EncodeFailed(
                    f"A record's {name} is a {kind.__name__}",
                    topic=self.topic,
                    advice="Keys and values are bytes or None, timestamps are ms since the Unix epoch (int)",
                )

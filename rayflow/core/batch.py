"""The unit that operators work on: parallel columns of records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import itemgetter
from typing import Any, NamedTuple

Headers = list[tuple[str, bytes | None]]
"""The headers of one record, in order; a name may repeat."""


class Origin(NamedTuple):
    """Where the records of a batch came from: a topic's partition, or an operator (partition of its task)."""

    topic: str
    partition: int


@dataclass(slots=True)
class Batch:
    """Records as columns of one length. Never mutated once emitted: an operator makes a new batch.

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
    """

    origin: Origin
    keys: list[Any]
    values: list[Any]
    timestamps: list[int]
    offsets: Sequence[int]
    headers: list[Headers] | None = None
    lateness: list[int] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def with_values(self, values: list[Any]) -> Batch:
        """The same records with other values, one for one."""
        return Batch(self.origin, self.keys, values, self.timestamps, self.offsets, self.headers, self.lateness)

    def with_keys(self, keys: list[Any]) -> Batch:
        """The same records with other keys, one for one."""
        return Batch(self.origin, keys, self.values, self.timestamps, self.offsets, self.headers, self.lateness)

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
        )

    def take(self, indexes: Sequence[int]) -> Batch:
        """The records at `indexes`, in that order; an index may repeat (as `flat_map` needs)."""
        if len(indexes) == 0:
            return Batch(self.origin, [], [], [], [])
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

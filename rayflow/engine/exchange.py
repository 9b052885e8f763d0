"""Splits a batch by the hash of its keys, for the partitions of the next stage."""

from __future__ import annotations

from collections.abc import Iterator

from rayflow.core.batch import Batch
from rayflow.core.errors import KeyNotUsable, ValueNotCarried
from rayflow.core.hashing import Partitioner
from rayflow.serde.codec import Codec


def split(batch: Batch, partitioner: Partitioner, exchange: str) -> Iterator[tuple[int, Batch]]:
    """Yield the records of `batch` for each partition that gets any, in order within a partition.

    Raises KeyNotUsable for a key that cannot be hashed or serialised.
    """
    try:
        targets = list(map(partitioner.__getitem__, batch.keys))
    except (TypeError, KeyNotUsable) as error:
        raise _not_usable(batch, partitioner, exchange, error) from error
    first = targets[0]
    if partitioner.partitions == 1 or targets.count(first) == len(targets):
        yield first, batch
        return
    indexes: list[list[int]] = [[] for _ in range(partitioner.partitions)]
    appends = [chosen.append for chosen in indexes]
    for index, target in enumerate(targets):
        appends[target](index)
    for target, chosen in enumerate(indexes):
        if chosen:
            yield target, batch.take(chosen)


def through_codec(batch: Batch, codec: Codec, exchange: str) -> Batch:
    """The batch as a task on another machine would receive it. Raises ValueNotCarried."""
    try:
        keys = codec.decode_column(codec.encode_column(batch.keys))
        values = codec.decode_column(codec.encode_column(batch.values))
        old = None if batch.old is None else codec.decode_column(codec.encode_column(batch.old))
    except ValueNotCarried as error:
        raise ValueNotCarried(
            error.what,
            operator=exchange,
            topic=batch.origin.topic,
            partition=batch.origin.partition,
            advice=error.advice,
        ) from error
    return Batch.carried(
        batch.origin,
        keys=keys,
        values=values,
        timestamps=batch.timestamps,
        offsets=batch.offsets,
        headers=batch.headers,
        lateness=batch.lateness,
        changes=batch.changes,
        old=old,
    )


def _not_usable(batch: Batch, partitioner: Partitioner, exchange: str, error: TypeError | KeyNotUsable) -> KeyNotUsable:
    """The error, with the place of the first key that causes it."""
    offset = None
    for key, at in zip(batch.keys, batch.offsets, strict=True):
        try:
            partitioner[key]
        except (TypeError, KeyNotUsable):
            offset = at if at >= 0 else None  # a record that an operator created has no offset
            break
    return KeyNotUsable(
        error.what if isinstance(error, KeyNotUsable) else "a key cannot be hashed",
        operator=exchange,
        topic=batch.origin.topic,
        partition=batch.origin.partition,
        offset=offset,
    )

"""Packs output batches into blobs per partition. It chooses partitions like Kafka's Java client."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter

from rayflow.connectors.embedded.blob import Columns, encode, joined
from rayflow.connectors.embedded.layout import Topic
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import RecordTooLarge, UnknownTopic
from rayflow.core.hashing import Partitioner, murmur2

BLOB_BYTES = 1 << 20
"""Approximate bytes of keys and values in one blob; a larger record has its own blob."""
BLOB_RECORDS = 16_384
RECORD_BYTES = 64 << 20
"""The largest key or value, in bytes."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A blob for a partition."""

    topic: str
    number: int
    partition: int
    count: int
    blob: bytearray


@dataclass(slots=True)
class _Pile:
    """Records of one partition that wait until they fill a blob."""

    pieces: list[Columns] = field(default_factory=list)
    records: int = 0
    size: int = 0


class Packer:
    """Packs output batches. It remembers the partitions of keys, so keep one per writer.

    Records without a key take turns over the partitions, from where the records that the topic has have come to: one
    by one, or a batch at a time (`sticky`, as Kafka's clients do it), so that a small batch stays in one blob.
    """

    def __init__(self, *, sticky: bool = True) -> None:
        self._partitioners: dict[int, Partitioner] = {}
        self._sticky = sticky
        self._turns: dict[int, int] = {}

    def pack(
        self, batches: Iterable[EncodedBatch], find: Callable[[str], Topic], count: Callable[[Topic], int]
    ) -> Iterator[Chunk]:
        """Yield the batches as chunks, with each partition's records in their order; one chunk per step. `count`: how
        many records a topic has.

        Raises RecordTooLarge, UnknownTopic for a partition that the topic does not have, and the errors of `find`.
        """
        piles: dict[tuple[str, Topic, int], _Pile] = {}
        for batch in batches:
            topic = find(batch.topic)
            for partition, columns in self._routed(batch, topic, count):
                pile = piles.setdefault((batch.topic, topic, partition), _Pile())
                pile.pieces.append(columns)
                pile.records += len(columns.values)
                pile.size += _size(batch, columns)
                if pile.size >= BLOB_BYTES or pile.records >= BLOB_RECORDS:
                    yield from _chunks(batch.topic, topic, partition, pile)
                    del piles[batch.topic, topic, partition]
        for (name, topic, partition), pile in piles.items():
            yield from _chunks(name, topic, partition, pile)

    def _routed(
        self, batch: EncodedBatch, topic: Topic, count: Callable[[Topic], int]
    ) -> Iterator[tuple[int, Columns]]:
        """The batch's records by partition."""
        whole = Columns(batch.keys, batch.values, batch.timestamps, batch.headers)
        if not batch.values:
            return
        if batch.partition is not None:
            if not 0 <= batch.partition < topic.partitions:
                raise UnknownTopic(
                    f"The topic has no such partition, only {topic.partitions}",
                    topic=batch.topic,
                    partition=batch.partition,
                )
            yield batch.partition, whole
        elif topic.partitions == 1:
            yield 0, whole
        else:
            targets = self._targets(batch.keys, topic, count)
            counts = Counter(targets)
            if len(counts) == 1:
                (only,) = counts
                yield only, whole
                return
            # Sorting is stable, so the records of each partition become one slice, in their order.
            order = sorted(range(len(targets)), key=targets.__getitem__)
            pick = itemgetter(*order)
            moved = Columns(*(None if column is None else list(pick(column)) for column in whole))  # type: ignore[arg-type]
            start = 0
            for partition in sorted(counts):
                yield partition, moved.part(start, start + counts[partition])
                start += counts[partition]

    def _targets(self, keys: list[bytes | None], topic: Topic, count: Callable[[Topic], int]) -> list[int]:
        """The partition of each key."""
        partitions = topic.partitions
        partitioner = self._partitioners.get(partitions)
        if partitioner is None:
            partitioner = self._partitioners[partitions] = Partitioner(partitions, bytes, murmur2)
        if None not in keys:
            return list(map(partitioner.__getitem__, keys))
        turn = self._turns.get(topic.number)
        if turn is None:
            turn = count(topic)
        if self._sticky:
            self._turns[topic.number] = turn + 1
            own = turn % partitions
            return [own if key is None else partitioner[key] for key in keys]
        self._turns[topic.number] = turn + keys.count(None)
        turns = (n % partitions for n in itertools.count(turn))
        return [next(turns) if key is None else partitioner[key] for key in keys]


def _size(batch: EncodedBatch, columns: Columns) -> int:
    """Bytes of keys and values. Raises RecordTooLarge."""
    total = sum(map(len, filter(None, columns.keys))) + sum(map(len, filter(None, columns.values)))
    if total > RECORD_BYTES:
        largest = max(map(len, filter(None, columns.keys + columns.values)))
        if largest > RECORD_BYTES:
            raise RecordTooLarge(
                f"A record of {largest} bytes is larger than the embedded log's limit of {RECORD_BYTES}",
                topic=batch.topic,
                advice="Change the job to write smaller records, and start it from a checkpoint before this epoch: "
                "--from-checkpoint N (rayflow checkpoints JOB list)",
            )
    return total


def _chunks(name: str, topic: Topic, partition: int, pile: _Pile) -> Iterator[Chunk]:
    columns = joined(pile.pieces)
    blobs = max(-(-pile.size // BLOB_BYTES), -(-pile.records // BLOB_RECORDS))
    each = -(-pile.records // blobs)
    for start in range(0, pile.records, each):
        part = columns if each >= pile.records else columns.part(start, start + each)
        yield Chunk(name, topic.number, partition, len(part.values), encode(part))

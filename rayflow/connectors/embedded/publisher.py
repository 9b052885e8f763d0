"""Publishes a job's output to the embedded log, each epoch in one LMDB transaction."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from rayflow.connectors.base import Publisher
from rayflow.connectors.embedded import layout
from rayflow.connectors.embedded.environment import Environment, LmdbTransaction
from rayflow.connectors.embedded.packing import Chunk, Packer
from rayflow.connectors.steps import BEGUN, COMMITTED, COMMITTING, MARKED, POSITIONED, PRODUCED
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import Fenced, InvariantBroken, UnknownTopic
from rayflow.core.ids import Marker, SinkTask, TopicPartition


def write_chunks(txn: LmdbTransaction, chunks: Iterable[Chunk]) -> None:
    """Add the chunks to their partitions. Raises UnknownTopic if a topic was deleted since they were packed."""
    known: set[tuple[str, int]] = set()
    for chunk in chunks:
        if (chunk.topic, chunk.number) not in known:
            if layout.find_topic(txn, chunk.topic).number != chunk.number:
                raise UnknownTopic("The topic was deleted and recreated while the job wrote to it", topic=chunk.topic)
            known.add((chunk.topic, chunk.number))
        layout.append(txn, chunk.number, chunk.partition, chunk.blob, chunk.count)


def pack(packer: Packer, environment: Environment, batches: Iterable[EncodedBatch]) -> Iterator[Chunk]:
    """The batches as chunks for the current topics. Raises UnknownTopic, RecordTooLarge."""
    topics: dict[str, layout.Topic] = {}

    def find(name: str) -> layout.Topic:
        if name not in topics:
            with environment.read() as txn:
                topics[name] = layout.find_topic(txn, name)
        return topics[name]

    def count(topic: layout.Topic) -> int:
        with environment.read() as txn:
            return sum(layout.end_of(txn, topic.number, partition) for partition in range(topic.partitions))

    return packer.pack(batches, find, count)


class EmbeddedPublisher(Publisher):
    """Packs records between steps, without a lock. Then one short transaction checks the fence and writes."""

    def __init__(self, environment: Environment, job: str, slot: int) -> None:
        self._environment = environment
        self._job = job
        self._slot = slot
        self._packer = Packer()
        self._fence: int | None = None
        self._running: Generator[str, None, None] | None = None
        self._closed = False

    def open(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        with self._environment.write() as txn:
            fence = layout.raise_fence(txn, self._job, self._slot)
            markers = {sink: layout.marker_of(txn, self._job, sink) for sink in sinks}
        self._fence = fence
        return markers

    def markers(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        with self._environment.read() as txn:
            return {sink: layout.marker_of(txn, self._job, sink) for sink in sinks}

    def publish(
        self,
        marker: Marker,
        outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
        positions: Mapping[TopicPartition, int],
    ) -> Iterator[str]:
        self._running = self._publish(marker, outputs, positions)
        return self._running

    def append(self, outputs: Sequence[EncodedBatch]) -> None:
        chunks = list(pack(self._packer, self._environment, outputs))
        with self._environment.write() as txn:
            self._check_fence(txn)
            write_chunks(txn, chunks)

    def flush(self) -> Iterator[str]:
        return iter(())

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._running is not None:
                self._running.close()
            self._environment.release()

    def _publish(
        self,
        marker: Marker,
        outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
        positions: Mapping[TopicPartition, int],
    ) -> Generator[str, None, None]:
        yield BEGUN
        chunks: list[Chunk] = []
        for chunk in pack(self._packer, self._environment, chain.from_iterable(outputs.values())):
            chunks.append(chunk)
            yield PRODUCED
        if not chunks:
            yield PRODUCED
        rows = [layout.marker_row(self._job, sink, marker) for sink in outputs]
        yield MARKED
        rows += [layout.position_row(self._job, place, position) for place, position in positions.items()]
        yield POSITIONED
        yield COMMITTING
        with self._environment.write() as txn:
            self._check_fence(txn)
            write_chunks(txn, chunks)
            for row in rows:
                txn.put(*row)
        yield COMMITTED

    def _check_fence(self, txn: LmdbTransaction) -> None:
        if self._fence is None:
            raise InvariantBroken("A publisher was used before it was opened", job=self._job)
        if layout.fence_of(txn, self._job, self._slot) != self._fence:
            raise Fenced(f"A newer publisher has been opened for slot {self._slot}", job=self._job)

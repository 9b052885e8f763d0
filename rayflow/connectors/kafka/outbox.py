"""Passes batches to a librdkafka producer, as many records as its queue accepts. No Python code runs per record."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import repeat
from operator import length_hint
from typing import Any

from confluent_kafka import KafkaError, Producer

from rayflow.core.batch import EncodedBatch

SLICE = 5_000
"""Records per step: about 5 ms."""

ANY_PARTITION = -1


class DeliveryErrors:
    """The failed deliveries of one producer: each cause once, with its topic."""

    def __init__(self) -> None:
        self.causes: dict[tuple[int, str], KafkaError] = {}

    def on_delivery(self, error: KafkaError | None, message: Any) -> None:
        """librdkafka's delivery report, which is called only for failures."""
        if error is not None:
            self.causes.setdefault((error.code(), message.topic()), error)


class Outbox:
    """Batches that wait for room in a producer's queue, in order.

    Attributes:
        handed: the number of records that the queue has accepted so far.
    """

    def __init__(self, producer: Producer, batches: Iterable[EncodedBatch] = ()) -> None:
        self._produce = producer.produce
        self._batches = deque(batches)
        self._at = 0
        self.handed = 0

    def add(self, batches: Iterable[EncodedBatch]) -> None:
        """Queue more batches."""
        self._batches.extend(batches)

    def __bool__(self) -> bool:
        return bool(self._batches)

    def __len__(self) -> int:
        """The number of records that were not passed on yet."""
        return sum(map(len, self._batches)) - self._at

    @property
    def topic(self) -> str | None:
        """The topic of the next record."""
        return self._batches[0].topic if self._batches else None

    def feed(self) -> bool:
        """Pass on up to a slice of records. False if the producer's queue is full.

        Raises KafkaException for a record of the current batch (see `topic`).
        """
        room = SLICE
        while self._batches and room > 0:
            batch, start = self._batches[0], self._at
            end = min(start + room, len(batch))
            stamps = batch.timestamps[start:end]
            if stamps and min(stamps) < 1:  # librdkafka interprets 0 as "now", and a broker refuses negative times
                stamps = [max(1, stamp) for stamp in stamps]
            partition = ANY_PARTITION if batch.partition is None else batch.partition
            values = iter(batch.values[start:end])
            columns: list[Iterable[Any]] = [values, batch.keys[start:end], repeat(partition), repeat(None)]
            columns += [repeat(None), stamps]
            if batch.headers is not None:
                columns.append(batch.headers[start:end])
            try:
                deque(map(self._produce, repeat(batch.topic), *columns), maxlen=0)
            except BufferError:
                # The iterator is already past the record that found no room.
                self._at = end - length_hint(values) - 1
                self.handed += self._at - start
                return False
            room -= end - start
            self.handed += end - start
            self._at = end
            if end == len(batch):
                self._batches.popleft()
                self._at = 0
        return True

"""Hands batches to a librdkafka producer, as many records as its queue takes: no Python code runs per record."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import repeat
from operator import length_hint
from typing import Any

from confluent_kafka import KafkaError, Producer

from rayflow.core.batch import EncodedBatch

SLICE = 5_000
"""Records handed over in one step: about 5 ms."""

ANY_PARTITION = -1


class DeliveryErrors:
    """The deliveries of one producer that failed: each cause once, with its topic."""

    def __init__(self) -> None:
        self.causes: dict[tuple[int, str], KafkaError] = {}

    def on_delivery(self, error: KafkaError | None, message: Any) -> None:
        """librdkafka's delivery report, asked for failures only."""
        if error is not None:
            self.causes.setdefault((error.code(), message.topic()), error)


class Outbox:
    """Batches on their way into a producer's queue, in order.

    Attributes:
        handed: how many records the queue has taken so far.
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
        """Records not handed over yet."""
        return sum(map(len, self._batches)) - self._at

    @property
    def topic(self) -> str | None:
        """The topic of the record to hand over next."""
        return self._batches[0].topic if self._batches else None

    def feed(self) -> bool:
        """Hand over up to a slice of records; false when the producer's queue is full.

        Raises KafkaException for a record of the batch at which the outbox stands then (see `topic`).
        """
        room = SLICE
        while self._batches and room > 0:
            batch, start = self._batches[0], self._at
            end = min(start + room, len(batch))
            stamps = batch.timestamps[start:end]
            if stamps and min(stamps) < 1:  # librdkafka takes 0 for "now", and a broker refuses negative times
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
                # The record that found no room has been taken from the iterator.
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

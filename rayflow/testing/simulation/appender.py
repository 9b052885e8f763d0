"""The model's at-least-once publisher: records are sent at once, and lost if the process dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rayflow.connectors.base import Publisher
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import BrokerUnavailable
from rayflow.core.ids import Marker, SinkTask, TopicPartition
from rayflow.testing.simulation.kafka import Entry, ModelKafka
from rayflow.testing.simulation.schedule import Schedule


class ModelAppender(Publisher):
    """Sends records one after the other, in the background, while its process lives. Fences nothing."""

    def __init__(self, kafka: ModelKafka, schedule: Schedule, job: str, owner: Any) -> None:
        self._kafka = kafka
        self._schedule = schedule
        self._job = job
        self._owner = owner
        self._waiting: deque[tuple[TopicPartition, Entry]] = deque()
        self._sending = False

    def open(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        if self._kafka.away:
            raise BrokerUnavailable("the broker is away")
        return self.markers(sinks)

    def markers(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        return dict.fromkeys(sinks)

    def publish(
        self,
        marker: Marker,
        outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
        positions: Mapping[TopicPartition, int],
    ) -> Iterator[str]:
        shown = {(self._job, *place): (position, str(marker.epoch)) for place, position in positions.items()}
        self._kafka.commit_offsets(shown)
        yield "committed"

    def append(self, outputs: Sequence[EncodedBatch]) -> None:
        for batch in outputs:
            for key, value, timestamp in zip(batch.keys, batch.values, batch.timestamps, strict=True):
                entry = Entry(key, value, timestamp, owner=self._owner)
                self._waiting.append((self._kafka.place_of(batch, key), entry))
        if self._waiting and not self._sending:
            self._sending = True
            self._schedule.after(self._schedule.random.randrange(50, 3000), self._send)

    def flush(self) -> Iterator[str]:
        while self._waiting:
            yield "waiting"

    def close(self) -> None:
        """Does nothing: there are no resources."""

    def _send(self) -> None:
        random = self._schedule.random
        if not self._owner.alive and random.random() < 0.5:
            self._waiting.clear()
        if not self._kafka.away:
            for _ in range(min(len(self._waiting), random.randrange(1, 20))):
                self._kafka.append(*self._waiting.popleft())
        self._sending = bool(self._waiting)
        if self._sending:
            self._schedule.after(random.randrange(50, 50_000 if self._kafka.away else 3000), self._send)

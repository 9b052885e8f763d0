"""The model's reader: delivers committed records of the assigned partitions, in random portions."""

from __future__ import annotations

from collections.abc import Mapping

from rayflow.connectors.base import Polled, Reader
from rayflow.core.batch import Batch, Origin
from rayflow.core.errors import SourceDataLost
from rayflow.core.ids import TopicPartition
from rayflow.testing.simulation.kafka import ModelKafka
from rayflow.testing.simulation.schedule import Schedule


class ModelReader(Reader):
    """Reads from the model broker. A poll returns a random part of the available records."""

    def __init__(self, kafka: ModelKafka, schedule: Schedule) -> None:
        self._kafka = kafka
        self._schedule = schedule
        self._positions: dict[TopicPartition, int] = {}
        self._paused = False

    def assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        for place, position in positions.items():
            end = self._kafka.end_of(place)
            if position is not None and position > end:
                raise SourceDataLost("The partition ends before", topic=place.topic, partition=place.partition)
        self._positions = {place: position or 0 for place, position in positions.items()}

    def poll(self, max_records: int, timeout: float) -> list[Polled]:
        if self._paused or self._kafka.away:
            return []
        random = self._schedule.random
        found: list[Polled] = []
        room = max_records
        for place, position in self._positions.items():
            if position == self._kafka.stable(place) or random.random() < 0.3:
                continue
            most = min(room, random.randrange(1, max_records + 1))
            if not most:
                continue
            entries, after = self._kafka.fetch(place, position, most)
            self._positions[place] = after
            room -= len(entries)
            records = [entry for _, entry in entries]
            found.append(
                Polled(
                    Batch.read(
                        Origin(*place),
                        [entry.key for entry in records],
                        [entry.value for entry in records],
                        [entry.timestamp for entry in records],
                        [offset for offset, _ in entries],
                    ),
                    after,
                )
            )
        return found

    def ends(self, timeout: float = 30.0) -> dict[TopicPartition, int]:
        return {place: self._kafka.end_of(place) for place in self._positions}

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    @property
    def outage(self) -> str | None:
        return "the broker is away" if self._kafka.away else None

    def close(self) -> None:
        self._positions = {}

"""Reads partitions of the embedded log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from rayflow.connectors.base import Polled, Reader
from rayflow.connectors.embedded import layout
from rayflow.connectors.embedded.blob import Columns, Damaged, decode, joined
from rayflow.connectors.embedded.environment import ADVICE, Environment, LmdbTransaction
from rayflow.core.batch import Batch, Origin
from rayflow.core.errors import DamagedObject, SourceDataLost, UnknownTopic
from rayflow.core.errors.brokers import RECREATED
from rayflow.core.ids import Epoch, TopicPartition

_PAUSE = 0.005
"""Seconds between two checks of a log that has not changed."""
_POLL_BYTES = 16 << 20
"""A poll stops after this many stored bytes."""


@dataclass(slots=True)
class _Assigned:
    """A partition that is read, and the stored batch that contains its position: where it begins, and its records."""

    place: TopicPartition
    topic: int
    position: int
    stored: tuple[int, Columns] | None = None


class EmbeddedReader(Reader):
    """Reads in short transactions, and looks for new commits every few ms while it waits."""

    def __init__(self, environment: Environment, group: str) -> None:
        self._environment = environment
        self._group = group
        self._assigned: deque[_Assigned] = deque()
        self._paused = False
        self._closed = False
        self._nothing_after: int | None = None

    def assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        assigned: deque[_Assigned] = deque()
        with self._environment.read() as txn:
            for place, position in positions.items():
                topic = layout.find_topic(txn, place.topic)
                if not 0 <= place.partition < topic.partitions:
                    raise UnknownTopic(
                        f"The topic has no such partition, only {topic.partitions}",
                        topic=place.topic,
                        partition=place.partition,
                    )
                end = layout.end_of(txn, topic.number, place.partition)
                if position is not None and not 0 <= position <= end:
                    raise SourceDataLost(
                        f"The partition ends at {end}: the topic was deleted and recreated",
                        topic=place.topic,
                        partition=place.partition,
                        offset=position,
                        advice=RECREATED,
                    )
                assigned.append(_Assigned(place, topic.number, position or 0))
        self._assigned = assigned
        self._nothing_after = None

    def poll(self, max_records: int, timeout: float) -> list[Polled]:
        limit = time.monotonic() + timeout
        while True:
            polled = self._look(max_records)
            left = limit - time.monotonic()
            if polled or left <= 0:
                return polled
            time.sleep(min(_PAUSE, left))

    def ends(self, timeout: float = 30.0) -> dict[TopicPartition, int]:
        with self._environment.read() as txn:
            return {one.place: layout.end_of(txn, one.topic, one.place.partition) for one in self._assigned}

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def commit(self, positions: Mapping[TopicPartition, int], epoch: Epoch) -> None:
        with self._environment.write() as txn:
            for place, position in positions.items():
                txn.put(*layout.position_row(self._group, place, position))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._assigned.clear()
            self._environment.release()

    def _look(self, max_records: int) -> list[Polled]:
        if self._paused or not self._assigned or self._environment.commits == self._nothing_after:
            return []
        polled: list[Polled] = []
        room = _POLL_BYTES
        with self._environment.read() as txn:
            # The state that this transaction sees may be one commit older than `commits`.
            seen = txn.id()
            for name, number in {(one.place.topic, one.topic) for one in self._assigned}:
                if layout.find_topic(txn, name).number != number:
                    raise UnknownTopic("The topic was deleted and recreated while the job read it", topic=name)
            for one in self._assigned:
                end = layout.end_of(txn, one.topic, one.place.partition)
                if one.position < end and max_records > 0 and room > 0:
                    found, size = self._take(txn, one, min(end, one.position + max_records), room)
                    polled.append(found)
                    max_records -= len(found.batch)
                    room -= size
        # The next poll starts with another partition, so that a long one does not starve the others.
        self._assigned.rotate(-1)
        self._nothing_after = None if polled else seen
        return polled

    def _take(self, txn: LmdbTransaction, one: _Assigned, stop: int, room: int) -> tuple[Polled, int]:
        """Records from the position to `stop`, or fewer if they are large; and the number of stored bytes that were
        read."""
        start, size = one.position, 0
        pieces: list[Columns] = []
        while one.position < stop and size < room:
            if one.stored is None:
                one.stored, read = self._load(txn, one)
                size += read
            base, columns = one.stored
            first, last = one.position - base, min(stop - base, len(columns.values))
            pieces.append(columns if last - first == len(columns.values) else columns.part(first, last))
            one.position = base + last
            if last == len(columns.values):
                one.stored = None
        keys, values, timestamps, headers = joined(pieces)
        batch = Batch.read(Origin(*one.place), keys, values, timestamps, range(start, one.position), headers)
        return Polled(batch, one.position), size

    def _load(self, txn: LmdbTransaction, one: _Assigned) -> tuple[tuple[int, Columns], int]:
        """The stored batch at the position, where it begins and its records; and its size in stored bytes."""
        found = layout.batch_at(txn, one.topic, one.place.partition, one.position)
        try:
            if found is None:
                raise Damaged("a record batch is missing")
            base, blob = found
            columns = decode(blob)
            if one.position >= base + len(columns.values):
                raise Damaged("a record batch is shorter than it was")
        except Damaged as error:
            raise DamagedObject(
                f"The embedded log at {self._environment.path} is damaged: {error}",
                topic=one.place.topic,
                partition=one.place.partition,
                offset=one.position,
                advice=ADVICE,
            ) from error
        return (base, columns), len(blob)

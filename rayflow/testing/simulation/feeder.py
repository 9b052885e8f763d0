"""Writes a simulation's input over time."""

from __future__ import annotations

from collections.abc import Mapping

from rayflow.core.hashing import partition_of
from rayflow.core.ids import WATERMARK_MIN, TopicPartition
from rayflow.testing.simulation.jobs import OTHER, TOPIC, InputRecord, Shape, draw_record
from rayflow.testing.simulation.kafka import Entry, ModelKafka
from rayflow.testing.simulation.schedule import Schedule


class Feeder:
    """Writes records in bursts, keyed by user, with occasional gaps like those of transactions.

    If idle partitions do not hold event time back, some of them get no records for a time. The seed draws how many
    exist.

    Attributes:
        places: every partition of the input, in the order of their creation; the lists below have the same order.
        entries: the entry at each position of each partition; None: a gap.
        inputs: the same without the gaps.
        written: when each entry was written (virtual time, microseconds).
        newest: the newest event time up to and including each entry (ms).
        met: by record, the watermark of its own partition when it is read, however records are batched (ms).
        quiet: partitions that currently get no records.
        done: whether everything is written.
        seconds: the duration of writing.
        records: their number.
    """

    def __init__(self, schedule: Schedule, kafka: ModelKafka, shape: Shape, records: int | None = None) -> None:
        self._schedule = schedule
        self._kafka = kafka
        self._shape = shape
        self.places: list[TopicPartition] = []
        self.entries: list[list[InputRecord | None]] = []
        self.inputs: list[list[InputRecord]] = []
        self.written: list[list[int]] = []
        self.newest: list[list[int]] = []
        self.met: dict[int, int] = {}
        self._indexes: dict[tuple[str, int], int] = {}
        self._topics = {TOPIC: 0, **({OTHER: 0} if shape.other else {})}
        for topic in self._topics:
            self.grow(kafka.topics[topic], topic)
        self.seconds: float = schedule.random.choice((2, 5, 10))
        self.done = False
        drawn = schedule.random.choice((30, 100, 300))
        self.resize(records or drawn, self.seconds)
        self._id = 0
        self._newest = 1_000_000
        self.quiet: set[int] = set()

    def grow(self, partitions: int, topic: str = TOPIC) -> None:
        """Write to more partitions from now on."""
        self._kafka.grow(topic, partitions)
        for p in range(self._topics[topic], partitions):
            self._indexes[topic, p] = len(self.places)
            self.places.append(TopicPartition(topic, p))
            for column in (self.entries, self.inputs, self.written, self.newest):
                column.append([])
        self._topics[topic] = partitions

    def resize(self, records: int, seconds: float) -> None:
        """Set another number of records, or another duration, before the start."""
        self.records, self.seconds, self._left = records, seconds, records
        self._pause = max(1000, int(seconds * 1_000_000) // records * 6)

    def start(self) -> None:
        """Begin."""
        self._schedule.after(1000, self._burst)

    def reaching(self, branch: str) -> list[list[InputRecord]]:
        """`inputs` of the partitions whose records reach a branch."""
        topics = self._shape.topics_of(branch)
        return [records for place, records in zip(self.places, self.inputs, strict=True) if place.topic in topics]

    def read(self, positions: Mapping[tuple[str, int], int], branch: str = "") -> list[list[InputRecord]]:
        """The records before these positions, by source and partition; of one branch, or all."""
        topics = self._shape.topics_of(branch)
        found: list[list[InputRecord]] = []
        for place, entries in zip(self.places, self.entries, strict=True):
            if place.topic in topics:
                found.append([record for record in entries[: positions.get(place, 0)] if record is not None])
        return found

    def at(self, place: tuple[str, int]) -> int:
        """The index of a partition in the lists, by its source and number."""
        return self._indexes[place]

    def has(self, place: tuple[str, int]) -> bool:
        """Whether the partition exists already."""
        return place in self._indexes

    def watermark(self, place: tuple[str, int], position: int) -> int:
        """The watermark of a partition that was read up to a position."""
        newest = self.newest[self.at(place)][position - 1] if position else WATERMARK_MIN
        return newest if newest == WATERMARK_MIN else newest - self._shape.disorder - 1

    def _burst(self) -> None:
        random = self._schedule.random
        if self._shape.idle and self._schedule.chance(0.1, "partitions idle"):
            self.quiet = {at for at in range(len(self.places)) if random.random() < 0.4}
        for _ in range(min(self._left, random.randrange(1, 12))):
            self._left -= 1
            self._newest += random.randrange(40)
            self._id += 1
            record, at = self._draw()
            if random.random() < 0.05:
                self._write(at, None)
            self._write(at, record)
        if self._left:
            self._schedule.after(random.randrange(1000, 2 * self._pause), self._burst)
        else:
            self.done = True

    def _draw(self) -> tuple[InputRecord, int]:
        """A record and its partition; the partition is not quiet, if a few tries find such a one."""
        random, shape = self._schedule.random, self._shape
        for _ in range(5):
            topic = OTHER if shape.other and random.random() < 0.4 else TOPIC
            newest = self._newest - (shape.lag if topic == OTHER else 0)
            record = draw_record(random, shape, self._id, newest)
            p = partition_of(record.user.encode(), self._topics[topic])
            at = self.at((topic, p))
            if at not in self.quiet:
                break
        return record, at

    def _write(self, at: int, record: InputRecord | None) -> None:
        entry = Entry(None, None, 0, control=True)
        newest = self.newest[at][-1] if self.newest[at] else WATERMARK_MIN
        if record is not None:
            entry = Entry(record.user.encode(), record.encoded(), record.ts)
            self.inputs[at].append(record)
            self.met[record.id] = self.watermark(self.places[at], len(self.entries[at]))
            newest = max(newest, record.ts)
        self._kafka.append(self.places[at], entry)
        self.entries[at].append(record)
        self.written[at].append(self._schedule.now)
        self.newest[at].append(newest)

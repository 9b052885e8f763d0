"""Feeds a simulation's input over time."""

from __future__ import annotations

from rayflow.core.hashing import partition_of
from rayflow.core.ids import TopicPartition
from rayflow.testing.simulation.jobs import TOPIC, Record, Shape, draw_record
from rayflow.testing.simulation.kafka import Entry, ModelKafka
from rayflow.testing.simulation.schedule import Schedule


class Feeder:
    """Writes records in bursts, keyed by user; now and then a gap, as transactions leave.

    Where idle partitions do not hold time back, some get no records for a time. The seed draws how many there are.

    Attributes:
        entries: what lies at each position of each partition; None: a gap. inputs: the same without the gaps.
        quiet: partitions that get no records at present. done: whether all is written.
        seconds: for how long it feeds. records: how many.
    """

    def __init__(self, schedule: Schedule, kafka: ModelKafka, shape: Shape, records: int | None = None) -> None:
        self._schedule = schedule
        self._kafka = kafka
        self._shape = shape
        self.entries: list[list[Record | None]] = [[] for _ in range(shape.partitions)]
        self.inputs: list[list[Record]] = [[] for _ in range(shape.partitions)]
        self.seconds: float = schedule.random.choice((2, 5, 10))
        self.done = False
        drawn = schedule.random.choice((30, 100, 300))
        self.resize(records or drawn, self.seconds)
        self._id = 0
        self._newest = 1_000_000
        self.quiet: set[int] = set()

    def grow(self, partitions: int) -> None:
        """Write to more partitions from now on."""
        self._kafka.grow(TOPIC, partitions)
        while len(self.entries) < partitions:
            self.entries.append([])
            self.inputs.append([])

    def resize(self, records: int, seconds: float) -> None:
        """Before the start: another number of records, or another time."""
        self.records, self.seconds, self._left = records, seconds, records
        self._pause = max(1000, int(seconds * 1_000_000) // records * 6)

    def start(self) -> None:
        """Begin."""
        self._schedule.after(1000, self._burst)

    def _burst(self) -> None:
        random = self._schedule.random
        if self._shape.idle and self._schedule.chance(0.1, "partitions idle"):
            self.quiet = {p for p in range(len(self.entries)) if random.random() < 0.4}
        for _ in range(min(self._left, random.randrange(1, 12))):
            self._left -= 1
            self._newest += random.randrange(40)
            self._id += 1
            record, p = self._draw()
            place = TopicPartition(TOPIC, p)
            if random.random() < 0.05:
                self._kafka.append(place, Entry(None, None, 0, control=True))
                self.entries[p].append(None)
            self._kafka.append(place, Entry(record.user.encode(), record.encoded(), record.ts))
            self.entries[p].append(record)
            self.inputs[p].append(record)
        if self._left:
            self._schedule.after(random.randrange(1000, 2 * self._pause), self._burst)
        else:
            self.done = True

    def _draw(self) -> tuple[Record, int]:
        """A record and its partition: one that is not quiet, if a few tries find it."""
        for _ in range(5):
            record = draw_record(self._schedule.random, self._shape, self._id, self._newest)
            p = partition_of(record.user.encode(), len(self.entries))
            if p not in self.quiet:
                break
        return record, p

"""A model of Kafka: partitions, transactions with fencing, the last stable offset, committed offsets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import BrokerUnavailable, Fenced, UnknownTopic
from rayflow.core.hashing import murmur2
from rayflow.core.ids import TopicPartition
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.schedule import Schedule

TRANSACTION_TIMEOUT = 10_000_000
"""Microseconds after which the broker ends an open transaction and fences its producer."""


@dataclass(eq=False, slots=True)
class Transaction:
    """One transaction. `state` is "open", "committed" or "aborted"."""

    id: str
    epoch: int
    began: int
    state: str = "open"
    firsts: dict[TopicPartition, int] = field(default_factory=dict)
    offsets: dict[tuple[str, str, int], tuple[int, str]] = field(default_factory=dict)


@dataclass(slots=True)
class Entry:
    """One position of a partition: a record, or (`control`) a gap that readers never see."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    transaction: Transaction | None = None
    control: bool = False


class ModelKafka:
    """The broker. Every call is one request; while the broker is away each raises BrokerUnavailable."""

    def __init__(self, schedule: Schedule, faults: Callable[[], Faults]) -> None:
        self.away = False
        self.logs: dict[TopicPartition, list[Entry]] = {}
        self.topics: dict[str, int] = {}
        self.offsets: dict[tuple[str, str, int], tuple[int, str]] = {}
        self.markers_set: list[tuple[tuple[str, str, int], int, str]] = []
        self._schedule = schedule
        self._faults = faults
        self._epochs: dict[str, int] = {}
        self._open: dict[str, Transaction] = {}

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic, if it is not there."""
        if topic not in self.topics:
            self.topics[topic] = partitions
            self.logs.update({TopicPartition(topic, p): [] for p in range(partitions)})

    def append(self, place: TopicPartition, entry: Entry) -> None:
        """Write without a transaction: what the world outside of the job does."""
        self.logs[place].append(entry)

    def fetch(self, place: TopicPartition, position: int, most: int) -> tuple[list[tuple[int, Entry]], int]:
        """Committed records from a position on, with their positions, and where to go on."""
        self._reach()
        end = self.stable(place)
        found: list[tuple[int, Entry]] = []
        log = self.logs[place]
        while position < end and len(found) < most:
            entry = log[position]
            visible = entry.transaction is None or entry.transaction.state == "committed"
            if visible and not entry.control:
                found.append((position, entry))
            position += 1
        return found, position

    def stable(self, place: TopicPartition) -> int:
        """The last stable offset."""
        ends = [transaction.firsts[place] for transaction in self._open.values() if place in transaction.firsts]
        return min([len(self.logs[place]), *ends])

    def committed(self, topic: str) -> list[tuple[int, Entry]]:
        """Everything that a read_committed reader sees of a topic: partition and record, in order."""
        found: list[tuple[int, Entry]] = []
        for p in range(self.topics.get(topic, 0)):
            place = TopicPartition(topic, p)
            end = self.stable(place)
            for entry in self.logs[place][:end]:
                if not entry.control and (entry.transaction is None or entry.transaction.state == "committed"):
                    found.append((p, entry))
        return found

    # Transactions

    def init(self, id: str) -> int:
        """Fence older producers of the id, end their transaction; the new producer's epoch."""
        self._reach()
        self._epochs[id] = self._epochs.get(id, -1) + 1
        if id in self._open:
            self._end(self._open[id], "aborted")
        return self._epochs[id]

    def epoch(self, id: str) -> int:
        """The id's present epoch."""
        return self._epochs.get(id, -1)

    def begin(self, id: str, epoch: int) -> Transaction:
        """Begin a transaction. The broker hears of it only with what is put in."""
        return Transaction(id, epoch, self._schedule.now)

    def produce(self, transaction: Transaction, batch: EncodedBatch) -> None:
        """Add records. Raises Fenced, UnknownTopic."""
        self._enter(transaction)
        if batch.topic not in self.topics:
            raise UnknownTopic("the topic is not there", topic=batch.topic)
        partitions = self.topics[batch.topic]
        for key, value, timestamp in zip(batch.keys, batch.values, batch.timestamps, strict=True):
            p = batch.partition if batch.partition is not None else murmur2(key or b"") % partitions
            place = TopicPartition(batch.topic, p)
            transaction.firsts.setdefault(place, len(self.logs[place]))
            self.logs[place].append(Entry(key, value, timestamp, transaction))

    def add_offsets(self, transaction: Transaction, group: str, offsets: dict[TopicPartition, tuple[int, str]]) -> None:
        """Add offsets of a group. Raises Fenced."""
        self._enter(transaction)
        for place, offset in offsets.items():
            transaction.offsets[(group, *place)] = offset

    def end(self, transaction: Transaction, answer: Callable[[str], None]) -> None:
        """Ask for the commit. `answer` is called with "done", "fenced" or "lost"; a lost one may have had effect."""
        self._reach()
        random = self._schedule.random
        lost = self._schedule.chance(self._faults().commit_answer_lost, f"no answer to a commit of {transaction.id}")
        never = lost and random.random() < 0.4

        def take_effect() -> None:
            if self.away and random.random() < 0.5:
                self._schedule.after(50_000, take_effect)
                return
            outcome = "done"
            if transaction.epoch != self._epochs[transaction.id] or transaction.state == "aborted":
                outcome = "fenced"
            elif not never and transaction.state == "open":
                self._end(transaction, "committed")
            self._schedule.after(random.randrange(50, 2_000), lambda: answer("lost" if lost else outcome))

        self._schedule.after(random.randrange(100, 20_000 if lost else 3_000), take_effect)

    def read_offsets(self, group: str, places: list[TopicPartition]) -> dict[TopicPartition, tuple[int, str]]:
        """The stable offsets of a group. Raises BrokerUnavailable while a transaction that holds newer ones is open."""
        self._reach()
        wanted = {(group, *place) for place in places}
        if any(not wanted.isdisjoint(transaction.offsets) for transaction in self._open.values()):
            raise BrokerUnavailable("offsets are not stable yet")
        return {place: self.offsets[(group, *place)] for place in places if (group, *place) in self.offsets}

    def open_transactions(self) -> list[str]:
        """The ids that have a transaction open."""
        return sorted(self._open)

    def _enter(self, transaction: Transaction) -> None:
        self._reach()
        if transaction.epoch != self._epochs[transaction.id] or transaction.state == "aborted":
            raise Fenced("A newer publisher of this job has taken over")
        if transaction.id not in self._open:
            self._open[transaction.id] = transaction
            self._schedule.after(TRANSACTION_TIMEOUT, lambda: self._expire(transaction))

    def _expire(self, transaction: Transaction) -> None:
        if self._open.get(transaction.id) is transaction:
            self._epochs[transaction.id] += 1
            self._end(transaction, "aborted")

    def _end(self, transaction: Transaction, state: str) -> None:
        self._open.pop(transaction.id, None)
        transaction.state = state
        for place in transaction.firsts:
            self.logs[place].append(Entry(None, None, 0, control=True))
        if state == "committed":
            self.commit_offsets(transaction.offsets)

    def commit_offsets(self, offsets: dict[tuple[str, str, int], tuple[int, str]]) -> None:
        """Set offsets of groups."""
        self.offsets.update(offsets)
        self.markers_set += [(place, *offset) for place, offset in offsets.items() if place[0].endswith("-markers")]

    def _reach(self) -> None:
        if self.away:
            raise BrokerUnavailable("the broker is away")

"""A model of Kafka: partitions, transactions with fencing, the last stable offset, committed offsets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random
from typing import Any, TypeAlias

from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import BrokerUnavailable, Fenced, UnknownTopic
from rayflow.core.hashing import murmur2
from rayflow.core.ids import TopicPartition
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.schedule import Schedule

MarkerSet = tuple[tuple[str, str, int], int, str]
"""Group, sink operator and partition; the epoch; the stored marker."""

TRANSACTION_TIMEOUT = 10_000_000
"""Microseconds after which the broker aborts an open transaction and fences its producer."""

OffsetPlace: TypeAlias = tuple[str, str, int]
"""Group, topic, partition."""


@dataclass(eq=False, slots=True)
class ModelTransaction:
    """One transaction.

    Attributes:
        owner: the process that uses it.
        state: "open", "committed" or "aborted".
        entered: whether the broker knows it.
        firsts: its first record in each partition in which its end is not visible yet.
        offsets: the offsets that it sets.
        order: when each was written.
        groups: those in which its end is not visible yet.
    """

    id: str
    epoch: int
    began: int
    owner: Any = None
    state: str = "open"
    entered: bool = False
    firsts: dict[TopicPartition, int] = field(default_factory=dict)
    offsets: dict[OffsetPlace, tuple[int, str]] = field(default_factory=dict)
    order: dict[OffsetPlace, int] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Entry:
    """One position of a partition: a record, or (`control`) a gap that readers never see. `owner`: the process that
    wrote it without a transaction."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    transaction: ModelTransaction | None = None
    control: bool = False
    owner: Any = None


class ModelKafka:
    """The broker. Every call is one request. While the broker is unavailable, each call raises BrokerUnavailable.

    Like Kafka, it answers the end of a transaction when it has decided. The end becomes visible a little later, in one
    partition and one group after the other.

    Attributes:
        markers_set: every marker that has become visible, in order.
        published: those committed together with records.
        on_markers: called with the markers that become visible, and their owner.
    """

    def __init__(self, schedule: Schedule, faults: Callable[[], Faults]) -> None:
        self.away = False
        self.logs: dict[TopicPartition, list[Entry]] = {}
        self.topics: dict[str, int] = {}
        self.offsets: dict[OffsetPlace, tuple[int, str]] = {}
        self.markers_set: list[MarkerSet] = []
        self.published: list[MarkerSet] = []
        self.on_markers: Callable[[Any, list[MarkerSet]], None] = lambda owner, markers: None
        self._schedule = schedule
        self._faults = faults
        self._epochs: dict[str, int] = {}
        self._open: dict[str, ModelTransaction] = {}
        self._decided: dict[str, ModelTransaction] = {}
        self._order: dict[OffsetPlace, int] = {}
        self._number = count()
        self._delays = Random(0)  # separate: a seed draws the same with and without transactions in flight

    def create(self, topic: str, partitions: int) -> None:
        """Create a topic, if it does not exist."""
        if topic not in self.topics:
            self.topics[topic] = partitions
            self.logs.update({TopicPartition(topic, p): [] for p in range(partitions)})

    def grow(self, topic: str, partitions: int) -> None:
        """Add partitions to a topic."""
        for p in range(self.topics[topic], partitions):
            self.logs[TopicPartition(topic, p)] = []
        self.topics[topic] = partitions

    def append(self, place: TopicPartition, entry: Entry) -> None:
        """Write without a transaction, like a producer outside of the job."""
        self.logs[place].append(entry)

    def fetch(self, place: TopicPartition, position: int, most: int) -> tuple[list[tuple[int, Entry]], int]:
        """Committed records from a position on, with their positions, and the next position."""
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

    def end_of(self, place: TopicPartition) -> int:
        """The last stable offset, as a client requests it. Raises UnknownTopic."""
        self._reach()
        if place not in self.logs:
            raise UnknownTopic("the partition is not there", topic=place.topic, partition=place.partition)
        return self.stable(place)

    def stable(self, place: TopicPartition) -> int:
        """The last stable offset."""
        undecided = [*self._open.values(), *self._decided.values()]
        ends = [transaction.firsts[place] for transaction in undecided if place in transaction.firsts]
        return min([len(self.logs[place]), *ends])

    def committed(self, topic: str) -> list[tuple[int, Entry]]:
        """All records of a topic that a read_committed reader sees: partition and record, in order."""
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
        """Fence older producers of the id, and end their transaction. Returns the new producer's epoch.

        Raises BrokerUnavailable while the end of a transaction of the id is not visible everywhere.
        """
        self._reach()
        if id in self._open:
            self._epochs[id] += 1
            self._end(self._open[id], "aborted")
        self._wait_for_the_last(id)
        self._epochs[id] = self._epochs.get(id, -1) + 1
        return self._epochs[id]

    def epoch(self, id: str) -> int:
        """The current epoch of the id."""
        return self._epochs.get(id, -1)

    def begin(self, id: str, epoch: int, owner: Any) -> ModelTransaction:
        """Begin a transaction. The broker learns about it only with its first contents."""
        return ModelTransaction(id, epoch, self._schedule.now, owner)

    def place_of(self, batch: EncodedBatch, key: bytes | None) -> TopicPartition:
        """The partition of a batch's record. Raises UnknownTopic."""
        if batch.topic not in self.topics:
            raise UnknownTopic("the topic is not there", topic=batch.topic)
        p = batch.partition if batch.partition is not None else murmur2(key or b"") % self.topics[batch.topic]
        return TopicPartition(batch.topic, p)

    def produce(self, transaction: ModelTransaction, batch: EncodedBatch) -> None:
        """Add records. Raises Fenced, UnknownTopic."""
        self.partitions(batch.topic)
        if len(batch):
            self._enter(transaction)
        for key, value, timestamp in zip(batch.keys, batch.values, batch.timestamps, strict=True):
            place = self.place_of(batch, key)
            transaction.firsts.setdefault(place, len(self.logs[place]))
            self.logs[place].append(Entry(key, value, timestamp, transaction))

    def add_offsets(
        self, transaction: ModelTransaction, group: str, offsets: dict[TopicPartition, tuple[int, str]]
    ) -> None:
        """Add offsets of a group. Raises Fenced."""
        if offsets:
            self._enter(transaction)
            transaction.groups.add(group)
        for place, offset in offsets.items():
            transaction.offsets[(group, *place)] = offset
            transaction.order[(group, *place)] = next(self._number)

    def end(self, transaction: ModelTransaction, answer: Callable[[str], None]) -> None:
        """Request the commit. `answer` is called with "done", "fenced" or "lost"; a lost one may have taken effect.

        The broker receives no request for an empty transaction, because it never learned about it.
        """
        if not transaction.entered:
            answer("done")
            return
        self._reach()
        random = self._schedule.random
        lost = self._schedule.chance(self._faults().commit_answer_lost, "commit answer lost", transaction.id)
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

    def abort(self, transaction: ModelTransaction) -> None:
        """Abort a transaction. Raises Fenced."""
        if transaction.entered:
            self._enter(transaction)
            self._end(transaction, "aborted")

    def read_offsets(
        self, group: str, places: list[TopicPartition], *, stable: bool = True
    ) -> dict[TopicPartition, tuple[int, str]]:
        """The committed offsets of a group. `stable`: BrokerUnavailable while a transaction with newer ones is open."""
        self._reach()
        wanted = {(group, *place) for place in places}
        undecided = [*self._open.values(), *self._decided.values()]
        if stable and any(place in wanted and place[0] in one.groups for one in undecided for place in one.offsets):
            raise BrokerUnavailable("offsets are not stable yet")
        return {place: self.offsets[(group, *place)] for place in places if (group, *place) in self.offsets}

    def open_transactions(self) -> list[str]:
        """The ids with a transaction whose end is not visible everywhere yet."""
        return sorted({*self._open, *self._decided})

    def settling(self) -> bool:
        """Whether the end of a transaction is decided but not visible everywhere yet."""
        return bool(self._decided)

    def partitions(self, topic: str) -> int:
        """The number of partitions of a topic. Raises UnknownTopic."""
        self._reach()
        if topic not in self.topics:
            raise UnknownTopic("the topic is not there", topic=topic)
        return self.topics[topic]

    def _enter(self, transaction: ModelTransaction) -> None:
        self._reach()
        if transaction.epoch != self._epochs[transaction.id] or transaction.state == "aborted":
            raise Fenced("A newer publisher of this job has taken over")
        if transaction.id not in self._open:
            self._wait_for_the_last(transaction.id)
            self._open[transaction.id] = transaction
            transaction.entered = True
            self._schedule.after(TRANSACTION_TIMEOUT, lambda: self._expire(transaction))

    def _wait_for_the_last(self, id: str) -> None:
        if id in self._decided:
            raise BrokerUnavailable("the end of the last transaction does not show everywhere yet")

    def _expire(self, transaction: ModelTransaction) -> None:
        if self._open.get(transaction.id) is transaction:
            self._epochs[transaction.id] += 1
            self._end(transaction, "aborted")

    def _end(self, transaction: ModelTransaction, state: str) -> None:
        """Decide the outcome, which does not change any more."""
        del self._open[transaction.id]
        transaction.state = state
        if state == "committed" and transaction.firsts:
            published = _markers(transaction.offsets)
            self.published += published
            self.on_markers(transaction.owner, published)
        self._decided[transaction.id] = transaction
        places: list[TopicPartition | str] = [*transaction.firsts, *sorted(transaction.groups)]
        for where in places:
            self._schedule.after(self._delays.randrange(50, 2_000), partial(self._show, transaction, where))

    def _show(self, transaction: ModelTransaction, where: TopicPartition | str) -> None:
        """Write the end of a decided transaction into one partition or group."""
        if self.away:
            self._schedule.after(50_000, partial(self._show, transaction, where))
            return
        if isinstance(where, TopicPartition):
            del transaction.firsts[where]
            self.logs[where].append(Entry(None, None, 0, control=True))
        else:
            transaction.groups.remove(where)
            if transaction.state == "committed":
                self.commit_offsets({p: o for p, o in transaction.offsets.items() if p[0] == where}, transaction.order)
        if not transaction.firsts and not transaction.groups:
            del self._decided[transaction.id]

    def commit_offsets(
        self, offsets: dict[OffsetPlace, tuple[int, str]], order: dict[OffsetPlace, int] | None = None
    ) -> None:
        """Set offsets of groups. `order`: when they were written, if not now; of two offsets, the one written later
        stays."""
        for place, offset in offsets.items():
            number = next(self._number) if order is None else order[place]
            if number > self._order.get(place, -1):
                self._order[place] = number
                self.offsets[place] = offset
        self.markers_set += _markers(offsets)

    def _reach(self) -> None:
        if self.away:
            raise BrokerUnavailable("the broker is away")


def _markers(offsets: dict[OffsetPlace, tuple[int, str]]) -> list[tuple[OffsetPlace, int, str]]:
    return [(place, *offset) for place, offset in offsets.items() if place[0].endswith("-markers")]

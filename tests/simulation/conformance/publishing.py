"""Publishers of one job, as scripts use them: the model's and Kafka's, through the contract that both keep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from rayflow.connectors.base import Publisher
from rayflow.connectors.kafka.connector import KafkaConnector
from rayflow.connectors.kafka.markers import marker_topic
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import BrokerUnavailable, RayflowError
from rayflow.core.ids import Marker, SinkTask, TopicPartition
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.kafka import ModelKafka
from rayflow.testing.simulation.publisher import ModelPublisher, marker_place
from rayflow.testing.simulation.reader import ModelReader
from rayflow.testing.simulation.schedule import Schedule
from tests.kafka.client import Kafka
from tests.simulation.conformance.reading import (
    PARTITIONS,
    Read,
    new_topic,
    offset_in_kafka,
    offset_in_model,
    read_to_ends,
)

SLOTS = {0: [SinkTask("out", 0), SinkTask("other op", 1)], 1: [SinkTask("out", 1)]}
SINKS = [sink for sinks in SLOTS.values() for sink in sinks]
PAUSES = ("begun", "produced", "marked", "positioned")


@dataclass(frozen=True)
class Open:
    """A new publisher of a slot."""

    name: str
    slot: int


@dataclass(frozen=True)
class Publish:
    """Publish an epoch, to its end or until a step."""

    name: str
    epoch: int
    pause: str | None = None
    topic: str = "topic"


@dataclass(frozen=True)
class GoOn:
    """Go on with what was left at a step."""

    name: str


@dataclass(frozen=True)
class Close:
    """Close a publisher, in the middle of an epoch or not."""

    name: str


Act: TypeAlias = Open | Publish | GoOn | Close


class Publishers(ABC):
    """What is the same for both."""

    topic: str

    def __init__(self) -> None:
        self._made: dict[str, tuple[int, Publisher]] = {}
        self._under_way: dict[str, Iterator[str]] = {}

    @abstractmethod
    def publisher(self, slot: int) -> Publisher:
        """A new one."""

    @abstractmethod
    def tick(self) -> None:
        """Let time go on."""

    def do(self, act: Act) -> Any:
        """What the caller is told: the markers, the step that was reached, or the class of the error."""
        try:
            match act:
                case Open(name, slot):
                    self._made[name] = (slot, self.publisher(slot))
                    return self.open(self._made[name][1], slot)
                case Publish(name, epoch, pause, topic):
                    slot, publisher = self._made[name]
                    outputs = {sink: [*self._batches(sink, epoch, topic)] for sink in SLOTS[slot]}
                    positions = {TopicPartition(self.topic, slot): epoch}
                    steps = publisher.publish(Marker("lineage", epoch), outputs, positions)
                    self._under_way[name] = steps
                    return self._advance(steps, pause)
                case GoOn(name):
                    return self._advance(self._under_way[name], None)
                case Close(name):
                    return self._made[name][1].close()
        except RayflowError as error:
            return type(error).__name__

    def open(self, publisher: Publisher, slot: int) -> Any:
        """Open it; it may block."""
        return publisher.open(SLOTS[slot])

    def close(self) -> None:
        """Close all."""
        for _, publisher in self._made.values():
            publisher.close()

    def _advance(self, steps: Iterator[str], pause: str | None) -> str | None:
        last = None
        for last in steps:
            if last == pause:
                break
            self.tick()
        return last

    def _batches(self, sink: SinkTask, epoch: int, topic: str) -> Iterator[EncodedBatch]:
        """By key and to a partition; keys and values that are empty or missing."""
        name = self.topic if topic == "topic" else topic
        numbers = range(epoch * 10, epoch * 10 + 3 + epoch % 3)
        keys: list[bytes | None] = [b"" if n % 4 == 0 else b"%s %d" % (sink.operator.encode(), n) for n in numbers]
        values: list[bytes | None] = [None if n % 5 == 0 else b"%d/%d" % (sink.partition, n) for n in numbers]
        stamps = [1_700_000_000_000 + n for n in numbers]
        yield EncodedBatch(name, keys, values, stamps)
        if epoch % 2:
            yield EncodedBatch(name, [None] * len(keys), values, stamps, partition=sink.partition)


class ModelPublishers(Publishers):
    """The model's, without faults unless they are given."""

    topic = "topic"

    def __init__(self, seed: int, faults: Faults | None = None) -> None:
        super().__init__()
        self.schedule = Schedule(seed)
        self.kafka = ModelKafka(self.schedule, lambda: faults or Faults())
        self.kafka.create("topic", PARTITIONS)

    def publisher(self, slot: int) -> Publisher:
        return ModelPublisher(self.kafka, self.schedule, "job", slot, None)

    def tick(self) -> None:
        """What happens next, if that is within half a millisecond."""
        self.schedule.after(500, lambda: None)
        self.schedule.step()

    def open(self, publisher: Publisher, slot: int) -> Any:
        return self.open_when_possible(publisher, SLOTS[slot])

    def open_when_possible(self, publisher: Publisher, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        """What would block raises BrokerUnavailable in the model."""
        while True:
            try:
                return publisher.open(sinks)
            except BrokerUnavailable:
                self.tick()

    def do(self, act: Act) -> Any:
        told = super().do(act)
        while self.kafka.settling():
            self.schedule.step()
        return told

    def observe(self) -> dict[Any, Any]:
        """What everybody can see."""
        seen: dict[Any, Any] = {}
        for p in range(PARTITIONS):
            place = TopicPartition("topic", p)
            seen["stable", p], seen["end", p] = self.kafka.stable(place), len(self.kafka.logs[place])
            seen["position", p] = offset_in_model(self.kafka, "job", place)
        for sink in SINKS:
            seen["marker", sink] = offset_in_model(self.kafka, "job-markers", marker_place(sink))
        return seen

    def read(self) -> Read:
        """All records."""
        return read_to_ends(ModelReader(self.kafka, self.schedule), "topic", dict.fromkeys(range(PARTITIONS), 0))


class KafkaPublishers(Publishers):
    """Those of a job that nobody else runs."""

    def __init__(self, kafka: Kafka) -> None:
        super().__init__()
        self.topic = new_topic(kafka)
        self.job = f"job-{self.topic}"
        self._kafka = kafka
        self._connector = KafkaConnector(kafka.url, {}, {})

    def publisher(self, slot: int) -> Publisher:
        return self._connector.publisher(self.job, slot, "exactly_once")

    def tick(self) -> None:
        """It does so by itself."""

    def observe(self) -> dict[Any, Any]:
        """What everybody can see."""
        seen: dict[Any, Any] = {}
        for what, committed in (("stable", True), ("end", False)):
            for p, offset in enumerate(self._kafka.ends(self.topic, committed)):
                seen[what, p] = offset
        for p in range(PARTITIONS):
            seen["position", p] = offset_in_kafka(self._kafka, self.job, TopicPartition(self.topic, p))
        for sink in SINKS:
            place = TopicPartition(marker_topic(self.job, sink.operator), sink.partition)
            seen["marker", sink] = offset_in_kafka(self._kafka, f"{self.job}-markers", place)
        return seen

    def read(self) -> Read:
        """All records."""
        reader = self._connector.reader("reader")
        return read_to_ends(reader, self.topic, dict.fromkeys(range(PARTITIONS), 0))

    def close(self) -> None:
        super().close()
        self._connector.close()


def draw_acts(random: Random, length: int) -> list[Act]:
    """Two slots, each held by one publisher after the other; older ones go on, too."""
    acts: list[Act] = []
    paused: set[str] = set()
    holders: dict[int, list[str]] = {slot: [] for slot in SLOTS}
    epochs = dict.fromkeys(SLOTS, 0)

    def open_one(slot: int) -> None:
        holders[slot].append(f"{slot}.{len(holders[slot]) + 1}")
        acts.append(Open(holders[slot][-1], slot))

    for slot in SLOTS:
        open_one(slot)
    used = {name for names in holders.values() for name in names}
    while len(acts) < length:
        slot = random.choice(list(SLOTS))
        name = random.choice(holders[slot][-2:])
        if random.random() < 0.1 and len(holders[slot]) < 4:
            open_one(slot)
            used.add(holders[slot][-1])
        elif name not in used:
            continue
        elif name in paused and random.random() < 0.6:
            acts.append(GoOn(name))
            paused.discard(name)
        elif random.random() < 0.08:
            acts.append(Close(name))
            used.discard(name)
        else:  # also when an earlier one was left in the middle
            epochs[slot] += 1
            pause = random.choice((None, None, *PAUSES))
            acts.append(Publish(name, epochs[slot], pause))
            paused.discard(name)
            if pause is not None:
                paused.add(name)
    return acts

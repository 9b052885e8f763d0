"""The model broker as a connector for simulated processes: blocking calls let virtual time pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rayflow.checkpoint.store import CheckpointStore
from rayflow.connectors.base import NO_TOPICS, Connector, Publisher, Reader, Sink, Source, TopicAdmin, TopicInfo
from rayflow.core.errors import BrokerRefused, BrokerUnavailable
from rayflow.core.ids import Attempt, Marker, SinkTask, TopicPartition
from rayflow.core.topics import ConnectorSpec, TopicRef
from rayflow.runtimes.simulated.process import Process
from rayflow.runtimes.simulated.surroundings import MILLISECOND
from rayflow.testing.simulation.appender import ModelAppender
from rayflow.testing.simulation.kafka import ModelKafka
from rayflow.testing.simulation.publisher import ModelPublisher
from rayflow.testing.simulation.reader import ModelReader
from rayflow.testing.simulation.schedule import Schedule

T = TypeVar("T")

MODEL = ConnectorSpec("model:")
TRIES = 200
"""The number of attempts of a call before it fails, like the timeout of a client."""


@dataclass(frozen=True, eq=False, slots=True)
class Owner:
    """The owner of a publisher: a process, in one of its attempts."""

    process: Process
    attempt: Attempt
    incarnation: int
    checkpoints: CheckpointStore

    @property
    def alive(self) -> bool:
        """Whether the process lives."""
        return self.process.alive


class ModelConnectors:
    """Assigns every topic to the model broker."""

    def __init__(self, connector: ModelConnector) -> None:
        self._connector = connector

    def spec(self, topic: TopicRef) -> ConnectorSpec:
        return MODEL

    def of(self, topic: TopicRef) -> Connector:
        return self._connector

    def open(self, spec: ConnectorSpec) -> Connector:
        return self._connector


class ModelConnector(Source, Sink, TopicAdmin):
    """The model broker, for one process."""

    def __init__(self, kafka: ModelKafka, schedule: Schedule, process: Process) -> None:
        self.url = MODEL.url
        self._kafka = kafka
        self._schedule = schedule
        self._process = process

    def partitions(self, topic: str) -> int:
        return self.patiently(lambda: self._kafka.partitions(topic))

    def topics(self) -> list[TopicInfo]:
        return [TopicInfo(name, partitions) for name, partitions in sorted(self._kafka.topics.items())]

    def create(self, topic: str, partitions: int, replication: int | None = None) -> None:
        self._kafka.create(topic, partitions)

    def delete(self, topic: str) -> None:
        raise BrokerRefused("the world's topics stay", topic=topic)

    def reader(self, group: str) -> Reader:
        return _PatientReader(self, self._kafka, self._schedule)

    def publisher(self, job: str, slot: int, delivery: str, topics: Mapping[str, str] = NO_TOPICS) -> Publisher:
        process = self._process
        owner = Owner(process, process.attempt, process.incarnation, process.checkpoints)
        if delivery == "at_least_once":
            return _PatientAppender(self, self._kafka, self._schedule, job, owner)
        return _PatientPublisher(self, self._kafka, self._schedule, job, slot, owner)

    def check(self, timeout: float = 5.0) -> str:
        return "a model"

    def identity(self, topic: str) -> str:
        self.partitions(topic)
        return f"model#{topic}"

    def patiently(self, call: Callable[[], T]) -> T:
        """Repeat a call while the broker cannot answer. Raises BrokerUnavailable after the last attempt."""
        for _ in range(TRIES):
            try:
                return call()
            except BrokerUnavailable:
                self._process.pause(self._schedule.random.randrange(10, 100) * MILLISECOND)
        return call()


class _PatientReader(ModelReader):
    def __init__(self, connector: ModelConnector, kafka: ModelKafka, schedule: Schedule) -> None:
        super().__init__(kafka, schedule)
        self._connector = connector

    def assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        self._connector.patiently(lambda: ModelReader.assign(self, positions))

    def ends(self, timeout: float = 30.0) -> dict[TopicPartition, int]:
        return self._connector.patiently(lambda: ModelReader.ends(self, timeout))


class _PatientPublisher(ModelPublisher):
    def __init__(
        self, connector: ModelConnector, kafka: ModelKafka, schedule: Schedule, job: str, slot: int, owner: Owner
    ) -> None:
        super().__init__(kafka, schedule, job, slot, owner)
        self._connector = connector

    def open(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        return self._connector.patiently(lambda: ModelPublisher.open(self, sinks))

    def markers(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        return self._connector.patiently(lambda: ModelPublisher.markers(self, sinks))


class _PatientAppender(ModelAppender):
    def __init__(
        self, connector: ModelConnector, kafka: ModelKafka, schedule: Schedule, job: str, owner: Owner
    ) -> None:
        super().__init__(kafka, schedule, job, owner)
        self._connector = connector

    def open(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        return self._connector.patiently(lambda: ModelAppender.open(self, sinks))

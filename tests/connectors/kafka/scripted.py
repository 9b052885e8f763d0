"""The world of one exactly-once publisher, scripted: its producer, caller, markers and clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as NotYet
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as Place

from rayflow.connectors.kafka import publisher as publishing
from rayflow.connectors.kafka.client import Contact
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.publisher import ExactlyOncePublisher
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import (
    BrokerRefused,
    RayflowError,
)
from rayflow.core.ids import Marker, SinkTask, TopicPartition
from tests.connectors.kafka.clock import Clock

TASK = SinkTask("out", 0)
BATCH = EncodedBatch("t", [None] * 3, [b"v"] * 3, [1] * 3)
LASTING = KafkaError(KafkaError.POLICY_VIOLATION, "no", False, False, True)


class Scripted:
    """The world of one publisher. `fails`: the errors of the next calls by name, None for a call that succeeds.
    `slow`: seconds that the next calls by name take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **given: str) -> None:
        self.clock = Clock()
        self.called: list[str] = []
        self.fails: dict[str, list[Exception | KafkaError | None]] = {}
        self.slow: dict[str, list[float]] = {}
        self.held: dict[SinkTask, Marker | None] = {}
        self.unprepared = False
        self.producers: list[Any] = []
        self.answers = True
        self.on_serve: Callable[[ScriptedProducer], None] = lambda producer: None
        for name, value in (
            ("time", self.clock),
            ("TransactionalProducer", lambda settings, name: ScriptedProducer(self, name)),
            ("Caller", lambda: ScriptedCaller(self)),
            ("Markers", lambda settings, admin, job: ScriptedMarkers(self)),
            ("group_metadata", lambda group: f"<{group}>"),
        ):
            monkeypatch.setattr(publishing, name, value)
        self.publisher = ExactlyOncePublisher(KafkaSettings("h:1", given), self, "job", 7)  # type: ignore[arg-type]

    def call(self, name: str, shown: str = "") -> None:
        self.called.append(name + shown)
        assert len(self.called) < 5_000, "the publisher goes round in circles"
        error = self.fails[name].pop(0) if self.fails.get(name) else None
        if isinstance(error, KafkaError):
            raise KafkaException(error)
        if error is not None:
            raise error

    def partitions(self, topic: str) -> int:
        """As a KafkaAdmin."""
        self.call("partitions", f" {topic}")
        return 1

    def publish(
        self, epoch: int = 1, batches: Sequence[EncodedBatch] = (BATCH,), *, positions: bool = True
    ) -> list[str]:
        return list(self.steps(epoch, batches, positions=positions))

    def steps(self, epoch: int = 1, batches: Sequence[EncodedBatch] = (BATCH,), *, positions: bool = True) -> Any:
        at = {TopicPartition("in", 0): 9} if positions else {}
        return self.publisher.publish(Marker("l", epoch), {TASK: batches}, at)


class ScriptedProducer:
    def __init__(self, world: Scripted, name: str) -> None:
        self.world = world
        self.name = name
        self.contact = Contact()
        self.began: float | None = None
        self.still: float | None = None
        self.left = 0
        world.producers.append(self)

    @property
    def open(self) -> bool:
        return self.began is not None

    @property
    def age(self) -> float:
        return 0.0 if self.began is None else self.world.clock.now - self.began

    def connect(self) -> None:
        self.world.call("connect")

    def take_over(self) -> None:
        self.world.call("take_over")

    def begin(self) -> None:
        self.world.call("begin")
        self.began = self.world.clock.now

    def outbox(self, batches: list[EncodedBatch]) -> ScriptedOutbox:
        return ScriptedOutbox(self.world, batches)

    def stillness(self) -> float:
        return self.world.clock.now if self.still is None else self.still

    def serve(self, seconds: float = 0) -> None:
        self.world.clock.now += seconds
        self.world.on_serve(self)

    def send_offsets(self, offsets: list[Place], group: Any) -> None:
        shown = ", ".join(f"{place.topic}/{place.partition}={place.offset} {place.metadata}" for place in offsets)
        self.world.call("send_offsets", f" {group} {shown}")

    def commit(self) -> None:
        self.world.call("commit")
        self.began = None

    def abort(self) -> None:
        self.world.call("abort")
        self.began = None

    def abandon(self) -> None:
        self.world.call("abandon")

    def ping(self) -> None:
        self.world.call("ping")

    def lasting_cause(self, error: KafkaError, topic: str | None) -> RayflowError | None:
        return BrokerRefused("lasting", topic=topic) if error is LASTING else None


class ScriptedOutbox:
    def __init__(self, world: Scripted, batches: list[EncodedBatch]) -> None:
        self.world = world
        self.batches = list(batches)

    def __bool__(self) -> bool:
        return bool(self.batches)

    @property
    def topic(self) -> str:
        return self.batches[0].topic

    def feed(self) -> bool:
        try:
            self.world.call("feed")
        except BufferError:
            return False
        self.batches.pop(0)
        return True


class ScriptedCaller:
    """Runs a call once its result is asked for and the call's time is over."""

    def __init__(self, world: Scripted) -> None:
        self.world = world
        self.pending = 0
        self.closed = False

    @property
    def busy(self) -> bool:
        return self.pending > 0

    def submit(self, call: Callable[[], Any]) -> ScriptedFuture:
        assert not self.closed
        self.pending += 1
        return ScriptedFuture(self, call)

    def close(self) -> None:
        self.world.called.append("close caller")
        self.closed = True


class ScriptedFuture:
    def __init__(self, caller: ScriptedCaller, call: Callable[[], Any]) -> None:
        self.caller = caller
        self.call = call
        self.given = False
        self.failed: KafkaException | None = None
        name = getattr(call, "__name__", "") or call.func.__name__  # type: ignore[attr-defined]
        slow = caller.world.slow.get(name)
        self.ready = caller.world.clock.now + (slow.pop(0) if slow else 0.0)

    def result(self, seconds: float) -> Any:
        clock = self.caller.world.clock
        if clock.now < self.ready:
            clock.now += max(seconds, 0.25)
            raise NotYet
        assert not self.given, "a result was asked for again"
        self.given = True
        self.caller.pending -= 1
        return self.call()

    def done(self) -> bool:
        return self.caller.world.answers

    def exception(self) -> Exception | None:
        if not self.given:
            self.given = True
            try:
                self.call()
            except KafkaException as failure:
                self.failed = failure
        return self.failed


class ScriptedMarkers:
    group = "job-markers"

    def __init__(self, world: Scripted) -> None:
        self.world = world

    def prepare(self, sinks: Sequence[SinkTask]) -> None:
        self.world.call("prepare")

    def unprepared(self, sinks: Any) -> bool:
        return self.world.unprepared

    def read(self, sinks: Sequence[SinkTask], timeout: float, *, stable: bool = True) -> dict[SinkTask, Marker | None]:
        self.world.call("read", f" {timeout:g}{'' if stable else ' unstable'}")
        return {sink: self.world.held.get(sink) for sink in sinks}

    def await_group(self, group: str, timeout: float = 10.0) -> None:
        self.world.call("await_group")

    def offsets(self, marker: Marker, sinks: Any) -> list[Place]:
        return [Place(f"markers-{sink.operator}", sink.partition, marker.epoch, marker.lineage) for sink in sinks]

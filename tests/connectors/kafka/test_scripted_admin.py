"""Topics and markers on a cluster that changes meanwhile, or is slow: a scripted AdminClient and clock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as Place

from rayflow.connectors.kafka import admin as administering
from rayflow.connectors.kafka.admin import KafkaAdmin
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.markers import Markers, group_metadata, marker_topic
from rayflow.core.errors import (
    BrokerRefused,
    BrokerUnavailable,
    TopicExists,
    UnknownTopic,
)
from rayflow.core.ids import Marker, SinkTask
from tests.connectors.kafka.clock import Clock

SETTINGS = KafkaSettings("127.0.0.1:1")


class ScriptedCluster:
    """An AdminClient of a cluster whose topics have so many partitions; the first `leaderless` looks see no leader."""

    def __init__(self, **topics: int) -> None:
        self.held = topics
        self.leaderless = 0
        self.lingers = 0
        self.timeouts: list[float] = []
        self.late = 0
        self.changes: list[tuple[Any, ...]] = []
        self.refuse: KafkaError | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    def _future(self, value: Any = None) -> Future[Any]:
        future: Future[Any] = Future()
        if isinstance(value, KafkaError):
            future.set_exception(KafkaException(value))
        else:
            future.set_result(value)
        return future

    def _change(self, topic: str, *what: Any) -> dict[str, Future[Any]]:
        self.changes.append((*what, topic))
        self.meanwhile()
        return {topic: self._future(self.refuse)}

    def poll(self, timeout: float) -> None:
        return None

    def describe_cluster(self, request_timeout: float) -> Future[Any]:
        self.timeouts.append(request_timeout)
        nodes = [SimpleNamespace(host="h", port=port) for port in (1, 2)]
        return self._future(SimpleNamespace(cluster_id="c", nodes=nodes))

    def list_topics(self, timeout: float) -> Any:
        parts = {name: SimpleNamespace(partitions=dict.fromkeys(range(n))) for name, n in self.held.items()}
        return SimpleNamespace(topics=parts)

    def describe_topics(self, topics: Any, request_timeout: float) -> dict[str, Future[Any]]:
        self.timeouts.append(request_timeout)

        class Asked(dict[str, Any]):
            def __missing__(asked, name: str) -> Future[Any]:  # noqa: N805
                self.lingers -= name not in self.held
                if name not in self.held and self.lingers < 0:
                    return self._future(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
                leader = None if self.leaderless > 0 else "h"
                self.leaderless -= 1
                partitions = [SimpleNamespace(leader=leader if n == 0 else "h") for n in range(self.held.get(name, 1))]
                return self._future(SimpleNamespace(partitions=partitions, topic_id=f"id-{name}"))

        return Asked()

    def create_topics(self, topics: list[Any], request_timeout: float) -> dict[str, Future[Any]]:
        (new,) = topics
        changed = self._change(new.topic, "create", new.num_partitions, new.replication_factor)
        if self.refuse is None:
            self.held[new.topic] = new.num_partitions
        return changed

    def create_partitions(self, growths: list[Any], request_timeout: float) -> dict[str, Future[Any]]:
        (growth,) = growths
        changed = self._change(growth.topic, "grow", growth.new_total_count)
        if self.refuse is None:
            self.held[growth.topic] = growth.new_total_count
        return changed

    def delete_topics(self, topics: list[str], request_timeout: float) -> dict[str, Future[Any]]:
        changed = self._change(topics[0], "delete")
        if self.refuse is None:
            del self.held[topics[0]]
        return changed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(administering, "time", clock)
    return clock


def administered(monkeypatch: pytest.MonkeyPatch, cluster: ScriptedCluster) -> KafkaAdmin:
    monkeypatch.setattr(administering, "make", lambda kind, settings, contact: cluster)
    return KafkaAdmin(SETTINGS)


def test_topics_are_listed_by_name_without_internal_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = ScriptedCluster(**{"b": 2, "a": 1, "__c": 1, "j-o-rayflow-markers": 1, "rayflow-markers-x": 3})
    admin = administered(monkeypatch, cluster)
    assert [(info.name, info.partitions) for info in admin.topics()] == [("a", 1), ("b", 2), ("rayflow-markers-x", 3)]
    assert (admin.partitions("b"), admin.topic_id("b"), admin.cluster_id()) == (2, "id-b", "c")
    assert cluster.timeouts == [0.25] * 4
    assert admin.check(0.0) == "Kafka cluster c: 2 brokers at h:1, h:2"
    assert cluster.timeouts[4:] == [0.1]
    with pytest.raises(UnknownTopic):
        admin.partitions("none")


def test_a_created_topic_is_usable_and_a_deleted_one_is_gone(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    cluster = ScriptedCluster()
    admin = administered(monkeypatch, cluster)
    cluster.leaderless = 3
    admin.create("t", 2)
    assert cluster.leaderless < 0
    assert clock.slept == [0.02] * 3
    admin.create("u", 1, 3)
    clock.slept.clear()
    cluster.lingers = 2
    admin.delete("t")
    assert clock.slept == [0.02] * 2
    assert cluster.changes == [("create", 2, -1, "t"), ("create", 1, 3, "u"), ("delete", "t")]
    cluster.refuse = KafkaError(KafkaError.TOPIC_ALREADY_EXISTS)
    with pytest.raises(TopicExists):
        admin.create("u", 1)
    cluster.refuse = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(BrokerRefused, match="to delete the topic"):
        admin.delete("u")


def test_a_topic_that_stays_without_a_leader_is_given_up_after_half_a_minute(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    cluster = ScriptedCluster()
    admin = administered(monkeypatch, cluster)
    cluster.leaderless = 1 << 30
    with pytest.raises(BrokerUnavailable, match="more than 30 s to create the topic"):
        admin.create("t", 2)
    assert 30.0 <= clock.now < 30.1


def test_a_topic_is_made_or_extended_until_it_has_enough_partitions(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    cluster = ScriptedCluster()
    admin = administered(monkeypatch, cluster)
    admin.ensure("t", 2)
    admin.ensure("t", 2)
    admin.ensure("t", 1)
    cluster.leaderless = 2
    admin.ensure("t", 3)
    assert cluster.changes == [("create", 2, -1, "t"), ("grow", 3, "t")]


def test_another_worker_may_make_or_extend_a_topic_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    cluster = ScriptedCluster()
    admin = administered(monkeypatch, cluster)
    cluster.refuse = KafkaError(KafkaError.TOPIC_ALREADY_EXISTS)
    cluster.meanwhile = lambda: cluster.held.update(t=2)
    admin.ensure("t", 2)
    assert clock.slept == []
    cluster.meanwhile = lambda: cluster.held.update(u=1)
    cluster.leaderless = 2
    admin.ensure("u", 1)
    assert clock.slept == [0.02] * 2
    cluster.refuse = KafkaError(KafkaError.INVALID_PARTITIONS)
    cluster.meanwhile = lambda: cluster.held.update(t=4)
    admin.ensure("t", 4)
    cluster.meanwhile = lambda: None
    with pytest.raises(BrokerRefused, match="to add partitions"):
        admin.ensure("t", 5)


class Ensured:
    """Notes which topics are ensured."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def ensure(self, topic: str, partitions: int) -> None:
        self.asked.append((topic, partitions))


def test_each_sink_task_gets_a_partition_for_its_marker_once() -> None:
    admin = Ensured()
    markers = Markers(SETTINGS, admin, "job")  # type: ignore[arg-type]
    sinks = [SinkTask("a", 2), SinkTask("a", 0), SinkTask("b", 0)]
    assert markers.unprepared(sinks)
    assert markers.unprepared(sinks[2:])
    assert not markers.unprepared([])
    markers.prepare(sinks)
    markers.prepare(sinks[1:])
    assert admin.asked == [(marker_topic("job", "a"), 3), (marker_topic("job", "b"), 1)]
    assert not markers.unprepared(sinks)
    assert markers.unprepared([SinkTask("a", 3)])
    markers.prepare([SinkTask("a", 3)])
    assert admin.asked[2:] == [(marker_topic("job", "a"), 4)]
    assert markers.read([], stable=True) == {}


class ScriptedOffsets:
    """A consumer that answers which offsets its group has committed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Callable[[Place], Any]) -> None:
        self.answer = answer
        self.groups: list[tuple[str, Any]] = []
        self.asked: list[list[tuple[str, int]]] = []
        self.closed = 0
        monkeypatch.setattr("rayflow.connectors.kafka.markers.make", self._make)

    def _make(self, kind: Any, settings: Any, contact: Any) -> ScriptedOffsets:
        self.groups.append((settings["group.id"], settings.get("isolation.level")))
        return self

    def committed(self, places: list[Place], timeout: float) -> list[Any]:
        self.asked.append([(place.topic, place.partition) for place in places])
        answers = [(place, self.answer(place)) for place in places]
        for place, answer in answers:
            answer.topic, answer.partition = place.topic, place.partition
        return [answer for _, answer in reversed(answers)]

    def consumer_group_metadata(self) -> str:
        return "metadata"

    def poll(self, timeout: float) -> None:
        return None

    def close(self) -> None:
        self.closed += 1


def test_markers_are_read_each_from_its_place_and_may_be_read_while_a_transaction_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = [KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT), KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)]

    def answer(place: Place) -> Any:
        error = failures.pop() if failures else None
        text = None if error else f'{{"lineage": "l", "epoch": {place.partition}}}'
        return SimpleNamespace(offset=-1 if error else place.partition, metadata=text, error=error)

    consumer = ScriptedOffsets(monkeypatch, answer)
    markers = Markers(SETTINGS, Ensured(), "job")  # type: ignore[arg-type]
    sinks = [SinkTask("a", 4), SinkTask("b", 5)]
    assert markers.read(sinks, stable=False) == {sinks[0]: Marker("l", 4), sinks[1]: Marker("l", 5)}
    assert consumer.asked == [[(marker_topic("job", "a"), 4), (marker_topic("job", "b"), 5)]] * 2
    assert consumer.groups == [("job-markers", "read_uncommitted")]
    failures[:] = [KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)]
    assert markers.read(sinks, stable=True) == {sinks[0]: None, sinks[1]: Marker("l", 5)}
    failures[:] = [KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)]
    with pytest.raises(BrokerRefused, match="which offsets a group has"):
        markers.read(sinks, stable=True)
    assert consumer.closed == 3


def test_a_group_is_asked_for_at_the_place_of_a_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = ScriptedOffsets(monkeypatch, lambda place: SimpleNamespace(offset=-1, metadata=None, error=None))
    markers = Markers(SETTINGS, Ensured(), "job")  # type: ignore[arg-type]
    markers.prepare([SinkTask("b", 3), SinkTask("a", 2)])
    markers.await_group("job")
    assert consumer.groups == [("job", "read_committed")]
    assert consumer.asked == [[(marker_topic("job", "a"), 0)]]
    assert group_metadata("job") == "metadata"
    assert consumer.groups[1:] == [("job", None)]
    assert consumer.closed == 2


@pytest.mark.parametrize(
    ("offset", "text", "expected"),
    [
        (5, '{"lineage": "l", "epoch": 5}', Marker("l", 5)),
        (0, '{"lineage": "l", "epoch": 0}', Marker("l", 0)),
        (-1001, '{"lineage": "l", "epoch": 5}', None),
        (-1, '{"lineage": "l", "epoch": 5}', None),
        (5, "", None),
        (5, None, None),
        (5, "no json", None),
        (5, '{"lineage": "l"}', None),
        (5, "[]", None),
        (5, '{"lineage": "l", "epoch": "x"}', None),
    ],
)
def test_only_an_offset_that_rayflow_wrote_is_a_marker(
    monkeypatch: pytest.MonkeyPatch, offset: int, text: str | None, expected: Marker | None
) -> None:
    sink = SinkTask("a", 1)

    consumer = ScriptedOffsets(monkeypatch, lambda place: SimpleNamespace(offset=offset, metadata=text, error=None))
    markers = Markers(SETTINGS, Ensured(), "job")  # type: ignore[arg-type]
    assert markers.read([sink], stable=True) == {sink: expected}
    assert consumer.groups == [("job-markers", "read_committed")]
    assert consumer.closed == 1


def test_a_marker_is_written_as_the_offset_of_its_partition() -> None:
    markers = Markers(SETTINGS, Ensured(), "job")  # type: ignore[arg-type]
    (place,) = markers.offsets(Marker("l", 5), [SinkTask("a", 1)])
    assert (place.topic, place.partition, place.offset) == (marker_topic("job", "a"), 1, 5)
    assert place.metadata == '{"lineage": "l", "epoch": 5}'


@pytest.mark.parametrize(("operator", "hashed"), [("x" * 196, False), ("x" * 197, True), ("a b", True)])
def test_a_long_or_unusual_name_of_a_marker_topic_has_a_hash(operator: str, hashed: bool) -> None:
    name = marker_topic("job", operator).removesuffix("-rayflow-markers")
    assert (name != f"job-{operator}") == hashed
    if hashed:
        assert name[:-9] == f"job-{operator}".replace(" ", "-")[:200]
        assert len(name.rpartition("-")[2]) == 8

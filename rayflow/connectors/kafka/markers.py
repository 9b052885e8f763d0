"""Markers in Kafka: which epoch each sink task has published, as offsets committed together with the output.

The group `JOB-markers` has one offset per sink task, at partition p of the topic `JOB-OPERATOR-rayflow-markers` for
task p of the sink. The topic has no records; Kafka only stores offsets for partitions that exist. The sink task's
identity is its operator and its partition, so its marker is at the same place in every worker and attempt, without a
registry. All sinks are in one group, so one commit contains the markers of all sink tasks of a worker. The offset is
the epoch, and its metadata is the lineage. The job's own group `JOB` has only source positions, so tools that show or
reset those never touch a marker.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as Place

from rayflow.connectors.kafka.admin import MARKERS_SUFFIX, KafkaAdmin
from rayflow.connectors.kafka.client import CONNECT_TIMEOUT, Contact, ask, make
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.faults import UNKNOWN
from rayflow.core.ids import Marker, SinkTask

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,200}")


def marker_topic(job: str, operator: str) -> str:
    """The topic on which the markers of a sink operator are offsets.

    Characters that a topic name cannot contain are replaced, and a hash keeps names distinct (Kafka treats `.` and `_`
    as equal).

    >>> marker_topic("revenue", "to-totals")
    'revenue-to-totals-rayflow-markers'
    >>> marker_topic("revenue", "to totals")
    'revenue-to-totals-8dc1582f-rayflow-markers'
    """
    name = f"{job}-{operator}"
    if not _PLAIN.fullmatch(name):
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{re.sub('[^A-Za-z0-9_-]', '-', name)[:200]}-{digest}"
    return name + MARKERS_SUFFIX


def group_metadata(group: str) -> Any:
    """The metadata with which a transaction commits offsets to a group without members. Contacts no broker."""
    consumer = make(Consumer, {"bootstrap.servers": "", "group.id": group}, Contact())
    try:
        return consumer.consumer_group_metadata()
    finally:
        consumer.close()


def _committed(
    settings: KafkaSettings, group: str, places: list[Place], timeout: float, *, stable: bool = True
) -> list[Place]:
    contact = Contact()
    isolation = {} if stable else {"isolation.level": "read_uncommitted"}
    consumer = make(Consumer, {**settings.consumer(group), **isolation}, contact)

    def committed(seconds: float) -> list[Place]:
        answers: list[Place] = consumer.committed(places, timeout=seconds)
        for answer in answers:
            if answer.error is not None and answer.error.code() not in UNKNOWN:
                raise KafkaException(answer.error)
        return answers

    try:
        return ask(committed, contact, "which offsets a group has", timeout=timeout, serve=consumer.poll)
    finally:
        consumer.close()


class Markers:
    """The markers of one job."""

    def __init__(self, settings: KafkaSettings, admin: KafkaAdmin, job: str) -> None:
        self._settings = settings
        self._admin = admin
        self._job = job
        self._prepared: dict[str, int] = {}

    @property
    def group(self) -> str:
        """The consumer group of the markers."""
        return f"{self._job}-markers"

    def unprepared(self, sinks: Iterable[SinkTask]) -> bool:
        """Whether `prepare` was not called for one of the sinks."""
        return any(self._prepared.get(sink.operator, 0) <= sink.partition for sink in sinks)

    def prepare(self, sinks: Iterable[SinkTask]) -> None:
        """Make sure that each sink task has a partition for its marker."""
        wanted: dict[str, int] = {}
        for sink in sinks:
            wanted[sink.operator] = max(wanted.get(sink.operator, 0), sink.partition + 1)
        for operator, partitions in wanted.items():
            if self._prepared.get(operator, 0) < partitions:
                self._admin.ensure(marker_topic(self._job, operator), partitions)
                self._prepared[operator] = partitions

    def read(
        self, sinks: Sequence[SinkTask], timeout: float = CONNECT_TIMEOUT, *, stable: bool
    ) -> dict[SinkTask, Marker | None]:
        """The committed markers. `stable`: wait while a transaction with newer ones is undecided.

        Raises BrokerUnavailable after `timeout` seconds. An offset that rayflow did not write counts as no marker.
        """
        if not sinks:
            return {}
        places = [self._place(sink) for sink in sinks]
        found = _committed(self._settings, self.group, places, timeout, stable=stable)
        by_place = {(answer.topic, answer.partition): answer for answer in found}
        return {
            sink: _marker(by_place[(place.topic, place.partition)]) for sink, place in zip(sinks, places, strict=True)
        }

    def await_group(self, group: str, timeout: float = CONNECT_TIMEOUT) -> None:
        """Wait until the broker that stores a group's offsets is ready. Raises BrokerUnavailable after `timeout` s.

        A transaction that commits to the group looks for that broker only three times, and then waits forever. This
        request asks for a marker's partition, where the group has no offset, so it needs no permission on other topics.
        (If an AdminClient asks while the broker starts, the process may end: librdkafka 2.16 asserts `eonce->refcnt >
        0`.)
        """
        places = [Place(marker_topic(self._job, operator), 0) for operator in sorted(self._prepared)[:1]]
        _committed(self._settings, group, places, timeout)

    def offsets(self, marker: Marker, sinks: Iterable[SinkTask]) -> list[Place]:
        """The offsets to commit so that each sink task's marker becomes `marker`."""
        text = json.dumps({"lineage": marker.lineage, "epoch": marker.epoch})
        places = [self._place(sink) for sink in sinks]
        return [Place(place.topic, place.partition, marker.epoch, text) for place in places]

    def _place(self, sink: SinkTask) -> Place:
        return Place(marker_topic(self._job, sink.operator), sink.partition)


def _marker(committed: Place) -> Marker | None:
    if committed.offset < 0 or not committed.metadata:
        return None
    try:
        held = json.loads(committed.metadata)
        return Marker(str(held["lineage"]), int(held["epoch"]))
    except (ValueError, KeyError, TypeError):
        return None

"""Lists, creates, extends and deletes topics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic  # type: ignore[attr-defined]

from rayflow.connectors.base import TopicInfo
from rayflow.connectors.kafka.client import CONNECT_TIMEOUT, Contact, ask, make
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.faults import error_of, fault
from rayflow.core.errors import BrokerRefused, BrokerUnavailable, TopicExists, UnknownTopic

MARKERS_SUFFIX = "-rayflow-markers"
"""The suffix of the topics on which sinks' markers are offsets."""

_SETTLE = 30.0
"""Seconds in which a created topic must appear and a deleted one must disappear."""


def internal(topic: str) -> bool:
    """Whether a topic belongs to the broker or to rayflow itself, and is not shown."""
    return topic.startswith("__") or topic.endswith(MARKERS_SUFFIX)


class KafkaAdmin:
    """Reads and changes the topics of a cluster. Connects at the first call."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._contact = Contact()
        self._client: AdminClient | None = None

    def topics(self) -> list[TopicInfo]:
        """All topics by name, without internal ones."""
        client = self._connected()
        found = self._ask(lambda seconds: client.list_topics(timeout=seconds), "which topics there are")
        return [
            TopicInfo(name, len(topic.partitions)) for name, topic in sorted(found.topics.items()) if not internal(name)
        ]

    def partitions(self, topic: str) -> int:
        """The topic's number of partitions. Raises UnknownTopic."""
        return len(self._describe(topic).partitions)

    def topic_id(self, topic: str) -> str:
        """The cluster's id of the topic; a recreated topic has another id. Raises UnknownTopic."""
        return str(self._describe(topic).topic_id)

    def create(self, topic: str, partitions: int, replication: int | None = None) -> None:
        """Create a topic, and wait until it is usable. Raises TopicExists, BrokerRefused."""
        client = self._connected()
        # -1: as configured on the broker
        wanted = NewTopic(
            topic, num_partitions=partitions, replication_factor=-1 if replication is None else replication
        )
        self._change(
            client.create_topics([wanted], request_timeout=CONNECT_TIMEOUT)[topic], "to create the topic", topic
        )
        self._settle(lambda: self._usable(topic) >= partitions, "to create the topic", topic)

    def ensure(self, topic: str, partitions: int) -> None:
        """Create a topic with at least this many partitions unless it exists. Several workers may call this at once."""
        while True:
            try:
                held = self.partitions(topic)
            except UnknownTopic:
                try:
                    self.create(topic, partitions)
                except TopicExists:
                    self._settle(lambda: self._usable(topic) > 0, "to create the topic", topic)
                continue
            if held >= partitions:
                return
            client = self._connected()
            growth = client.create_partitions([NewPartitions(topic, partitions)], request_timeout=CONNECT_TIMEOUT)
            try:
                self._change(growth[topic], "to add partitions", topic)
            except BrokerRefused:
                if self.partitions(topic) < partitions:  # otherwise another worker was first
                    raise
            self._settle(lambda: self._usable(topic) >= partitions, "to add partitions", topic)

    def delete(self, topic: str) -> None:
        """Delete a topic, and wait until it is gone. Raises UnknownTopic, BrokerRefused."""
        client = self._connected()
        self._change(
            client.delete_topics([topic], request_timeout=CONNECT_TIMEOUT)[topic], "to delete the topic", topic
        )
        self._settle(lambda: self._usable(topic) < 0, "to delete the topic", topic)

    def cluster_id(self) -> str:
        """The id of the cluster."""
        return str(self._cluster(CONNECT_TIMEOUT).cluster_id)

    def check(self, timeout: float) -> str:
        """One line about the cluster."""
        cluster = self._cluster(timeout)
        count = len(cluster.nodes)
        return f"Kafka cluster {cluster.cluster_id}: {count} broker{'s' if count != 1 else ''} at " + ", ".join(
            f"{node.host}:{node.port}" for node in cluster.nodes
        )

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        self._client = None

    def _connected(self) -> AdminClient:
        if self._client is None:
            self._cluster(CONNECT_TIMEOUT)
        return cast(AdminClient, self._client)

    def _cluster(self, timeout: float) -> Any:
        """The cluster's description. The first answer establishes the connection."""
        client = self._client or make(AdminClient, self._settings.admin(), self._contact)

        def describe(seconds: float) -> Any:
            return client.describe_cluster(request_timeout=max(seconds, 0.1)).result(seconds + 5)

        answer = ask(describe, self._contact, "what it is", timeout=timeout, serve=client.poll)
        self._client = client
        return answer

    def _describe(self, topic: str) -> Any:
        """A topic's description. (A metadata request would create the topic on brokers that create topics
        automatically.)"""
        client = self._connected()

        def describe(seconds: float) -> Any:
            asked = client.describe_topics(TopicCollection([topic]), request_timeout=max(seconds, 0.1))
            return asked[topic].result(seconds + 5)

        return self._ask(describe, "what the topic is", topic)

    def _usable(self, topic: str) -> int:
        """The number of partitions of the topic that have a leader; -1 if there is no such topic."""
        try:
            return sum(partition.leader is not None for partition in self._describe(topic).partitions)
        except UnknownTopic:
            return -1

    def _ask(self, call: Callable[[float], Any], doing: str, topic: str | None = None) -> Any:
        serve = self._connected().poll
        return ask(call, self._contact, doing, serve=serve, topic=topic)

    def _change(self, future: Any, doing: str, topic: str) -> None:
        try:
            future.result(CONNECT_TIMEOUT + 5)
        except KafkaException as failure:
            raise fault(error_of(failure), doing, topic=topic) from failure

    def _settle(self, done: Callable[[], bool], doing: str, topic: str) -> None:
        end = time.monotonic() + _SETTLE
        while not done():
            if time.monotonic() > end:
                raise BrokerUnavailable(f"The broker needed more than {_SETTLE:g} s {doing}", topic=topic)
            time.sleep(0.02)

"""Kafka as a connector."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from rayflow.connectors.base import (
    NO_TOPICS,
    Appendable,
    Appender,
    Publisher,
    Reader,
    Sink,
    Source,
    TopicAdmin,
    TopicInfo,
)
from rayflow.connectors.kafka.admin import KafkaAdmin
from rayflow.connectors.kafka.appender import KafkaAppender
from rayflow.connectors.kafka.at_least_once import AtLeastOncePublisher
from rayflow.connectors.kafka.config import KafkaSettings, merge, parse_url
from rayflow.connectors.kafka.publisher import ExactlyOncePublisher
from rayflow.connectors.kafka.reader import KafkaReader
from rayflow.connectors.kafka.security import protection
from rayflow.core.topics import ConnectorSpec

_logger = logging.getLogger(__name__)


class KafkaConnector(Source, Sink, TopicAdmin, Appendable):
    """Topics of one Kafka cluster.

    Args:
        url: `kafka://host:port,host:port`.
        config: settings of librdkafka by their own names; they override RAYFLOW_KAFKA_* of the environment.
        run: the broker of the run, if this may be another cluster, which has a login of its own. None: this is it.

    Raises InvalidConnector for an invalid URL or setting.

    >>> KafkaConnector("kafka://broker:9092", {"security.protocol": "SASL_SSL", "sasl.password": "secret"})
    KafkaConnector('kafka://broker:9092')
    """

    def __init__(
        self,
        url: str,
        config: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        run: ConnectorSpec | None = None,
    ) -> None:
        bootstrap = parse_url(url)
        self.url = f"kafka://{bootstrap}"
        given = merge(config or {}, os.environ if environment is None else environment, self.url, run)
        self._protocol, unused = protection(given)
        if unused:
            _logger.warning("%s: no effect with security.protocol=%s (%s)", unused, self._protocol, self.url)
            self._protocol += f" (no effect: {unused})"
        self._settings = KafkaSettings(bootstrap, given)
        self._admin = KafkaAdmin(self._settings)

    def __repr__(self) -> str:
        return f"KafkaConnector({self.url!r})"

    def topics(self) -> list[TopicInfo]:
        """All topics by name, without Kafka's and rayflow's internal ones."""
        return self._admin.topics()

    def partitions(self, topic: str) -> int:
        """The topic's current number of partitions. Asks the broker each time, so added partitions are seen."""
        return self._admin.partitions(topic)

    def create(self, topic: str, partitions: int, replication: int | None = None) -> None:
        """Create a topic, and wait until it is usable. `replication` None: as configured on the broker."""
        self._admin.create(topic, partitions, replication)

    def delete(self, topic: str) -> None:
        """Delete a topic, and wait until it is gone."""
        self._admin.delete(topic)

    def reader(self, group: str) -> Reader:
        """A reader that shows its positions in the consumer group `group`."""
        return KafkaReader(self._settings, group)

    def publisher(self, job: str, slot: int, delivery: str, topics: Mapping[str, str] = NO_TOPICS) -> Publisher:
        """A publisher for one worker. With exactly-once delivery, its transactional id is `rayflow-JOB-SLOT`."""
        if delivery == "at_least_once":
            return AtLeastOncePublisher(self._settings, job)
        return ExactlyOncePublisher(self._settings, self._admin, job, slot)

    def appender(self) -> Appender:
        """A writer that belongs to no job."""
        return KafkaAppender(self._settings, self._admin)

    def check(self, timeout: float = 5.0) -> str:
        """Connect to the cluster, and return its id, the protocol, and its brokers."""
        return f"{self._protocol} to {self._admin.check(timeout)}"

    def identity(self, topic: str) -> str:
        """The cluster's id, whichever of its brokers the URL names, and the id of the topic."""
        return f"kafka:{self._admin.cluster_id()}#{self._admin.topic_id(topic)}"

    def close(self) -> None:
        """Close the connection for topics."""
        self._admin.close()

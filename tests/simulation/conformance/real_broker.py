"""A real broker, as scripts use a broker: by plain confluent-kafka; it is read by rayflow's own reader."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as Place

from rayflow.connectors.kafka.connector import KafkaConnector
from rayflow.connectors.kafka.faults import FENCED
from rayflow.connectors.kafka.markers import group_metadata
from rayflow.core.ids import TopicPartition
from tests.kafka.client import QUIET, Kafka, until
from tests.simulation.conformance.model_broker import batch_of
from tests.simulation.conformance.reading import (
    PARTITIONS,
    Read,
    new_topic,
    offset_in_kafka,
    read_to_ends,
    told_at_assign,
)
from tests.simulation.conformance.script import (
    GROUPS,
    Abort,
    Append,
    Begin,
    Commit,
    Forget,
    Init,
    Offsets,
    Operation,
    Produce,
    Seen,
    SetOffset,
    TimePasses,
)

SECONDS = 40


class RealBroker:
    """A topic, groups and transactional ids that nobody else uses. `transaction_timeout` in ms."""

    def __init__(self, kafka: Kafka, transaction_timeout: int) -> None:
        self._kafka = kafka
        self._timeouts = {"transaction.timeout.ms": transaction_timeout, "socket.timeout.ms": transaction_timeout}
        self._topic = new_topic(kafka)
        self._groups = {group: f"{self._topic}-{group}" for group in GROUPS}
        self._members: dict[str, Any] = {}
        self._clients: dict[str, Producer] = {}
        self._plain = self._producer(None)
        self._written = 0

    def do(self, operation: Operation) -> str:
        try:
            self._do(operation)
        except KafkaException as failure:
            error: KafkaError = failure.args[0]
            if error.fatal() and error.code() in FENCED:
                return "fenced"
            raise
        return "done"

    def _do(self, operation: Operation) -> None:
        match operation:
            case Init(client, id):
                self._clients[client] = self._producer(f"{self._topic}-{id}")
                self._clients[client].init_transactions(SECONDS)
            case Begin(client):
                self._clients[client].begin_transaction()
            case Produce(client, partition, count):
                self._write(self._clients[client], partition, count)
            case Offsets(client, group, partition, offset):
                place = Place(self._topic, partition, offset, f"{client} {offset}")
                self._clients[client].send_offsets_to_transaction([place], self._member(group), SECONDS)
            case Commit(client):
                self._clients[client].commit_transaction(SECONDS)
            case Abort(client):
                self._clients[client].abort_transaction(SECONDS)
            case Append(partition, count):
                self._write(self._plain, partition, count)
            case SetOffset(group, partition, offset):
                self._kafka.set_offset(self._groups[group], self._topic, partition, offset)
            case Forget(group):
                self._forget(self._groups[group])
            case TimePasses():
                until(lambda: not self._kafka.open_transactions(self._topic), SECONDS)

    def observe(self) -> Seen:
        seen: Seen = {}
        for what, committed in (("stable", True), ("end", False)):
            for p, offset in enumerate(self._kafka.ends(self._topic, committed)):
                seen[what, "topic", p] = offset
        for name, group in self._groups.items():
            for p in range(PARTITIONS):
                seen["offset", name, p] = offset_in_kafka(self._kafka, group, TopicPartition(self._topic, p))
        return seen

    def read(self, positions: dict[int, int]) -> Read:
        connector = KafkaConnector(self._kafka.url, {}, {})
        try:
            return read_to_ends(connector.reader("reader"), self._topic, positions)
        finally:
            connector.close()

    def assign(self, positions: dict[int, int | None]) -> str:
        """What a reader is told."""
        connector = KafkaConnector(self._kafka.url, {}, {})
        try:
            return told_at_assign(connector.reader("reader"), self._topic, positions)
        finally:
            connector.close()

    def _producer(self, id: str | None) -> Producer:
        settings: dict[str, Any] = {"bootstrap.servers": self._kafka.bootstrap, "linger.ms": 0, **QUIET}
        if id is not None:
            settings |= {"transactional.id": id, "retry.backoff.ms": 10, **self._timeouts}
        return Producer(settings)

    def _write(self, producer: Producer, partition: int, count: int) -> None:
        """Write, and wait until the records are there or the producer has failed for good."""
        end = self._kafka.ends(self._topic, committed=False)[partition] + count
        batch = batch_of(self._topic, partition, range(self._written, self._written + count))
        self._written += count
        for key, value, timestamp in zip(batch.keys, batch.values, batch.timestamps, strict=True):
            try:
                producer.produce(self._topic, value, key, partition, timestamp=timestamp)
            except KafkaException as failure:
                if failure.args[0].code() == KafkaError._FATAL:
                    producer.abort_transaction(SECONDS)  # raises what has happened before, which `produce` does not say
                raise

        def written() -> bool:
            producer.poll(0)
            return self._kafka.ends(self._topic, committed=False)[partition] == end

        until(written, SECONDS)

    def _member(self, group: str) -> Any:
        if group not in self._members:
            self._members[group] = group_metadata(self._groups[group])
        return self._members[group]

    def _forget(self, group: str) -> None:
        try:
            self._kafka.admin.delete_consumer_groups([group])[group].result(SECONDS)
        except KafkaException as failure:
            if failure.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise


class _Silent:
    """Takes librdkafka's log: that a producer is fenced is what a script wants."""

    def log(self, *_: object) -> None:
        """Nothing is kept."""

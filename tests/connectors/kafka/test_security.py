"""SASL and TLS: who is let in, and how soon one who is not is told."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable

import pytest

from rayflow.connectors.kafka.connector import KafkaConnector
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import AuthenticationFailed, BrokerUnavailable
from rayflow.core.ids import Marker, SinkTask, TopicPartition
from tests.kafka.client import PASSWORD, USER, Kafka

TASK = SinkTask("out", 0)
SCRAM = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-256", "sasl.username": USER}


def test_a_login_by_scram_reads_and_writes(kafka_sasl: Kafka) -> None:
    environment = {"RAYFLOW_KAFKA_SASL_PASSWORD": PASSWORD}
    connector = KafkaConnector(f"kafka://{kafka_sasl.sasl}", SCRAM, environment)
    topic = kafka_sasl.create()
    publisher = connector.publisher(f"job-{topic}", 0, "exactly_once")
    publisher.open([TASK])
    list(publisher.publish(Marker("l", 1), {TASK: [EncodedBatch(topic, [b"k"], [b"v"], [1])]}, {}))
    publisher.close()
    reader = connector.reader(f"job-{topic}")
    reader.assign({TopicPartition(topic, 0): None})
    found: list[bytes] = []
    end = time.monotonic() + 30
    while not found:
        found = [value for one in reader.poll(10, 0.1) for value in one.batch.values]
        assert time.monotonic() < end
    assert found == [b"v"]
    reader.close()
    connector.close()


USES: dict[str, Callable[[KafkaConnector], object]] = {
    "topics": lambda connector: connector.topics(),
    "check": lambda connector: connector.check(),
    "partitions": lambda connector: connector.partitions("t"),
    "create": lambda connector: connector.create("t", 1),
    "reader": lambda connector: connector.reader("g").assign({TopicPartition("t", 0): None}),
    "publisher": lambda connector: connector.publisher("j", 0, "exactly_once").open([TASK]),
    "at least once": lambda connector: connector.publisher("j", 0, "at_least_once").open([TASK]),
    "appender": lambda connector: connector.appender().append(EncodedBatch("t", [b"k"], [b"v"], [1])),
}


@pytest.mark.parametrize("use", USES)
def test_a_wrong_password_is_refused_without_waiting_or_showing_it(
    kafka_sasl: Kafka, use: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    connector = KafkaConnector(f"kafka://{kafka_sasl.sasl}", {**SCRAM, "sasl.password": "hunter2"}, {})
    with pytest.raises(AuthenticationFailed) as refused:
        USES[use](connector)
    assert "hunter2" not in str(refused.value) + caplog.text


def test_tls_to_a_listener_without_it_is_said_to_be_that(kafka: Kafka) -> None:
    connector = KafkaConnector(kafka.url, {"security.protocol": "SSL"}, {})
    with pytest.raises(BrokerUnavailable, match="SSL"):
        connector.check(0.7)


def test_a_handshake_that_cannot_succeed_is_refused_without_waiting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1_024)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        connector = KafkaConnector(f"kafka://127.0.0.1:{server.getsockname()[1]}", {"security.protocol": "SSL"}, {})
        with pytest.raises(AuthenticationFailed):
            connector.check(60)
        server.shutdown(socket.SHUT_RDWR)

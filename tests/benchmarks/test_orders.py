"""Reading back what a contender has written."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka import Producer

from benchmarks.orders import Topics
from tests.kafka.client import Kafka


class Noticing:
    """A consumer that sets an event once it has said that a partition ends."""

    def __init__(self, consumer: Any, ended: threading.Event) -> None:
        self._consumer, self._ended = consumer, ended

    def consume(self, *arguments: Any) -> Any:
        messages = self._consumer.consume(*arguments)
        if any(message.error() is not None for message in messages):
            self._ended.set()
        return messages

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)


def test_an_output_is_read_to_its_end_though_readers_do_not_get_past_its_last_commit_yet(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit is answered before readers get past it, on each partition at a time of its own."""
    topics, topic, ended = Topics(kafka.bootstrap), kafka.create(partitions=2), threading.Event()
    made = topics._consumer
    monkeypatch.setattr(topics, "_consumer", lambda *given, **more: Noticing(made(*given, **more), ended))
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": topic})
    producer.init_transactions(30)
    for value in (b"first", b"second"):
        producer.begin_transaction()
        for partition in (0, 1):
            producer.produce(topic, value, partition=partition)
        if value == b"first":
            producer.commit_transaction(30)
    producer.flush(30)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: list(topics.read(topic)))
        assert ended.wait(60)
        producer.commit_transaction(30)
        found = reading.result(60)
    per_partition = [[message.value() for message in found if message.partition() == p] for p in (0, 1)]
    assert per_partition == [[b"first", b"second"]] * 2

"""What a flush says while it waits: a scripted producer and clock instead of a broker."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from rayflow.connectors.kafka import at_least_once
from rayflow.connectors.kafka.at_least_once import AtLeastOncePublisher
from rayflow.connectors.kafka.client import Contact
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import Marker, SinkTask


def flushed(
    monkeypatch: pytest.MonkeyPatch, left: Sequence[tuple[float, int]], outage: str | None = None
) -> list[tuple[str, str | None]]:
    """Each step of a flush with the outage that is shown then, and after it. `left`: at which second how many records
    are still on their way."""
    script, now = iter(left), [0.0]

    class Scripted:
        contact = Contact()

        def __init__(self, _settings: Any) -> None:
            self.contact.outage = outage

        def connect(self) -> None:
            now[0] += 100.0

        def advance(self, _seconds: float) -> int:
            after, records = next(script)
            now[0] = 100.0 + after
            return records

    monkeypatch.setattr(at_least_once, "PlainProducer", Scripted)
    monkeypatch.setattr(at_least_once, "time", SimpleNamespace(monotonic=lambda: now[0]))
    publisher = AtLeastOncePublisher(KafkaSettings("localhost:9092"), "job")
    publisher.open([])
    assert now[0] == 100.0
    steps = [(step, publisher.outage) for step in publisher.flush()]
    assert publisher._producer is not None
    assert publisher._producer.contact.outage is None
    return [*steps, ("done", publisher.outage)]


def test_while_records_go_out_a_flush_is_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert flushed(monkeypatch, [(0.9, 3), (1.8, 2), (2.7, 1), (2.8, 0)]) == [
        ("flushing", None),
        ("flushing", None),
        ("flushing", None),
        ("done", None),
    ]


def test_when_nothing_has_moved_for_a_second_a_flush_waits_until_something_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert flushed(monkeypatch, [(0.5, 3), (1.5, 3), (3.5, 3), (3.6, 2), (3.7, 0)]) == [
        ("flushing", None),
        ("flushing", None),
        ("waiting", "no answer for 3 s"),
        ("flushing", None),
        ("done", None),
    ]


def test_a_flush_that_waits_says_what_its_connections_have_met(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = flushed(monkeypatch, [(0.5, 3), (3.5, 3), (3.6, 0)], outage="refused")
    assert steps == [("flushing", None), ("waiting", "refused"), ("done", None)]


def test_a_publisher_that_is_not_open_writes_nothing() -> None:
    publisher = AtLeastOncePublisher(KafkaSettings("localhost:9092"), "job")
    task = SinkTask("out", 0)
    assert publisher.markers([task]) == {task: None}
    publisher.close()
    with pytest.raises(InvariantBroken):
        publisher.append([])
    with pytest.raises(InvariantBroken):
        next(publisher.flush())
    with pytest.raises(InvariantBroken):
        publisher.publish(Marker("l", 1), {}, {})


def test_a_publisher_that_was_closed_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_least_once, "PlainProducer", lambda settings: SimpleNamespace(connect=lambda: None))
    publisher = AtLeastOncePublisher(KafkaSettings("localhost:9092"), "job")
    publisher.open([])
    publisher.close()
    with pytest.raises(InvariantBroken):
        publisher.append([])

"""Two small connectors, as somebody would write them who adds one: `Feed` can only be read, `Outbox` only written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from rayflow.connectors.base import NO_TOPICS, Polled, Publisher, Reader, Sink, Source
from rayflow.connectors.registry import KINDS, Kind, Part
from rayflow.connectors.steps import PRODUCED
from rayflow.core.batch import Batch, EncodedBatch, Origin
from rayflow.core.errors import EncodeFailed, InvariantBroken, SourceDataLost, UnknownTopic
from rayflow.core.ids import Marker, SinkTask, TopicPartition
from rayflow.serde.base import Serde

FED: dict[str, list[list[bytes]]] = {}
"""The values in each partition of each topic that a Feed reads."""
SENT: dict[str, list[bytes]] = {}
"""The values that an Outbox has sent to each topic."""

FEED = Kind("tests.contracts.toys:Feed", "feed:", Part.READ)
OUTBOX = Kind("tests.contracts.toys:Outbox", "outbox:", Part.WRITE, exactly_once=False)


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have both kinds known, and nothing in them, for one test."""
    monkeypatch.setitem(KINDS, "feed", FEED)
    monkeypatch.setitem(KINDS, "outbox", OUTBOX)
    FED.clear()
    SENT.clear()


class Feed(Source):
    """Topics in this process."""

    def __init__(self, url: str, config: Mapping[str, str]) -> None:
        self.url = url

    def check(self, timeout: float = 5.0) -> str:
        return f"{len(FED)} topics"

    def partitions(self, topic: str) -> int:
        if topic not in FED:
            raise UnknownTopic("Nobody feeds this topic", topic=topic)
        return len(FED[topic])

    def identity(self, topic: str) -> str:
        self.partitions(topic)
        return f"feed#{topic}"

    def reader(self, group: str) -> FeedReader:
        return FeedReader(self)


class FeedReader(Reader):
    """A position is the index of a value."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._positions: dict[TopicPartition, int] = {}
        self._paused = False

    def assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        for place, position in positions.items():
            if place.partition >= self._feed.partitions(place.topic):
                raise UnknownTopic("The topic has no such partition", topic=place.topic, partition=place.partition)
            if position is not None and position > len(FED[place.topic][place.partition]):
                raise SourceDataLost("The partition ends before this position", topic=place.topic, offset=position)
        self._positions = {place: position or 0 for place, position in positions.items()}

    def poll(self, max_records: int, timeout: float) -> list[Polled]:
        polled: list[Polled] = []
        for place, start in () if self._paused else self._positions.items():
            values = FED[place.topic][place.partition][start : start + max_records]
            if values:
                max_records -= len(values)
                self._positions[place] = end = start + len(values)
                none = [None] * len(values)
                batch = Batch.read(Origin(*place), none, values, [0] * len(values), range(start, end))
                polled.append(Polled(batch, end))
        return polled

    def ends(self, timeout: float = 30.0) -> dict[TopicPartition, int]:
        return {place: len(FED[place.topic][place.partition]) for place in self._positions}

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def close(self) -> None:
        self._positions = {}


class Outbox(Sink):
    """Sends values away, at least once. It takes no more than 100 bytes."""

    exactly_once = False

    def __init__(self, url: str, config: Mapping[str, str]) -> None:
        self.url = url

    @classmethod
    def accepting(cls, serde: Serde[object]) -> Serde[object]:
        return Short(serde)

    def check(self, timeout: float = 5.0) -> str:
        return "sends"

    def publisher(self, job: str, slot: int, delivery: str, topics: Mapping[str, str] = NO_TOPICS) -> Publisher:
        return OutboxPublisher()


class Short(Serde[object]):
    """Encodes as another serde does, at most 100 bytes."""

    def __init__(self, serde: Serde[object]) -> None:
        self._serde = serde
        self.name = serde.name

    def decode_one(self, data: bytes) -> object:
        return self._serde.decode_one(data)

    def encode_one(self, value: object) -> bytes:
        data = self._serde.encode_one(value)
        if len(data) > 100:
            raise EncodeFailed("The value is too long to send")
        return data


class OutboxPublisher(Publisher):
    """Values wait until they are flushed."""

    def __init__(self) -> None:
        self._waiting: list[EncodedBatch] = []

    def open(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        return dict.fromkeys(sinks)

    def markers(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        return dict.fromkeys(sinks)

    def publish(
        self,
        marker: Marker,
        outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
        positions: Mapping[TopicPartition, int],
    ) -> Iterator[str]:
        raise InvariantBroken("An outbox has no markers")

    def append(self, outputs: Sequence[EncodedBatch]) -> None:
        self._waiting += outputs

    def flush(self) -> Iterator[str]:
        for batch in self._waiting:
            SENT.setdefault(batch.topic, []).extend(value for value in batch.values if value is not None)
            yield PRODUCED
        self._waiting = []

    def close(self) -> None:
        self._waiting = []

"""Records that the contract of connectors writes and reads back, and the names of its fixtures' types."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from rayflow.connectors.base import Appendable, Polled, Publisher, Reader, Sink, Source, TopicAdmin
from rayflow.core.batch import EncodedBatch, Headers
from rayflow.core.ids import Marker, SinkTask, TopicPartition


class Whole(Source, Sink, TopicAdmin, Appendable):
    """A connector that has all parts."""


MakeConnector: TypeAlias = Callable[[], Whole]
MakeTopic: TypeAlias = Callable[..., str]
Fill: TypeAlias = Callable[[Sequence[Sequence[int]]], str]
Values: TypeAlias = Callable[[str], list[bytes]]
ShownPositions: TypeAlias = Callable[[str, list[TopicPartition]], dict[TopicPartition, int]]

STEPS = ["begun", "produced", "marked", "positioned", "committing", "committed"]
DEADLINE = 60.0
"""Seconds after which a test gives up waiting."""

MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
"""The vectors of Apache Kafka's own UtilsTest.testMurmur2."""


def line(n: int) -> bytes:
    """The value of record `n`."""
    return b'{"n": %d}' % n


def number(value: bytes) -> int:
    """The record's number, from its value."""
    return int(json.loads(value)["n"])


def batch_of(
    topic: str,
    numbers: Sequence[int],
    *,
    key: bytes | None = b"k",
    partition: int | None = None,
    headers: list[Headers] | None = None,
) -> EncodedBatch:
    """Records `numbers` with one key."""
    values: list[bytes | None] = [line(n) for n in numbers]
    stamps = [1_700_000_000_000 + n for n in numbers]
    return EncodedBatch(topic, [key] * len(values), values, stamps, headers, partition)


def read_to_end(reader: Reader, seen: dict[TopicPartition, int] | None = None, at_once: int = 1_000) -> list[Polled]:
    """Poll until every assigned partition's end is reached; `seen` holds positions reached before."""
    ends = reader.ends()
    reached = dict(seen or {})
    found: list[Polled] = []
    limit = time.monotonic() + DEADLINE
    while any(reached.get(place, 0) < end for place, end in ends.items()):
        polled = reader.poll(at_once, 0.1)
        assert sum(len(one.batch) for one in polled) <= at_once
        for one in polled:
            place = TopicPartition(*one.batch.origin)
            assert one.next_position > reached.get(place, -1)
            reached[place] = one.next_position
        found += polled
        assert time.monotonic() < limit, f"ends {ends} not reached: {reached}"
    return found


def by_partition(polled: list[Polled]) -> dict[int, list[int]]:
    """The numbers of the records read, per partition, in order."""
    numbers: dict[int, list[int]] = {}
    for one in polled:
        numbers.setdefault(one.batch.origin.partition, []).extend(map(number, one.batch.values))
    return {partition: found for partition, found in numbers.items() if found}


def everything(connector: Source, topic: str) -> list[Polled]:
    """All committed records of a topic."""
    reader = connector.reader("everything")
    try:
        reader.assign({TopicPartition(topic, p): None for p in range(connector.partitions(topic))})
        return read_to_end(reader)
    finally:
        reader.close()


def run(
    publisher: Publisher,
    marker: Marker,
    outputs: dict[SinkTask, list[EncodedBatch]],
    positions: dict[TopicPartition, int] | None = None,
) -> list[str]:
    """Publish an epoch to its end; the names of its steps."""
    return list(publisher.publish(marker, outputs, positions or {}))


def until(steps: Iterator[str], name: str) -> None:
    """Take steps until the one of that name has been yielded."""
    for step in steps:
        if step == name:
            return
    raise AssertionError(f"no step {name}")


def until_is(ask: Callable[[], object], wanted: object) -> None:
    """Ask until the answer is the one wanted, as of systems that take a moment."""
    limit = time.monotonic() + DEADLINE
    while (answer := ask()) != wanted:
        assert time.monotonic() < limit, answer

"""Reads a topic outside a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rayflow.connectors.base import Polled, Reader, Source
from rayflow.core.ids import TopicPartition

_BATCH = 1_000
_WAIT = 0.2
"""Seconds that a poll waits."""
_PATIENCE = 25
"""Empty polls in a row after which reading ends."""


def read_topic(
    source: Source, topic: str, *, from_start: bool, follow: bool, wanted: Callable[[], bool] = lambda: True
) -> Iterator[Polled]:
    """Committed records of all partitions.

    Starts at the first record or at the current ends; stops at the current ends, or never with `follow`. Called before
    each poll, `wanted` can end it earlier. Raises UnknownTopic, BrokerUnavailable.
    """
    partitions = [TopicPartition(topic, number) for number in range(source.partitions(topic))]
    reader = source.reader("rayflow-topics-read")
    try:
        reader.assign(dict.fromkeys(partitions))
        ends = reader.ends()
        if not from_start:
            reader.assign(ends)
        if follow:
            while wanted():
                yield from reader.poll(_BATCH, _WAIT)
        else:
            yield from _until(reader, ends, wanted)
    finally:
        reader.close()


def _until(reader: Reader, ends: dict[TopicPartition, int], wanted: Callable[[], bool]) -> Iterator[Polled]:
    """Records before `ends`. Also stops after 25 empty polls: retention may have removed the last records."""
    open_ends = {partition: end for partition, end in ends.items() if end > 0}
    idle = 0
    while open_ends and idle < _PATIENCE and wanted():
        arrived = reader.poll(_BATCH, _WAIT)
        idle = 0 if arrived or reader.outage else idle + 1
        for polled in arrived:
            partition = TopicPartition(*polled.batch.origin)
            end = open_ends.get(partition)
            if end is None:
                continue
            if polled.next_position >= end:
                del open_ends[partition]
                polled.batch = polled.batch.select([offset < end for offset in polled.batch.offsets])
            yield polled

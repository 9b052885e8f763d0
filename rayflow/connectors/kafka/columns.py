"""Turns librdkafka's messages into batches, column by column: no Python code runs per record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

from confluent_kafka import Message

from rayflow.connectors.base import Polled
from rayflow.core.batch import Batch, Origin

Accessor: TypeAlias = Callable[[Any], Any]

# C methods of the class: `map` with one of them makes a column without a Python frame per record.
_topic: Accessor = Message.topic
_partition: Accessor = Message.partition
_offset: Accessor = Message.offset
_key: Accessor = Message.key
_value: Accessor = Message.value
_headers: Accessor = Message.headers
_timestamp: Accessor = Message.timestamp
_second = itemgetter(1)


def timestamps_of(messages: list[Any]) -> list[int]:
    """Their timestamps, ms since the Unix epoch; -1 for a message without one, such as an event."""
    return list(map(_second, map(_timestamp, messages)))


def polled_of(messages: list[Any], timestamps: list[int], *, one_topic: bool) -> list[Polled]:
    """The records, in runs of one partition each. `messages` contains at least one record, and no events.

    `one_topic`: all records belong to one topic.
    """
    places: list[Any] = list(map(_partition, messages))
    if not one_topic:
        places = list(zip(map(_topic, messages), places, strict=True))
    if places.count(places[0]) == len(places):
        return [_run(messages, timestamps)]
    polled: list[Polled] = []
    start = 0
    for _, run in groupby(places):
        end = start + len(list(run))
        polled.append(_run(messages[start:end], timestamps[start:end]))
        start = end
    return polled


def _run(messages: list[Any], timestamps: list[int]) -> Polled:
    origin = Origin(messages[0].topic(), messages[0].partition())
    first, last = messages[0].offset(), messages[-1].offset()
    offsets: Sequence[int]
    # Offsets of a partition only rise, so the ends of a run show whether it has gaps.
    if last - first + 1 == len(messages):
        offsets = range(first, last + 1)
    else:
        offsets = list(map(_offset, messages))
    found = list(map(_headers, messages))
    headers = None if found.count(None) == len(found) else [some or [] for some in found]
    keys, values = list(map(_key, messages)), list(map(_value, messages))
    return Polled(Batch.read(origin, keys, values, timestamps, offsets, headers), last + 1)

"""Messages become batches of one partition each."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Message

from rayflow.connectors.kafka.columns import polled_of, timestamps_of


def message(topic: str, partition: int, offset: int, headers: Any = None) -> Message:
    return Message(
        topic=topic,
        partition=partition,
        offset=offset,
        key=b"k%d" % offset,
        value=b"v%d" % offset,
        headers=headers,
        timestamp=(1, 100 + offset),
    )


def shape(messages: list[Message], *, one_topic: bool = False) -> list[tuple[Any, ...]]:
    polled = polled_of(messages, timestamps_of(messages), one_topic=one_topic)
    return [(*one.batch.origin, one.batch.offsets, one.batch.timestamps, one.next_position) for one in polled]


def test_messages_of_one_partition_are_one_batch() -> None:
    messages = [message("t", 1, offset) for offset in (4, 5, 6)]
    (one,) = polled_of(messages, timestamps_of(messages), one_topic=True)
    assert one.batch.offsets == range(4, 7)
    assert isinstance(one.batch.offsets, range)
    assert one.batch.keys == [b"k4", b"k5", b"k6"]
    assert one.batch.values == [b"v4", b"v5", b"v6"]
    assert one.batch.timestamps == [104, 105, 106]
    assert one.batch.headers is None
    assert (tuple(one.batch.origin), one.next_position) == (("t", 1), 7)


def test_offsets_with_gaps_are_kept_one_by_one() -> None:
    assert shape([message("t", 1, offset) for offset in (4, 6, 9)]) == [("t", 1, [4, 6, 9], [104, 106, 109], 10)]


@pytest.mark.parametrize("one_topic", [True, False])
def test_each_run_of_a_partition_is_a_batch(one_topic: bool) -> None:
    messages = [message("t", partition, offset) for partition, offset in ((0, 1), (0, 2), (1, 1), (0, 3), (2, 8))]
    assert shape(messages, one_topic=one_topic) == [
        ("t", 0, range(1, 3), [101, 102], 3),
        ("t", 1, range(1, 2), [101], 2),
        ("t", 0, range(3, 4), [103], 4),
        ("t", 2, range(8, 9), [108], 9),
    ]


def test_partitions_of_the_same_number_in_two_topics_are_two_batches() -> None:
    messages = [message("t", 0, 1), message("u", 0, 2)]
    assert shape(messages) == [("t", 0, range(1, 2), [101], 2), ("u", 0, range(2, 3), [102], 3)]


def test_headers_are_there_for_all_records_once_one_has_some() -> None:
    messages = [message("t", 0, 1), message("t", 0, 2, [("h", b"1")])]
    (one,) = polled_of(messages, timestamps_of(messages), one_topic=True)
    assert one.batch.headers == [[], [("h", b"1")]]

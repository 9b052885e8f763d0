"""The outbox in front of a producer whose queue is full now and then."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, Producer

from rayflow.connectors.kafka import outbox as outboxes
from rayflow.connectors.kafka.outbox import SLICE, DeliveryErrors, Outbox
from rayflow.core.batch import EncodedBatch


class Queue:
    """Takes records as librdkafka's queue does: as many as there is room for, then BufferError."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken: list[tuple[Any, ...]] = []

    def produce(self, topic: str, value: bytes, key: bytes, partition: int, *rest: Any) -> None:
        if not self.room:
            raise BufferError
        self.room -= 1
        self.taken.append((topic, value, key, partition, *rest[2:]))


def batches(sizes: list[int]) -> list[EncodedBatch]:
    return [
        EncodedBatch(
            f"t{number % 2}",
            [b"k%d" % row for row in range(size)],
            [b"%d-%d" % (number, row) for row in range(size)],
            list(range(1, size + 1)),
            [[("h", b"%d" % row)] for row in range(size)] if number % 3 == 0 else None,
            number % 2 or None,
        )
        for number, size in enumerate(sizes)
    ]


def expected(given: list[EncodedBatch]) -> list[tuple[Any, ...]]:
    return [
        (
            batch.topic,
            batch.values[row],
            batch.keys[row],
            -1 if batch.partition is None else batch.partition,
            batch.timestamps[row],
            *([] if batch.headers is None else [batch.headers[row]]),
        )
        for batch in given
        for row in range(len(batch))
    ]


@pytest.mark.parametrize("room", [0, 1, 7, 10, 11])
def test_handed_counts_what_a_queue_took_before_it_was_full(room: int) -> None:
    queue = Queue(room)
    outbox = Outbox(cast(Producer, queue), batches([10, 10]))
    assert not outbox.feed()
    assert (outbox.handed, len(outbox)) == (len(queue.taken), 20 - room) == (room, 20 - room)
    queue.room = 100
    assert outbox.feed()
    assert (outbox.handed, len(outbox), bool(outbox)) == (20, 0, False)


def test_every_record_is_handed_over_once_in_order_however_full_the_queue_is() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    given = batches([draw.choice([1, 2, 50, SLICE, SLICE + 3]) for _ in range(20)])
    queue = Queue(0)
    outbox = Outbox(cast(Producer, queue), given)
    while outbox:
        queue.room = draw.choice([0, 1, 10, 1_000, 2 * SLICE])
        before = outbox.handed
        outbox.feed()
        assert outbox.handed == len(queue.taken)
        assert outbox.handed - before <= SLICE
    assert queue.taken == expected(given)


def test_times_that_librdkafka_would_take_for_now_become_the_first_millisecond() -> None:
    queue = Queue(100)
    outbox = Outbox(cast(Producer, queue), [EncodedBatch("t", [None] * 4, [b"v"] * 4, [1, 0, -5, 2])])
    outbox.feed()
    assert [taken[4] for taken in queue.taken] == [1, 1, 1, 2]


def test_a_step_takes_a_slice_of_several_batches_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "SLICE", 5)
    queue = Queue(100)
    outbox = Outbox(cast(Producer, queue), batches([3, 4, 0, 2]))
    assert (len(outbox), outbox.topic) == (9, "t0")
    steps = [(outbox.feed(), outbox.handed, len(outbox), outbox.topic) for _ in range(3)]
    assert steps == [(True, 5, 4, "t1"), (True, 9, 0, None), (True, 9, 0, None)]
    outbox.add(batches([1, 2])[1:])
    assert (len(outbox), outbox.topic, bool(outbox)) == (2, "t1", True)


def test_of_failed_deliveries_each_cause_is_kept_once_a_topic() -> None:
    class Report:
        def __init__(self, topic: str) -> None:
            self.topic = lambda: topic

    errors = DeliveryErrors()
    first = KafkaError(KafkaError._TRANSPORT, "first")
    for error, topic in ((None, "t"), (first, "t"), (KafkaError(KafkaError._TRANSPORT, "second"), "t"), (first, "u")):
        errors.on_delivery(error, Report(topic))
    assert errors.causes == {(KafkaError._TRANSPORT, "t"): first, (KafkaError._TRANSPORT, "u"): first}
    assert errors.causes[KafkaError._TRANSPORT, "t"].str() == "first"

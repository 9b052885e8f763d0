"""What each part of a record's way costs alone: the least that an engine over these libraries can reach."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable
from itertools import repeat
from operator import itemgetter
from typing import Any

import msgspec
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from benchmarks.byhand import COMMIT_EVERY, Order, Running
from benchmarks.orders import Topics

BATCH = 10_000


def floors(topics: Topics, source: str, count: int) -> dict[str, float]:
    """CPU per record of each part alone, us: the thread's own; librdkafka's threads of both directions together."""
    began, own = time.process_time(), time.thread_time()
    batches = consumed(topics, source, count)
    consume, fetching = time.thread_time() - own, time.process_time() - began
    columns: list[tuple[list[Any], list[Any], list[Any]]] = []
    accessors = timed(lambda: columns.extend(map(columns_of, batches)))
    batches.clear()
    decoder, encoder = msgspec.json.Decoder(Order), msgspec.json.Encoder()
    decoded: list[list[Order]] = []
    decode = timed(lambda: decoded.extend(list(map(decoder.decode, values)) for _, values, _ in columns))
    counted: list[list[Running]] = []
    operators = timed(lambda: counted.extend(counts([keys for keys, _, _ in columns], decoded)))
    encoded: list[list[bytes]] = []
    encode = timed(lambda: encoded.extend(list(map(encoder.encode, results)) for results in counted))
    began, own = time.process_time(), time.thread_time()
    publish_all(topics, [keys for keys, _, _ in columns], encoded, [stamps for _, _, stamps in columns])
    publish, sending = time.thread_time() - own, time.process_time() - began
    spent = {
        "consume": consume,
        "accessors": accessors,
        "decode": decode,
        "operators": operators,
        "encode": encode,
        "publish": publish,
        "librdkafka's threads": fetching - consume + sending - publish,
    }
    return {part: seconds * 1e6 / count for part, seconds in spent.items()}


def timed(call: Callable[[], object]) -> float:
    """CPU seconds of this thread."""
    began = time.thread_time()
    call()
    return time.thread_time() - began


def consumed(topics: Topics, source: str, count: int) -> list[list[Message]]:
    """All messages, as they were given."""
    consumer = Consumer(
        {
            "bootstrap.servers": topics.broker,
            "group.id": "benchmarks-floors",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "queued.min.messages": 200_000,
            "fetch.min.bytes": 100_000,
            "log_level": 0,
        }
    )
    partitions = consumer.list_topics(source, 30).topics[source].partitions
    consumer.assign([TopicPartition(source, p, 0) for p in partitions])
    batches: list[list[Message]] = []
    seen = 0
    while seen < count:
        if messages := consumer.consume(BATCH, 0.1):
            batches.append(messages)
            seen += len(messages)
    consumer.close()
    return batches


def columns_of(messages: list[Message]) -> tuple[list[Any], list[Any], list[Any]]:
    """Keys, values and timestamps."""
    stamps = list(map(itemgetter(1), map(Message.timestamp, messages)))
    return list(map(Message.key, messages)), list(map(Message.value, messages)), stamps


def counts(keys: list[list[Any]], decoded: list[list[Order]]) -> list[list[Running]]:
    """A running count and revenue per key, as a plain loop over a dict."""
    rows: dict[bytes, tuple[int, float]] = {}
    results: list[list[Running]] = []
    for some, orders in zip(keys, decoded, strict=True):
        out: list[Running] = []
        for key, order in zip(some, orders, strict=True):
            number, revenue = rows.get(key, (0, 0.0))
            rows[key] = row = (number + 1, revenue + order.price * order.qty)
            out.append(Running(key.decode(), *row))
        results.append(out)
    return results


def publish_all(topics: Topics, keys: list[list[Any]], values: list[list[bytes]], stamps: list[list[int]]) -> None:
    """Into a new topic, in transactions of about a second."""
    sink = f"bench-floors-{uuid.uuid4().hex[:8]}"
    topics.create(sink)
    producer = Producer(
        {
            "bootstrap.servers": topics.broker,
            "transactional.id": sink,
            "linger.ms": 50,
            "queue.buffering.max.messages": 1_000_000,
            "delivery.report.only.error": True,
            "log_level": 0,
        }
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    last = time.monotonic()
    for some, encoded, times in zip(keys, values, stamps, strict=True):
        nothing: repeat[Any] = repeat(None)
        columns = (encoded, some, repeat(-1), nothing, nothing, times)
        deque(map(producer.produce, repeat(sink), *columns), maxlen=0)
        if time.monotonic() - last > COMMIT_EVERY:
            producer.commit_transaction(60)
            producer.begin_transaction()
            last = time.monotonic()
    producer.commit_transaction(60)
    topics.delete_with(sink)

"""What each part of a record's way costs alone: the least that an engine over these libraries can reach."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from itertools import repeat
from operator import itemgetter
from typing import IO, Any, TypeAlias, TypeVar
from zlib import crc32

import lmdb
import msgspec
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from benchmarks.byhand import COMMIT_EVERY, POLL, Order, Running
from benchmarks.orders import Topics
from rayflow.runtimes.machine.garbage import collected_seldom

T = TypeVar("T")
Rows: TypeAlias = dict[bytes, tuple[int, float]]
"""Count and revenue by key."""


def floors(topics: Topics, source: str, count: int) -> dict[str, float]:
    """CPU per record of each part alone, us: the thread's own; librdkafka's threads of both directions together."""
    spent: defaultdict[str, float] = defaultdict(float)

    def spend(part: str, call: Callable[..., T], *arguments: Any) -> T:
        began = time.thread_time()
        result = call(*arguments)
        spent[part] += time.thread_time() - began
        return result

    consumer, producer, sink = reading(topics, source), writing(topics), f"bench-floors-{uuid.uuid4().hex[:8]}"
    topics.create(sink)
    decode, encode = msgspec.json.Decoder(Order).decode, msgspec.json.Encoder().encode
    rows: Rows = {}
    seen = 0
    with (
        collected_seldom(),
        tempfile.TemporaryFile() as file,
        tempfile.TemporaryDirectory() as folder,
        lmdb.open(folder, 1 << 30) as state,
    ):
        began, own = time.process_time(), time.thread_time()
        producer.begin_transaction()
        last = time.monotonic()
        while seen < count:
            messages = spend("consume", consumer.consume, POLL, 0.1)
            seen += len(messages)
            keys, values, stamps = spend("accessors", columns_of, messages)
            orders = spend("decode", mapped, decode, values)
            counted = spend("operators", counts, rows, keys, orders)
            encoded = spend("encode", mapped, encode, counted)
            spend("staging", stage, file, keys, encoded, stamps)
            nothing: repeat[Any] = repeat(None)
            columns = (encoded, keys, repeat(-1), nothing, nothing, stamps)
            spend("publish", deque, map(producer.produce, repeat(sink), *columns), 0)
            if time.monotonic() - last > COMMIT_EVERY or seen >= count:
                spend("state", apply, state, rows)
                rows.clear()
                spend("publish", producer.commit_transaction, 60)
                producer.begin_transaction()
                last = time.monotonic()
        producer.abort_transaction(60)
        spent["librdkafka's threads"] = time.process_time() - began - (time.thread_time() - own)
    consumer.close()
    topics.delete_with(sink)
    return {part: seconds * 1e6 / count for part, seconds in spent.items()}


def reading(topics: Topics, source: str) -> Consumer:
    """A consumer of all of the source."""
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
    return consumer


def writing(topics: Topics) -> Producer:
    """A producer of transactions of about a second."""
    producer = Producer(
        {
            "bootstrap.servers": topics.broker,
            "transactional.id": f"benchmarks-floors-{uuid.uuid4().hex[:8]}",
            "linger.ms": 50,
            "queue.buffering.max.messages": 1_000_000,
            "delivery.report.only.error": True,
            "log_level": 0,
        }
    )
    producer.init_transactions(30)
    return producer


def columns_of(messages: list[Message]) -> tuple[list[Any], list[Any], list[Any]]:
    """Keys, values and timestamps."""
    stamps = list(map(itemgetter(1), map(Message.timestamp, messages)))
    return list(map(Message.key, messages)), list(map(Message.value, messages)), stamps


def counts(rows: Rows, keys: list[Any], orders: list[Order]) -> list[Running]:
    """A running count and revenue per key, as a plain loop over a dict."""
    out: list[Running] = []
    for key, order in zip(keys, orders, strict=True):
        number, revenue = rows.get(key, (0, 0.0))
        rows[key] = row = (number + 1, revenue + order.price * order.qty)
        out.append(Running(key.decode(), *row))
    return out


def mapped(call: Callable[[Any], T], values: list[Any]) -> list[T]:
    """A result for each value."""
    return list(map(call, values))


def stage(file: IO[bytes], *columns: list[Any]) -> None:
    """Write output to a file, with a checksum."""
    data = msgspec.msgpack.encode(columns)
    file.write(data + crc32(data).to_bytes(4, "big"))


def apply(state: Any, rows: Rows) -> None:
    """Write rows into LMDB, in order."""
    ordered = sorted(rows)
    pairs = zip(ordered, map(msgspec.msgpack.encode, map(rows.__getitem__, ordered)), strict=True)
    with state.begin(write=True) as transaction:
        transaction.cursor().putmulti(pairs)

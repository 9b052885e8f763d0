"""The layout of the embedded log's environment: one tree, in which a key's first byte is the kind of row.

| key | value |
| --- | --- |
| `v` | format |
| `i` | 16 random bytes that identify this log, even if its folder is moved |
| `n` | number of the next topic; a topic that is recreated under its old name is another topic |
| `t` name | topic number, partitions |
| `e` topic number, partition | end position |
| `r` topic number, partition, base position | a record batch (see `blob.py`) |
| `f` job, slot | fence: how often a publisher was opened for it |
| `m` job, sink operator, partition | marker: lineage, epoch |
| `p` group, topic, partition | position, for people to see |
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from rayflow.connectors.base import TopicInfo
from rayflow.connectors.embedded.environment import Environment, LmdbTransaction
from rayflow.core.errors import BrokerRefused, FormatTooNew, TopicExists, UnknownTopic
from rayflow.core.ids import Marker, SinkTask, TopicPartition

FORMAT = 1
_PARTITION = struct.Struct(">II")
_RECORDS = struct.Struct(">cIIQ")
_NUMBER = struct.Struct(">Q")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
_LONGEST = 500


class Topic(NamedTuple):
    """A topic as stored: its number, and its number of partitions."""

    number: int
    partitions: int


_topic = msgspec.msgpack.Decoder(Topic)
_marker = msgspec.msgpack.Decoder(Marker)
_position = msgspec.msgpack.Decoder(tuple[str, str, int, int])
_encode = msgspec.msgpack.encode


def prepare(environment: Environment) -> None:
    """Write the format into a new environment. Raises FormatTooNew if a newer rayflow has written it."""
    with environment.read() as txn:
        found = txn.get(b"v")
        version = None if found is None else _NUMBER.unpack(found)[0]
    if version is None:
        with environment.write() as txn:
            if txn.put(b"v", _NUMBER.pack(FORMAT), overwrite=False):
                txn.put(b"i", os.urandom(16))
    elif version > FORMAT:
        raise FormatTooNew(
            f"The embedded log at {environment.path} has format {version}; this rayflow reads format {FORMAT}"
        )


def identity_of(txn: LmdbTransaction) -> str:
    """The identity of this log."""
    return bytes(txn.get(b"i") or b"").hex()


def find_topic(txn: LmdbTransaction, name: str) -> Topic:
    """The topic of that name. Raises UnknownTopic."""
    found = txn.get(b"t" + name.encode())
    if found is None:
        raise UnknownTopic("The topic does not exist", topic=name)
    return _topic.decode(found)


def list_topics(txn: LmdbTransaction) -> list[TopicInfo]:
    """All topics by name."""
    topics = [(bytes(key[1:]).decode(), _topic.decode(value)) for key, value in _rows(txn, b"t")]
    return [
        TopicInfo(name, topic.partitions, sum(end_of(txn, topic.number, p) for p in range(topic.partitions)))
        for name, topic in topics
    ]


def create_topic(txn: LmdbTransaction, name: str, partitions: int) -> None:
    """Add a topic. Raises TopicExists; BrokerRefused for a name or a number that Kafka would refuse."""
    if not _NAME.fullmatch(name):
        raise BrokerRefused("A topic's name must be 1 to 249 characters of A-Z a-z 0-9 . _ -", topic=name)
    if partitions < 1:
        raise BrokerRefused(f"A topic needs at least one partition, not {partitions}", topic=name)
    found = txn.get(b"n")
    number = 1 if found is None else _NUMBER.unpack(found)[0]
    if not txn.put(b"t" + name.encode(), _encode(Topic(number, partitions)), overwrite=False):
        raise TopicExists("The topic already exists", topic=name)
    txn.put(b"n", _NUMBER.pack(number + 1))


def delete_topic(txn: LmdbTransaction, name: str) -> None:
    """Remove a topic with its records and the positions in it. Raises UnknownTopic."""
    topic = find_topic(txn, name)
    txn.delete(b"t" + name.encode())
    for prefix in (b"e", b"r"):
        start = prefix + struct.pack(">I", topic.number)
        cursor = txn.cursor()
        found = cursor.set_range(start)
        while found and cursor.key().startswith(start):
            found = cursor.delete()
    for key in [key for key, value in _rows(txn, b"p") if _position.decode(value)[1] == name]:
        txn.delete(key)


def end_of(txn: LmdbTransaction, topic: int, partition: int) -> int:
    """The position of the partition's next record."""
    found = txn.get(b"e" + _PARTITION.pack(topic, partition))
    return 0 if found is None else int(_NUMBER.unpack(found)[0])


def append(txn: LmdbTransaction, topic: int, partition: int, blob: bytearray, count: int) -> None:
    """Add a batch of `count` records at a partition's end."""
    end = end_of(txn, topic, partition)
    txn.put(_RECORDS.pack(b"r", topic, partition, end), blob)
    txn.put(b"e" + _PARTITION.pack(topic, partition), _NUMBER.pack(end + count))


def batch_at(txn: LmdbTransaction, topic: int, partition: int, position: int) -> tuple[int, memoryview] | None:
    """The batch that contains a position, and the position of its first record; None if there is no such batch."""
    cursor = txn.cursor()
    key = _RECORDS.pack(b"r", topic, partition, position)
    cursor.set_range(key)  # always finds a row: `t` and `v` sort behind all record batches
    if bytes(cursor.key()) == key:
        return position, cursor.value()
    cursor.prev()
    if cursor.key()[:9] != key[:9]:
        return None
    return _RECORDS.unpack(cursor.key())[3], cursor.value()


def raise_fence(txn: LmdbTransaction, job: str, slot: int) -> int:
    """Fence every earlier publisher of the slot. Returns the number of the new one."""
    fence = fence_of(txn, job, slot) + 1
    txn.put(_key(b"f", job, slot), _NUMBER.pack(fence))
    return fence


def fence_of(txn: LmdbTransaction, job: str, slot: int) -> int:
    """The number of the slot's newest publisher; 0 before the first."""
    found = txn.get(_key(b"f", job, slot))
    return 0 if found is None else int(_NUMBER.unpack(found)[0])


def marker_of(txn: LmdbTransaction, job: str, sink: SinkTask) -> Marker | None:
    """The marker of a job's sink task."""
    found = txn.get(_key(b"m", job, sink.operator, sink.partition))
    return None if found is None else _marker.decode(found)


def marker_row(job: str, sink: SinkTask, marker: Marker) -> tuple[bytes, bytes]:
    """The row that sets a marker."""
    return _key(b"m", job, sink.operator, sink.partition), _encode(marker)


def position_row(group: str, place: TopicPartition, position: int) -> tuple[bytes, bytes]:
    """The row that shows a position."""
    return _key(b"p", group, place.topic, place.partition), _encode((group, *place, position))


def positions_of(txn: LmdbTransaction, group: str) -> dict[TopicPartition, int]:
    """The positions that a group shows."""
    rows = [_position.decode(value) for _, value in _rows(txn, b"p")]
    return {TopicPartition(topic, partition): at for owner, topic, partition, at in rows if owner == group}


def _key(prefix: bytes, *parts: str | int) -> bytes:
    key = _encode(parts)
    # LMDB's keys are limited to 511 bytes; names of jobs and operators are not.
    return prefix + (key if len(key) <= _LONGEST else hashlib.blake2b(key).digest())


def _rows(txn: LmdbTransaction, prefix: bytes) -> Iterator[tuple[bytes, memoryview]]:
    cursor = txn.cursor()
    found = cursor.set_range(prefix)
    while found and bytes(cursor.key()[:1]) == prefix:
        yield bytes(cursor.key()), cursor.value()
        found = cursor.next()

"""The rows of the embedded log, in hex: topics, records, fences, markers, positions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rayflow.cli.topics.reading import read_topic
from rayflow.connectors.embedded.connector import EmbeddedConnector
from rayflow.connectors.embedded.environment import Environment, acquire
from rayflow.connectors.embedded.layout import fence_of, positions_of
from rayflow.core.batch import EncodedBatch
from rayflow.core.ids import Marker, SinkTask, TopicPartition

SINK, UNUSED = SinkTask("to-out", 1), SinkTask("to-out", 0)
MARKER = Marker("cd" * 16, 7)
RECORDS = [
    (0, b"k", b"v" * 500, 7, [("h", b"x"), ("n", None)]),
    (0, None, None, 8, []),
    (1, b"", b"", 1 << 41, []),
    (1, b"k", b"published", 9, []),
]
POSITIONS = {TopicPartition("größe", 3): 1 << 40}
CONTENT = (RECORDS, {SINK: MARKER, UNUSED: None}, POSITIONS, 2)
_IDENTITY = b"i"


@contextmanager
def _opened() -> Iterator[tuple[EmbeddedConnector, Environment]]:
    with TemporaryDirectory() as folder:
        connector = EmbeddedConnector(Path(folder) / "log")
        connector.topics()
        environment = acquire(Path(folder) / "log")
        yield connector, environment
        environment.release()
        connector.close()


def write() -> bytes:
    """The rows, as today's code makes them. The log's identity, random bytes, is left out."""
    with _opened() as (connector, environment):
        connector.create("out", 2)
        appender = connector.appender()
        for partition in (0, 1):
            _, keys, values, stamps, headers = zip(*[one for one in RECORDS[:3] if one[0] == partition], strict=True)
            batch = EncodedBatch("out", list(keys), list(values), list(stamps), list(headers), partition)
            appender.append(batch)
        appender.close()
        connector.publisher("job", 4, "exactly_once").open([])
        publisher = connector.publisher("job", 4, "exactly_once")
        publisher.open([SINK])
        list(publisher.publish(MARKER, {SINK: [EncodedBatch("out", [b"k"], [b"published"], [9], None, 1)]}, POSITIONS))
        publisher.close()
        with environment.read() as txn:
            found = {bytes(key).hex(): bytes(value).hex() for key, value in txn.cursor() if bytes(key) != _IDENTITY}
    return (json.dumps(found, indent=1) + "\n").encode()


def read(data: bytes) -> tuple[Any, ...]:
    """What a log with these rows holds: records, markers, positions, and how often the slot was fenced."""
    with _opened() as (connector, environment):
        with environment.write() as txn:
            for key, value in json.loads(data).items():
                txn.put(bytes.fromhex(key), bytes.fromhex(value))
        records = [
            (polled.batch.origin.partition, key, value, stamp, headers)
            for polled in read_topic(connector, "out", from_start=True, follow=False)
            for key, value, stamp, headers in zip(
                polled.batch.keys,
                polled.batch.values,
                polled.batch.timestamps,
                polled.batch.headers or [[]] * len(polled.batch),
                strict=True,
            )
        ]
        publisher = connector.publisher("job", 4, "exactly_once")
        markers = publisher.markers([SINK, UNUSED])
        publisher.close()
        with environment.read() as txn:
            return sorted(records, key=lambda one: one[0]), markers, positions_of(txn, "job"), fence_of(txn, "job", 4)

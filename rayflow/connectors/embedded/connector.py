"""The embedded log as a connector."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import lmdb

from rayflow.connectors.base import NO_TOPICS, Appendable, Appender, Sink, Source, TopicAdmin, TopicInfo
from rayflow.connectors.embedded import layout
from rayflow.connectors.embedded.environment import Environment, acquire
from rayflow.connectors.embedded.packing import BLOB_BYTES, Packer
from rayflow.connectors.embedded.publisher import EmbeddedPublisher, pack, write_chunks
from rayflow.connectors.embedded.reader import EmbeddedReader
from rayflow.core.batch import EncodedBatch
from rayflow.core.ids import TopicPartition


class EmbeddedAppender(Appender):
    """Collects records, and writes them in transactions of about one blob."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._packer = Packer(sticky=False)
        self._waiting: list[EncodedBatch] = []
        self._size = 0
        self._closed = False

    def append(self, batch: EncodedBatch) -> None:
        batch.check()
        self._waiting.append(batch)
        self._size += sum(map(len, filter(None, batch.values)))
        if self._size >= BLOB_BYTES:
            self.flush()

    def flush(self) -> None:
        waiting, self._waiting, self._size = self._waiting, [], 0
        chunks = list(pack(self._packer, self._environment, waiting))
        if chunks:
            with self._environment.write() as txn:
                write_chunks(txn, chunks)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                self.flush()
            finally:
                self._environment.release()


class EmbeddedConnector(Source, Sink, TopicAdmin, Appendable):
    """Topics in an LMDB environment, for any number of processes on one machine. Each commit is synced to disk.

    Args:
        path: the environment's folder; created if it does not exist.

    >>> import tempfile
    >>> log = EmbeddedConnector(Path(tempfile.mkdtemp()))
    >>> log.create("orders", partitions=2)
    >>> log.topics()
    [TopicInfo(name='orders', partitions=2, records=0)]
    >>> log.close()
    """

    takes_samples = True

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.url = f"embedded:{self.path}"
        self._held: Environment | None = None

    def identity(self, topic: str) -> str:
        with self._environment.read() as txn:
            return f"embedded:{layout.identity_of(txn)}#{layout.find_topic(txn, topic).number}"

    def topics(self) -> list[TopicInfo]:
        with self._environment.read() as txn:
            return layout.list_topics(txn)

    def partitions(self, topic: str) -> int:
        with self._environment.read() as txn:
            return layout.find_topic(txn, topic).partitions

    def create(self, topic: str, partitions: int, replication: int | None = None) -> None:
        with self._environment.write() as txn:
            layout.create_topic(txn, topic, partitions)

    def delete(self, topic: str) -> None:
        with self._environment.write() as txn:
            layout.delete_topic(txn, topic)

    def reader(self, group: str) -> EmbeddedReader:
        return EmbeddedReader(self._acquired(), group)

    def publisher(self, job: str, slot: int, delivery: str, topics: Mapping[str, str] = NO_TOPICS) -> EmbeddedPublisher:
        return EmbeddedPublisher(self._acquired(), job, slot)

    def appender(self) -> EmbeddedAppender:
        return EmbeddedAppender(self._acquired())

    def check(self, timeout: float = 5.0) -> str:
        topics = self.topics()
        records = sum(info.records or 0 for info in topics)
        version = ".".join(map(str, lmdb.version()))
        return f"embedded log at {self.path}: {len(topics)} topics, {records} records (LMDB {version})"

    def positions(self, group: str) -> dict[TopicPartition, int]:
        """The positions that a group (a job) shows: for people, not for recovery."""
        with self._environment.read() as txn:
            return layout.positions_of(txn, group)

    def close(self) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None

    @property
    def _environment(self) -> Environment:
        if self._held is None:
            self._held = self._acquired()
        return self._held

    def _acquired(self) -> Environment:
        with ExitStack() as undo:
            environment = acquire(self.path)
            undo.callback(environment.release)
            layout.prepare(environment)
            undo.pop_all()
        return environment

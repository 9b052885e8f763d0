"""Files as connectors: JSON lines, to read and to write, and CSV, to read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rayflow.connectors.base import NO_TOPICS, Appender, Connector, Publisher, TopicInfo
from rayflow.connectors.files.catalog import digest, files_of, list_topics, parts_in
from rayflow.connectors.files.csv_rows import RowSplitter
from rayflow.connectors.files.durable import refused, sync_folder
from rayflow.connectors.files.parts import SUFFIX, LooseParts, folder_of
from rayflow.connectors.files.publisher import JsonLinesPublisher
from rayflow.connectors.files.reader import FileReader
from rayflow.connectors.files.splitting import LineSplitter, Splitter
from rayflow.core.errors import BrokerRefused, TopicExists


class CsvConnector(Connector):
    """CSV files: a topic is a file, a directory or a glob pattern, each file a partition. Only read.

    A record's value is the row as a JSON object of strings; the names come from the file's first row.

    Args:
        base: where relative topics start.
    """

    scheme = "csv"
    suffix = ".csv"

    def __init__(self, base: Path) -> None:
        self.base = base.absolute()
        self.url = f"{self.scheme}:{self.base}"

    def topics(self) -> list[TopicInfo]:
        return list_topics(self.base, self.suffix)

    def partitions(self, topic: str) -> int:
        return len(files_of(self.base, topic, self.suffix))

    def create(self, topic: str, partitions: int, replication: int | None = None) -> None:
        raise self._only_read()

    def delete(self, topic: str) -> None:
        raise self._only_read()

    def reader(self, group: str) -> FileReader:
        return FileReader(lambda topic: files_of(self.base, topic, self.suffix), self._splitter)

    def publisher(self, job: str, slot: int, delivery: str, topics: Mapping[str, str] = NO_TOPICS) -> Publisher:
        raise self._only_read()

    def appender(self) -> Appender:
        raise self._only_read()

    def check(self, timeout: float = 5.0) -> str:
        return f"{len(self.topics())} topics of {self.suffix} files in {self.base}"

    def identity(self, topic: str) -> str:
        return f"{self.scheme}:#" + ",".join(map(digest, map(str, files_of(self.base, topic, self.suffix))))

    def _splitter(self, path: Path) -> Splitter:
        return RowSplitter(path)

    def _only_read(self) -> BrokerRefused:
        return BrokerRefused(
            f"{self.scheme}: files can only be read, not written", advice="Write to a jsonl: topic instead"
        )


class JsonLinesConnector(CsvConnector):
    """Files of JSON values, one a line. A topic to write is a directory, to which each epoch adds part files.

    A value is the line's bytes. Tombstones, keys, headers and timestamps are not written.

    >>> import tempfile
    >>> files = JsonLinesConnector(Path(tempfile.mkdtemp()))
    >>> _ = (files.base / "orders.jsonl").write_bytes(b'{"id": 1}\\n')
    >>> files.topics()
    [TopicInfo(name='orders.jsonl', partitions=1, records=None)]
    """

    scheme = "jsonl"
    suffix = SUFFIX

    def create(self, topic: str, partitions: int, replication: int | None = None) -> None:
        """Make the directory; one that is there without part files will do. The number of partitions means nothing."""
        folder = self.base / topic
        if folder.exists() and not (folder.is_dir() and not parts_in(folder, self.suffix)):
            raise TopicExists(f"{folder} already exists", topic=topic)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)
        except OSError as error:
            raise refused(error, folder) from error

    def delete(self, topic: str) -> None:
        """Remove the part files in a directory, and the directory when nothing else is in it."""
        if (self.base / topic).is_file():
            raise BrokerRefused("Only directories can be deleted", topic=topic, advice="Remove the file yourself")
        folder = folder_of(self.base, topic)
        try:
            for file in folder.glob(f"*{self.suffix}"):
                file.unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()
        except OSError as error:
            raise refused(error, folder) from error

    def publisher(self, job: str, slot: int, delivery: str, topics: Mapping[str, str] = NO_TOPICS) -> Publisher:
        return JsonLinesPublisher(self.base, job, slot, topics)

    def appender(self) -> Appender:
        return LooseParts(self.base)

    def _splitter(self, path: Path) -> Splitter:
        return LineSplitter()

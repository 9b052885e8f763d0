"""Files as connectors: JSON lines, for reading and writing, and CSV, for reading."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rayflow.connectors.base import (
    NO_TOPICS,
    Appendable,
    Appender,
    Catalog,
    Publisher,
    Sink,
    Source,
    TopicAdmin,
    TopicInfo,
)
from rayflow.connectors.files.catalog import digest, files_of, list_topics, parts_in
from rayflow.connectors.files.csv_rows import RowSplitter
from rayflow.connectors.files.durable import refused, sync_folder
from rayflow.connectors.files.lines import OneLine
from rayflow.connectors.files.parts import SUFFIX, LooseParts, folder_of
from rayflow.connectors.files.publisher import JsonLinesPublisher
from rayflow.connectors.files.reader import FileReader
from rayflow.connectors.files.splitting import LineSplitter, Splitter
from rayflow.core.errors import BrokerRefused, TopicExists
from rayflow.serde.base import Serde


class _Files(Source, Catalog):
    """Files that are read: a topic is a file, a directory or a glob pattern, and each file is a partition.

    Args:
        base: the folder at which relative topics start.
    """

    scheme: str
    suffix: str

    def __init__(self, base: Path) -> None:
        self.base = base.absolute()
        self.url = f"{self.scheme}:{self.base}"

    def topics(self) -> list[TopicInfo]:
        return list_topics(self.base, self.suffix)

    def partitions(self, topic: str) -> int:
        return len(files_of(self.base, topic, self.suffix))

    def reader(self, group: str) -> FileReader:
        return FileReader(lambda topic: files_of(self.base, topic, self.suffix), self._splitter)

    def check(self, timeout: float = 5.0) -> str:
        return f"{len(self.topics())} topics of {self.suffix} files in {self.base}"

    def identity(self, topic: str) -> str:
        return f"{self.scheme}:#" + ",".join(map(digest, map(str, files_of(self.base, topic, self.suffix))))

    @abstractmethod
    def _splitter(self, path: Path) -> Splitter: ...


class CsvConnector(_Files):
    """CSV files. A record's value is the row as a JSON object of strings, with the column names of the file's first
    row."""

    scheme = "csv"
    suffix = ".csv"

    def _splitter(self, path: Path) -> Splitter:
        return RowSplitter(path)


class JsonLinesConnector(_Files, Sink, TopicAdmin, Appendable):
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

    @classmethod
    def accepting(cls, serde: Serde[Any]) -> Serde[Any]:
        """Each value must be one line."""
        return OneLine(serde)

    def create(self, topic: str, partitions: int, replication: int | None = None) -> None:
        """Create the directory. An existing one without part files is accepted. The number of partitions has no
        meaning."""
        folder = self.base / topic
        if folder.exists() and not (folder.is_dir() and not parts_in(folder, self.suffix)):
            raise TopicExists(f"{folder} already exists", topic=topic)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)
        except OSError as error:
            raise refused(error, folder) from error

    def delete(self, topic: str) -> None:
        """Remove the part files in a directory, and the directory if it contains nothing else."""
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

"""The contract of connectors on those that need no server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rayflow.connectors.embedded.connector import EmbeddedConnector
from rayflow.connectors.files.connector import CsvConnector, JsonLinesConnector
from rayflow.core.ids import TopicPartition
from tests.contracts.connector_publishing import PublishContract
from tests.contracts.connector_reading import ReadContract
from tests.contracts.connector_records import Fill, MakeConnector, ShownPositions, Values, everything, line
from tests.contracts.connector_topics import TopicContract, WriterContract
from tests.contracts.connectors import ConnectorContract


class TestEmbeddedLog(ConnectorContract):
    too_large = (64 << 20) + 1

    @pytest.fixture
    def make_connector(self, tmp_path: Path) -> Iterator[MakeConnector]:
        made: list[EmbeddedConnector] = []

        def make() -> EmbeddedConnector:
            made.append(EmbeddedConnector(tmp_path / "log"))
            return made[-1]

        yield make
        for connector in made:
            connector.close()

    @pytest.fixture
    def shown_positions(self, connector: EmbeddedConnector) -> ShownPositions:
        def show(job: str, places: list[TopicPartition]) -> dict[TopicPartition, int]:
            shown = connector.positions(job)
            return {place: shown[place] for place in places if place in shown}

        return show


class TestJsonLines(ReadContract, PublishContract, TopicContract, WriterContract):
    @pytest.fixture
    def make_connector(self, tmp_path: Path) -> MakeConnector:
        return lambda: JsonLinesConnector(tmp_path)

    @pytest.fixture
    def fill(self, tmp_path: Path) -> Fill:
        def make(partitions: Sequence[Sequence[int]]) -> str:
            folder = tmp_path / uuid.uuid4().hex
            folder.mkdir()
            for partition, numbers in enumerate(partitions):
                (folder / f"{partition}.jsonl").write_bytes(b"".join(line(n) + b"\n" for n in numbers))
            return folder.name

        return make

    @pytest.fixture
    def values(self, connector: JsonLinesConnector, tmp_path: Path) -> Values:
        def read(topic: str) -> list[bytes]:
            if not list((tmp_path / topic).glob("[!.]*.jsonl")):
                return []
            return [value for one in everything(connector, topic) for value in one.batch.values]

        return read


class TestCsv(ReadContract):
    @pytest.fixture
    def make_connector(self, tmp_path: Path) -> MakeConnector:
        return lambda: CsvConnector(tmp_path)

    @pytest.fixture
    def fill(self, tmp_path: Path) -> Fill:
        def make(partitions: Sequence[Sequence[int]]) -> str:
            folder = tmp_path / uuid.uuid4().hex
            folder.mkdir()
            for partition, numbers in enumerate(partitions):
                rows = "".join(f'"some ""text""\nof {n}",{n}\n' for n in numbers)
                (folder / f"{partition}.csv").write_text(f"text,n\n{rows}" if numbers else "")
            return f"{folder.name}/*.csv"

        return make

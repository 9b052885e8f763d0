"""What a connector can do: said by its kind before it is imported, and by its class."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rayflow.connectors.base import Connector, Sink
from rayflow.connectors.files.connector import CsvConnector
from rayflow.connectors.parts import (
    CLASSES,
    accepting,
    as_admin,
    as_appendable,
    as_catalog,
    as_sink,
    as_source,
    parts_of,
)
from rayflow.connectors.registry import KINDS, Part, absolute_url, open_connector
from rayflow.core.errors import ConnectorCannot, EncodeFailed, InvalidConnector
from rayflow.core.topics import ConnectorSpec
from rayflow.serde.choose import serde_for
from tests.contracts.toys import Outbox

AS: dict[Part, Callable[[Connector], object]] = {
    Part.READ: as_source,
    Part.WRITE: lambda connector: as_sink(connector, "at_least_once"),
    Part.LIST: as_catalog,
    Part.CREATE: as_admin,
    Part.APPEND: as_appendable,
}


@pytest.mark.parametrize("scheme", KINDS)
def test_a_kind_says_what_its_class_can_do(scheme: str) -> None:
    kind = KINDS[scheme]
    loaded = kind.load()
    assert kind.parts == parts_of(loaded)
    assert kind.form.startswith(f"{scheme}:")
    if issubclass(loaded, Sink):
        assert kind.exactly_once == loaded.exactly_once


def test_each_part_has_its_class_and_its_way_to_ask_for_it() -> None:
    assert set(CLASSES) == set(AS) == set(Part)


@pytest.mark.parametrize("part", Part)
def test_a_connector_is_given_as_what_it_is_and_refused_as_what_it_is_not(part: Part, tmp_path: Path) -> None:
    whole, csv = open_connector(ConnectorSpec(f"jsonl:{tmp_path}")), CsvConnector(tmp_path)
    assert AS[part](whole) is whole
    if part in KINDS["csv"].parts:
        assert AS[part](csv) is csv
        return
    with pytest.raises(ConnectorCannot) as refused:
        AS[part](csv)
    assert str(refused.value).startswith("[RF-3015] csv: topics can be read and listed, not ")
    assert refused.value.advice == "Use kafka://HOST:PORT, embedded:PATH, jsonl:"


@pytest.mark.parametrize(
    "code",
    [
        "from rayflow.connectors.registry import ConnectorSpec, open_connector; "
        "open_connector(ConnectorSpec('jsonl:'))",
        "import rayflow as rf; from rayflow.plan.compile import plan_of; job = rf.Job('j'); "
        "job.stream(rf.jsonl('a')).to(rf.kafka('b', bootstrap='c:1')); plan_of(job)",
    ],
    ids=["opening jsonl", "compiling a job"],
)
def test_no_kafka_client_is_imported_for_it(code: str) -> None:
    check = f"import sys; {code}; assert 'rayflow.connectors.registry' in sys.modules; "
    done = subprocess.run([sys.executable, "-c", check + "assert 'confluent_kafka' not in sys.modules"], check=False)
    assert done.returncode == 0


def test_a_url_is_made_absolute_where_it_holds_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    assert absolute_url("embedded:log") == f"embedded:{tmp_path}/log"
    assert absolute_url("csv:") == f"csv:{tmp_path}"
    assert absolute_url("embedded:~/log") == "embedded:/home/ann/log"
    assert absolute_url("kafka://a:1,b:2") == "kafka://a:1,b:2"
    with pytest.raises(InvalidConnector):
        absolute_url("mqtt:x")


def test_a_connector_that_can_only_be_written_is_refused_as_a_source_and_without_markers_exactly_once() -> None:
    outbox = Outbox("outbox:", {})
    with pytest.raises(ConnectorCannot, match="outbox: topics can be written by a job, not read"):
        as_source(outbox)
    assert as_sink(outbox, "at_least_once") is outbox
    with pytest.raises(ConnectorCannot, match="outbox: topics do not support exactly-once"):
        as_sink(outbox, "exactly_once")


def test_values_are_those_that_their_connector_accepts() -> None:
    serde = serde_for(str)
    assert accepting(None, serde) is serde
    assert accepting(ConnectorSpec("csv:"), serde) is serde
    with pytest.raises(EncodeFailed):
        accepting(ConnectorSpec("jsonl:"), serde).encode(["two\nlines"])


def test_samples_go_to_the_embedded_log_only() -> None:
    assert [name for name, kind in KINDS.items() if getattr(kind.load(), "takes_samples", False)] == ["embedded"]

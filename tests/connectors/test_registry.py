"""Connectors by URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayflow.connectors.embedded.connector import EmbeddedConnector
from rayflow.connectors.files.connector import CsvConnector, JsonLinesConnector
from rayflow.connectors.registry import open_connector
from rayflow.core.errors import InvalidConnector
from rayflow.core.topics import ConnectorSpec


def test_relative_paths_are_the_same_place_from_every_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for url, kind, expected in (
        ("embedded:data/log", EmbeddedConnector, f"embedded:{tmp_path}/data/log"),
        ("jsonl:", JsonLinesConnector, f"jsonl:{tmp_path}"),
        ("csv:", CsvConnector, f"csv:{tmp_path}"),
        ("jsonl:/data", JsonLinesConnector, "jsonl:/data"),
    ):
        connector = open_connector(ConnectorSpec(url))
        assert type(connector) is kind
        assert connector.url == expected
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["mqtt://host", "data/log", "", "embedded:", "embedded://data", "/tmp/x", "kafka"])
def test_other_urls_are_refused_with_what_can_be_used(url: str) -> None:
    with pytest.raises(InvalidConnector, match="embedded:PATH"):
        open_connector(ConnectorSpec(url))


@pytest.mark.parametrize(
    ("url", "shown"), [("mqtt://host", "Scheme 'mqtt' is"), ("data/log", "A URL without a scheme is")]
)
def test_a_refused_url_is_shown_up_to_its_colon(url: str, shown: str) -> None:
    with pytest.raises(InvalidConnector, match=shown):
        open_connector(ConnectorSpec(url))


def test_a_refused_url_does_not_show_its_password() -> None:
    with pytest.raises(InvalidConnector) as caught:
        open_connector(ConnectorSpec("amqp://user:secret@host"))
    assert "secret" not in str(caught.value)


def test_settings_that_nothing_reads_are_refused_by_name() -> None:
    with pytest.raises(InvalidConnector, match=r"a\.setting") as caught:
        open_connector(ConnectorSpec("embedded:x", (("a.setting", "secret"),)))
    assert "secret" not in str(caught.value)

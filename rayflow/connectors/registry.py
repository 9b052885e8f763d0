"""Connectors by the scheme of their URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rayflow.connectors.base import Connector
from rayflow.core.errors import InvalidConnector
from rayflow.core.topics import ConnectorSpec
from rayflow.serde.base import Serde

_FORMS = "kafka://HOST:PORT, embedded:PATH, jsonl: or csv:"


def open_connector(spec: ConnectorSpec) -> Connector:
    """The connector of a URL; nothing is reached or opened before its first use.

    Relative paths become absolute, so that the connector's `url` names the same place from every directory.
    Raises InvalidConnector.

    >>> from rayflow.core.topics import ConnectorSpec
    >>> open_connector(ConnectorSpec("embedded:/var/lib/rayflow")).url
    'embedded:/var/lib/rayflow'
    """
    scheme, colon, rest = spec.url.partition(":")
    if scheme == "kafka" and colon:
        from rayflow.connectors.kafka.connector import KafkaConnector

        return KafkaConnector(spec.url, dict(spec.config))
    if scheme not in ("embedded", "jsonl", "csv") or not colon:
        # The URL itself may hold a password, so only what stands for its scheme is shown.
        shown = f"Scheme {scheme!r}" if colon else "A URL without a scheme"
        raise InvalidConnector(f"{shown} is not known", advice=f"Use {_FORMS}")
    if spec.config:
        names = ", ".join(name for name, _ in spec.config)
        raise InvalidConnector(f"{scheme}: takes no settings, but was given {names}")
    if rest.startswith("//"):
        raise InvalidConnector(f"{scheme}: is followed by a path, not by //", advice=f"Use {_FORMS}")
    path = Path(rest).expanduser().absolute()
    if scheme == "embedded":
        if not rest:
            raise InvalidConnector("embedded: needs a path", advice="Use embedded:PATH")
        from rayflow.connectors.embedded.connector import EmbeddedConnector

        return EmbeddedConnector(path)
    from rayflow.connectors.files.connector import CsvConnector, JsonLinesConnector

    return JsonLinesConnector(path) if scheme == "jsonl" else CsvConnector(path)


def sink_serde(spec: ConnectorSpec | None, serde: Serde[Any]) -> Serde[Any]:
    """The serde for values that go to a connector: one that refuses, before they are staged, those it cannot hold.

    `spec` None is the broker of the run, which holds any bytes. The serde's `encode` raises EncodeFailed.

    >>> from rayflow.serde.choose import serde_for
    >>> sink_serde(ConnectorSpec("jsonl:"), serde_for(str)).encode(["one line"])
    [b'one line']
    """
    if spec is None or not spec.url.startswith("jsonl:"):
        return serde
    from rayflow.connectors.files.lines import OneLine

    return OneLine(serde)

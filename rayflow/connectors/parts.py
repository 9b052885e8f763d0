"""Gives a connector as one part of the contract, or raises the error for an unsupported operation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rayflow.connectors.base import Appendable, Catalog, Connector, Sink, Source, TopicAdmin
from rayflow.connectors.registry import KINDS, Part, kind_of
from rayflow.core.errors import ConnectorCannot
from rayflow.core.topics import ConnectorSpec
from rayflow.serde.base import Serde

CLASSES: Mapping[Part, type[Any]] = MappingProxyType(
    {
        Part.READ: Source,
        Part.WRITE: Sink,
        Part.LIST: Catalog,
        Part.CREATE: TopicAdmin,
        Part.APPEND: Appendable,
    }
)
"""The class of each part."""

_WORDS = {
    Part.READ: "read",
    Part.WRITE: "written by a job",
    Part.LIST: "listed",
    Part.CREATE: "created or deleted",
    Part.APPEND: "written from outside a job",
}


def parts_of(connector: type[Connector]) -> Part:
    """The parts that a connector's class implements."""
    parts = Part(0)
    for part, its_class in CLASSES.items():
        if issubclass(connector, its_class):
            parts |= part
    return parts


def cannot(
    url: str, parts: Part, wanted: Part, *, place: str = "", operator: str | None = None, topic: str | None = None
) -> ConnectorCannot:
    """The error for an operation that a connector does not support.

    Args:
        url: the connector's. parts: those that it implements. wanted: the missing part.
        place: "file.py:12", the line of the job file.

    >>> print(cannot("csv:", Part.READ, Part.CREATE))
    [RF-3015] csv: topics can be read, not created or deleted. Use kafka://HOST:PORT, embedded:PATH, jsonl:
    """
    able = " and ".join(word for part, word in _WORDS.items() if part in parts)
    others = ", ".join(kind.form for kind in KINDS.values() if wanted in kind.parts)
    return ConnectorCannot(
        f"{_opening(url, place)} topics can be {f'{able}, ' if able else ''}not {_WORDS[wanted]}",
        operator=operator,
        topic=topic,
        advice=f"Use {others}",
    )


def only_at_least_once(
    url: str, *, place: str = "", operator: str | None = None, topic: str | None = None
) -> ConnectorCannot:
    """The error for exactly-once delivery to a connector without markers."""
    return ConnectorCannot(
        f"{_opening(url, place)} topics do not support exactly-once delivery, which the job needs",
        operator=operator,
        topic=topic,
        advice='Accept repeated records: rf.Job(name, delivery="at_least_once")',
    )


def as_source(connector: Connector) -> Source:
    """The connector as a source. Raises ConnectorCannot."""
    if isinstance(connector, Source):
        return connector
    raise cannot(connector.url, parts_of(type(connector)), Part.READ)


def as_sink(connector: Connector, delivery: str) -> Sink:
    """The connector as a sink with this delivery. Raises ConnectorCannot."""
    if not isinstance(connector, Sink):
        raise cannot(connector.url, parts_of(type(connector)), Part.WRITE)
    if delivery == "exactly_once" and not connector.exactly_once:
        raise only_at_least_once(connector.url)
    return connector


def as_catalog(connector: Connector) -> Catalog:
    """The connector as one that lists its topics. Raises ConnectorCannot."""
    if isinstance(connector, Catalog):
        return connector
    raise cannot(connector.url, parts_of(type(connector)), Part.LIST)


def as_admin(connector: Connector) -> TopicAdmin:
    """The connector as one that creates and deletes topics. Raises ConnectorCannot."""
    if isinstance(connector, TopicAdmin):
        return connector
    raise cannot(connector.url, parts_of(type(connector)), Part.CREATE)


def as_appendable(connector: Connector) -> Appendable:
    """The connector as one that can be written from outside of a job. Raises ConnectorCannot."""
    if isinstance(connector, Appendable):
        return connector
    raise cannot(connector.url, parts_of(type(connector)), Part.APPEND)


def accepting(spec: ConnectorSpec | None, serde: Serde[Any]) -> Serde[Any]:
    """The serde for values that go to a connector (`Sink.accepting`); the connector is not opened for it.

    `spec` None stands for a broker, which stores any bytes.

    >>> from rayflow.serde.choose import serde_for
    >>> accepting(ConnectorSpec("jsonl:"), serde_for(str)).encode(["one line"])
    [b'one line']
    """
    loaded = Sink if spec is None else kind_of(spec.url).load()
    return loaded.accepting(serde) if issubclass(loaded, Sink) else serde


def _opening(url: str, place: str) -> str:
    scheme = url.partition(":")[0]
    return f"{place}: {scheme}:" if place else f"{scheme}:"

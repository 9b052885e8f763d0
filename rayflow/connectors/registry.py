"""The kinds of connectors, by the scheme of their URL, and what can be said of each without importing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rayflow.core.errors import InvalidConnector
from rayflow.core.topics import ConnectorSpec

if TYPE_CHECKING:
    from rayflow.connectors.base import Connector


class Part(Flag):
    """The parts of the contract that a connector may have; `connectors/parts.py` has their classes and words."""

    READ = auto()
    WRITE = auto()
    LIST = auto()
    CREATE = auto()
    APPEND = auto()


WHOLE = Part.READ | Part.WRITE | Part.LIST | Part.CREATE | Part.APPEND


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of connector.

    Attributes:
        target: "module:Class". The class is called with the URL and the settings, or with the path.
        form: the URL, as help and advice show it.
        parts: what it can do: those of the class.
        path: whether what follows the scheme is a path of this machine, and whether it may be left out.
        settings: the table of rayflow.toml that holds its settings; "" when it takes none.
        partitioner: how writers of its topics spread keys over partitions; kinds with one name do it in the same way.
            "": in a way of its own.
        exactly_once: whether its sinks can publish exactly once.
    """

    target: str
    form: str
    parts: Part
    path: Literal["none", "needed", "optional"] = "none"
    settings: str = ""
    partitioner: str = ""
    exactly_once: bool = True

    def load(self) -> type[Connector]:
        """The connector's class."""
        module, _, name = self.target.partition(":")
        loaded: type[Connector] = getattr(import_module(module), name)
        return loaded


KAFKA_KEYS = "murmur2"
"""How Kafka's clients spread keys; what is assumed of the broker of a run, which a plan does not know."""

KINDS: dict[str, Kind] = {
    "kafka": Kind(
        "rayflow.connectors.kafka.connector:KafkaConnector",
        "kafka://HOST:PORT",
        WHOLE,
        settings="kafka",
        partitioner=KAFKA_KEYS,
    ),
    "embedded": Kind(
        "rayflow.connectors.embedded.connector:EmbeddedConnector",
        "embedded:PATH",
        WHOLE,
        path="needed",
        partitioner=KAFKA_KEYS,
    ),
    "jsonl": Kind(
        "rayflow.connectors.files.connector:JsonLinesConnector",
        "jsonl:",
        WHOLE,
        path="optional",
    ),
    "csv": Kind(
        "rayflow.connectors.files.connector:CsvConnector",
        "csv:",
        Part.READ | Part.LIST,
        path="optional",
    ),
}
"""Every kind, by its scheme. A new connector has its line here."""


def kind_of(url: str) -> Kind:
    """The kind of a URL. Raises InvalidConnector for a scheme that is not known.

    >>> kind_of("csv:").parts
    <Part.READ|LIST: 5>
    """
    scheme, colon, _ = url.partition(":")
    if not colon or scheme not in KINDS:
        # The URL itself may hold a password, so only what stands for its scheme is shown.
        shown = f"Scheme {scheme!r}" if colon else "A URL without a scheme"
        raise InvalidConnector(f"{shown} is unknown", advice=_advice())
    return KINDS[scheme]


def open_connector(spec: ConnectorSpec) -> Connector:
    """The connector of a URL; nothing is reached or opened before its first use.

    Relative paths become absolute, so that the connector's `url` names the same place from every directory.
    Raises InvalidConnector.

    >>> from rayflow.core.topics import ConnectorSpec
    >>> open_connector(ConnectorSpec("embedded:/var/lib/rayflow")).url
    'embedded:/var/lib/rayflow'
    """
    kind = kind_of(spec.url)
    scheme, _, rest = spec.url.partition(":")
    if spec.config and not kind.settings:
        names = ", ".join(name for name, _ in spec.config)
        raise InvalidConnector(f"{scheme}: takes no settings, but was given {names}")
    if kind.path != "none" and rest.startswith("//"):
        raise InvalidConnector(f"{scheme}: is followed by a path, not by //", advice=_advice())
    if kind.path == "needed" and not rest:
        raise InvalidConnector(f"{scheme}: needs a path", advice=f"Use {kind.form}")
    make: Callable[..., Connector] = kind.load()
    return make(spec.url, dict(spec.config)) if kind.path == "none" else make(_absolute(rest))


def absolute_url(url: str) -> str:
    """A URL that names the same place from every directory. Raises InvalidConnector for a scheme that is not known.

    >>> absolute_url("kafka://host:9092"), absolute_url("embedded:/log")
    ('kafka://host:9092', 'embedded:/log')
    """
    if kind_of(url).path == "none":
        return url
    scheme, _, rest = url.partition(":")
    return f"{scheme}:{_absolute(rest)}"


def _absolute(path: str) -> Path:
    return Path(path).expanduser().absolute()


def _advice() -> str:
    *others, last = (kind.form for kind in KINDS.values())
    return f"Use {', '.join(others)} or {last}"

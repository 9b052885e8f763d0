"""The kinds of connectors, by the scheme of their URL, with what is known about each without importing it."""

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
    """The parts of the contract that a connector may implement; `connectors/parts.py` has their classes and words."""

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
        parts: the parts that the class implements.
        path: whether a path of this machine follows the scheme, and whether it is optional.
        settings: the table of rayflow.toml with its settings; "" if it has none. The class of a kind that has some also
            takes `run`, the broker of the run, for a topic that is pinned to another system.
        partitioner: how writers of its topics choose partitions for keys; kinds with the same name do it in the same
            way. "": in a way that no other kind uses.
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
"""The partitioner of Kafka's clients, which is assumed for the broker of a run: a plan does not know the broker."""

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
"""Every kind, by its scheme. Add a line here for a new connector."""


def kind_of(url: str) -> Kind:
    """The kind of a URL. Raises InvalidConnector for an unknown scheme.

    >>> kind_of("csv:").parts
    <Part.READ|LIST: 5>
    """
    scheme, colon, _ = url.partition(":")
    if not colon or scheme not in KINDS:
        # The URL may contain a password, so show only the part before the colon.
        shown = f"Scheme {scheme!r}" if colon else "A URL without a scheme"
        raise InvalidConnector(f"{shown} is unknown", advice=_advice())
    return KINDS[scheme]


def open_connector(spec: ConnectorSpec, run: ConnectorSpec | None = None) -> Connector:
    """The connector of a URL. It connects to nothing before its first use.

    `run`: the broker of the run, if `spec` is that of a pinned topic: its login is not for others.

    Relative paths become absolute, so the connector's `url` means the same place in every directory. Raises
    InvalidConnector.

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
    if kind.path != "none":
        return make(_absolute(rest))
    return make(spec.url, dict(spec.config), **({"run": run} if kind.settings and run is not None else {}))


def absolute_url(url: str) -> str:
    """A URL that means the same place in every directory. Raises InvalidConnector for an unknown scheme.

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

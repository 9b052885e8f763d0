"""References to topics in a job file, which are resolved to connectors when a job runs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ConnectorSpec:
    """The system of a topic, and how to connect to it. `config` never appears in `repr` (it may contain secrets).

    Attributes:
        url: `kafka://host:port,host:port`, `embedded:PATH`, `jsonl:`, `csv:`; it identifies the connector.
        config: the connector's own settings (for Kafka: librdkafka's).
    """

    url: str
    config: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class TopicRef:
    """A topic's name and its connector; None means the broker of the run."""

    name: str
    connector: ConnectorSpec | None = None

    def __str__(self) -> str:
        return self.name

"""The partitioning of every stream, and the exchanges that bring the records of a key together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rayflow.api.graph import InputEdge, Node
from rayflow.api.specs.stream import StreamSpec
from rayflow.connectors.registry import KAFKA_KEYS, kind_of
from rayflow.core.outputs import OUT
from rayflow.core.topics import TopicRef
from rayflow.serde.base import Serde


@dataclass(frozen=True, slots=True)
class Partitioning:
    """How records of a stream are assigned to tasks.

    Attributes:
        by: "topic": by the topic's writer; "exchange": our hash of the key; "mixed": several ways at once,
            so that records of one key may be in several tasks.
        scheme: the hash, and the serde that gives the bytes that are hashed. Streams of one scheme may be read side by
            side, as long as their topics have equally many partitions (which is checked when the job starts).
    """

    by: Literal["topic", "exchange", "mixed"]
    scheme: str

    def __str__(self) -> str:
        return f"{self.by}: {self.scheme}"


BY_EXCHANGE = Partitioning("exchange", "hash of the key")


def of_topic(topic: TopicRef, key: Serde[Any]) -> Partitioning:
    """As a topic is: Kafka's clients and the embedded log hash the key's bytes with murmur2; files have their own way.

    Raises InvalidConnector for a connector that is not known.

    >>> from rayflow.serde import text
    >>> str(of_topic(TopicRef("orders"), text))
    'topic: murmur2 of text'
    """
    by = KAFKA_KEYS
    if topic.connector is not None:
        url = topic.connector.url
        by = kind_of(url).partitioner or url.partition(":")[0]
    return Partitioning("topic", f"{by} of {key.name}")


def of_all(ways: Sequence[Partitioning]) -> Partitioning:
    """The partitioning of streams that were merged."""
    different = list(dict.fromkeys(ways))
    if len(different) == 1:
        return different[0]
    return Partitioning("mixed", " and ".join(dict.fromkeys(way.scheme for way in different)))


class Partitions:
    """The partitioning of every stream of a graph, and the edges that need an exchange.

    An exchange always follows `key_by`. An operator that works by key also needs one if streams that reach it, or were
    merged before it, are partitioned in different ways: then the records of a key could be in several tasks. Each of
    these streams that has not passed an exchange gets one, so no record is looked for in the wrong task.

    Attributes:
        of: by operator, the partitioning of its output.
    """

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        """`nodes` in topological order."""
        self.of: dict[str, Partitioning] = {}
        self._moved: dict[tuple[str, InputEdge], str] = {}
        for node in nodes.values():
            self.of[node.id] = self._place(node, nodes)

    def exchange_on(self, consumer: str, feed: InputEdge) -> str | None:
        """The id of the exchange on an edge; None if it is direct. Edges from the same output of an operator share an
        exchange."""
        if (consumer, feed) not in self._moved:
            return None
        return f"{feed.operator}.exchange" if feed.output == OUT else f"{feed.operator}.{feed.output}.exchange"

    def why(self, consumer: str, feed: InputEdge) -> str:
        """Why an exchange was added to an edge; "" if the job file requests it."""
        return self._moved[consumer, feed]

    def _place(self, node: Node, nodes: Mapping[str, Node]) -> Partitioning:
        if node.topic is not None and isinstance(node.spec, StreamSpec):
            return of_topic(node.topic, node.spec.key)
        ways: list[Partitioning] = []
        for feed in node.inputs:
            if nodes[feed.operator].spec.moves_by_key:
                self._moved[node.id, feed] = ""
            ways.append(self.of[feed.operator])
        together = of_all(ways)
        if node.spec.by_key and together.by == "mixed":
            for feed, way in zip(node.inputs, ways, strict=True):
                if way != BY_EXCHANGE:
                    self._moved[node.id, feed] = together.scheme
        return BY_EXCHANGE if node.spec.moves_by_key or (node.spec.by_key and together.by == "mixed") else together

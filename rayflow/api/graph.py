"""The logical graph that the calls in a job file build. `rayflow.plan` compiles it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from rayflow.api.location import caller_location, invalid
from rayflow.api.specs.base import OperatorSpec
from rayflow.api.specs.stream import Sample
from rayflow.core.outputs import IN, OUT, Input, Output
from rayflow.core.topics import TopicRef

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_identifier(name: str, what: str) -> str:
    """`name`, if it is valid in topic, group and transactional ids. Raises InvalidJob."""
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise invalid(
            f"{name!r} cannot be the name of {what}",
            "Use 1 to 100 letters, digits, '.', '_' and '-', beginning with a letter or a digit",
        )
    return name


class InputEdge(NamedTuple):
    """One edge into an operator: from `output` of `operator` to `input`."""

    operator: str
    output: Output = OUT
    input: Input = IN


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of the logical graph.

    Attributes:
        id: the user's name, or the kind and its number among all operators of that kind ("window-1"). Named operators
            are numbered, too, so that naming one does not change the ids of those after it.
        kind: the method that created it.
        spec: its arguments.
        inputs: its input edges, in order; the same output may occur twice.
        topic: the topic that a "stream" reads.
        location: "file.py:12".
    """

    id: str
    kind: str
    spec: OperatorSpec
    inputs: tuple[InputEdge, ...]
    location: str
    topic: TopicRef | None = None


class Graph:
    """The operators of one job, in order of definition."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.samples: dict[TopicRef, Sample] = {}
        self._kinds: Counter[str] = Counter()

    def id_of_next(self, kind: str, name: str | None) -> str:
        """The id of the next operator of `kind`. Raises InvalidJob for an invalid name."""
        return f"{kind}-{self._kinds[kind] + 1}" if name is None else check_identifier(name, "an operator")

    def add(
        self,
        kind: str,
        spec: OperatorSpec,
        inputs: tuple[InputEdge, ...] = (),
        *,
        name: str | None = None,
        topic: TopicRef | None = None,
    ) -> Node:
        """Add an operator. Raises InvalidJob if its id is taken."""
        node = Node(self.id_of_next(kind, name), kind, spec, inputs, caller_location(), topic)
        if node.id in self.nodes:
            raise invalid(
                f"the operator id {node.id!r} is taken already, at {self.nodes[node.id].location}",
                "Give one of the two another name=",
            )
        self._kinds[kind] += 1
        self.nodes[node.id] = node
        return node

    def path(self, node: Node) -> str:
        """The path to a node, along first inputs, for people: "orders | filter | key_by"."""
        kinds: list[str] = []
        while node.inputs:
            kinds.append(node.kind)
            node = self.nodes[node.inputs[0].operator]
        return " | ".join([str(node.topic), *reversed(kinds)])

"""The logical graph: what the calls of a job file add up to. `rayflow.plan` compiles it."""

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
    """`name`, if it can be part of topic, group and transactional ids. Raises InvalidJob."""
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise invalid(
            f"{name!r} cannot be the name of {what}",
            "Use 1 to 100 letters, digits, '.', '_' and '-', beginning with a letter or a digit",
        )
    return name


class InputEdge(NamedTuple):
    """One edge into an operator: what comes out of `operator` at `output` goes in at `input`."""

    operator: str
    output: Output = OUT
    input: Input = IN


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of the logical graph.

    Attributes:
        id: the user's name, or the kind and its place among all operators of that kind ("window-1"). Operators with a
            name of their own count as well, so that naming one does not shift the state of those after it.
        kind: the method that made it. spec: its arguments.
        inputs: what it takes, in order; the same place may be there twice. topic: what a "stream" reads.
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
        """The id that the next operator of `kind` gets. Raises InvalidJob for a name that cannot be one."""
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
        """Add an operator. Raises InvalidJob when its id is taken."""
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
        """How a node is reached, along first inputs, for people: "orders | filter | key_by"."""
        kinds: list[str] = []
        while node.inputs:
            kinds.append(node.kind)
            node = self.nodes[node.inputs[0].operator]
        return " | ".join([str(node.topic), *reversed(kinds)])

"""An output of an operator in the logical graph, and what is known about its records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rayflow.api.graph import Graph, InputEdge, Node
from rayflow.api.specs.base import OperatorSpec
from rayflow.core.outputs import IN, OUT, Input, Output
from rayflow.serde.base import Serde


@dataclass(frozen=True, slots=True)
class Flow:
    """One output of one operator.

    Attributes:
        key, value: serdes that a sink uses unless it names its own.
        rekeyed: where `key_by` replaced the source's keys ("file.py:12"), or None while they are intact.
        carried: whether a function that sees only the value (or a table, a window, a merge) came after the keys were
            set. The stream is still keyed. Version 0.1 called it unkeyed, which shows in the plans of its jobs.
    """

    graph: Graph
    node: Node
    key: Serde[Any]
    value: Serde[Any]
    output: Output = OUT
    rekeyed: str | None = None
    carried: bool = False

    def add(
        self,
        kind: str,
        spec: OperatorSpec,
        *,
        name: str | None,
        key: Serde[Any] | None = None,
        value: Serde[Any] | None = None,
    ) -> Flow:
        """Add an operator after this place. Returns its output."""
        node = self.graph.add(kind, spec, (self.feed(),), name=name)
        return Flow(self.graph, node, key or self.key, value or self.value, OUT, self.rekeyed, self.carried)

    def feed(self, input: Input = IN) -> InputEdge:
        """The edge from this place to one input of an operator."""
        return InputEdge(self.node.id, self.output, input)

    def describe(self, what: str) -> str:
        """For `repr`: `<Stream orders | filter>`."""
        branch = "" if self.output == OUT else f".{self.output}"
        return f"<{what} {self.graph.path(self.node)}{branch}>"

    def at_output(self, output: Output) -> Flow:
        """Another output of the same operator."""
        return replace(self, output=output)

    def rekeyed_at(self, location: str) -> Flow:
        """The same place, after which keys are no longer the source's."""
        return replace(self, rekeyed=location, carried=False)

    def carrying(self, carried: bool = True) -> Flow:
        """The same place, with or without the mark that something kept the keys."""
        return replace(self, carried=carried)

"""Event time inside a task: from its entries through its operators to its exchanges, edge by edge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import WATERMARK_MIN
from rayflow.core.outputs import IN, Input
from rayflow.operators.base import Operator
from rayflow.operators.stream import StreamOperator
from rayflow.plan.physical import Edge, ExchangePlan, StagePlan


class OperatorTime:
    """The event time that each operator of a stage received, and the event time that it let through.

    An input has the lowest time of its edges. An edge has the time that the operator before it let through, or, at the
    start of the stage, the time of its entry: a source's "stream" operator, or an exchange. Operators without an
    `on_watermark` method let everything through, and are not called.
    """

    def __init__(
        self, stage: StagePlan, exchanges: Mapping[str, ExchangePlan], operators: Mapping[str, Operator]
    ) -> None:
        """`exchanges` by id. `operators`: those of the stage, in topological order."""
        edges: dict[str, dict[Input, list[str]]] = {id: {} for id in operators}
        self._exchanges: dict[str, str] = {}

        def lead(source: str, edge: Edge) -> None:
            if edge.target in edges:
                edges[edge.target].setdefault(edge.input, []).append(source)
            else:
                self._exchanges[edge.target] = source

        for name in stage.inputs:
            for edge in exchanges[name].into:
                lead(name, edge)
        for plan in stage.operators:
            for outputs in plan.outputs.values():
                for edge in outputs:
                    lead(plan.id, edge)
        self._operators = operators
        self._entries = [*stage.inputs, *(id for id, each in operators.items() if isinstance(each, StreamOperator))]
        self._edges = {id: tuple(inputs.items()) for id, inputs in edges.items() if inputs}
        self._given = {id: dict.fromkeys(inputs, WATERMARK_MIN) for id, inputs in edges.items() if inputs}
        self._passed: dict[str, int] = defaultdict(lambda: WATERMARK_MIN)
        self._called = {id for id, each in operators.items() if type(each).on_watermark is not Operator.on_watermark}

    def advance(self, entries: Mapping[str, int]) -> Iterator[tuple[str, Mapping[Input, int]]]:
        """Yield the operators to call, in topological order, with the watermark of each of their inputs, after the
        entries have advanced to `entries`. Report what an operator lets through (`passes`) before requesting the next
        one."""
        self._passed.update(entries)
        passed = self._passed.__getitem__
        for id, edges in self._edges.items():
            given = self._given[id]
            moved = False
            for input, sources in edges:
                mark = min(map(passed, sources))
                if mark > given[input]:
                    given[input] = mark
                    moved = True
            if moved and id in self._called:
                yield id, given
            elif moved:
                self._passed[id] = min(given.values())

    def passes(self, id: str, watermark: int) -> None:
        """Record that an operator lets event time through up to `watermark`. It cannot be taken back.

        Raises InvariantBroken if the operator never received a time that late.
        """
        if watermark > min(self._given[id].values()):
            raise InvariantBroken(f"operator {id} lets event time through that has not reached it")
        self._passed[id] = max(self._passed[id], watermark)

    def given_to(self, id: str) -> int:
        """The watermark that an operator received last."""
        return min(self._given[id].values())

    def snapshot(self) -> dict[str, Any]:
        """The watermarks passed on by operators that hold event time back. They belong to the checkpoint."""
        passed = {id: self._passed[id] for id in self._edges if self._operators[id].holds}
        return {"passed": passed} if passed else {}

    def restore(self, passed: Mapping[str, int]) -> None:
        """Restore a snapshot."""
        self._passed.update({id: mark for id, mark in passed.items() if id in self._edges})

    def exchanges(self) -> list[tuple[str, int]]:
        """Each exchange that the stage feeds, and the watermark that the operator before it let through."""
        return [(id, self._passed[source]) for id, source in self._exchanges.items()]

    def draining(self) -> Iterator[tuple[str, Mapping[Input, int]]]:
        """Yield every operator in topological order, with its inputs."""
        for id in self._operators:
            yield id, self._given.get(id, {IN: WATERMARK_MIN})

    def entry_for(self, id: str, watermark: int) -> int:
        """The watermark that must enter the stage so that operator `id` receives `watermark`."""
        needed = {id: watermark}
        for behind in reversed(self._edges):
            if behind in needed:
                for _, sources in self._edges[behind]:
                    for source in sources:
                        given = needed[behind]
                        if source in self._edges:
                            given = self._operators[source].given_for(given)
                        needed[source] = max(given, needed.get(source, given))
        return max(needed[entry] for entry in self._entries if entry in needed)

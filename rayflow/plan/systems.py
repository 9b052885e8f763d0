"""Checks whether the connectors in a job file support what the job needs, and chooses the serdes that they accept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from rayflow.api.graph import Node
from rayflow.api.specs.outputs import SinkSpec
from rayflow.api.specs.stream import StreamSpec
from rayflow.connectors.parts import cannot, only_at_least_once
from rayflow.connectors.registry import Part, kind_of
from rayflow.core.failures import DeadLetter
from rayflow.core.topics import TopicRef
from rayflow.plan.physical import JobPlan, OperatorPlan
from rayflow.serde.base import Serde

Accepting = Callable[[TopicRef, Serde[Any]], Serde[Any]]
"""The serde for values that go to a topic: it refuses values that the connector cannot store (`Sink.accepting`)."""


def check_systems(nodes: Iterable[Node], delivery: str) -> None:
    """Raise ConnectorCannot if the job reads or writes a topic whose connector does not support it.

    The broker of the run is not known here: a run checks it before it reads a record.
    """
    for node in nodes:
        for topic, wanted in _asked(node):
            if topic.connector is None:
                continue
            url, name = topic.connector.url, topic.name
            kind = kind_of(url)
            if wanted not in kind.parts:
                raise cannot(url, kind.parts, wanted, place=node.location, operator=node.id, topic=name)
            if wanted is Part.WRITE and delivery == "exactly_once" and not kind.exactly_once:
                raise only_at_least_once(url, place=node.location, operator=node.id, topic=name)


def _asked(node: Node) -> Iterator[tuple[TopicRef, Part]]:
    spec = node.spec
    if node.topic is not None and isinstance(spec, StreamSpec):
        yield node.topic, Part.READ
    if isinstance(spec, SinkSpec):
        yield spec.topic, Part.WRITE
    if isinstance(spec.on_error, DeadLetter):
        yield spec.on_error.topic, Part.WRITE


def with_sink_serdes(plan: JobPlan, accepting: Accepting) -> JobPlan:
    """The plan with sinks that encode only values that their connectors can store."""

    def accepted(operator: OperatorPlan) -> OperatorPlan:
        spec = operator.spec
        if not isinstance(spec, SinkSpec):
            return operator
        return replace(operator, spec=replace(spec, value=accepting(spec.topic, spec.value)))

    stages = tuple(replace(stage, operators=tuple(map(accepted, stage.operators))) for stage in plan.stages)
    return replace(plan, stages=stages)

"""The result of compiling a job: stages, joined by exchanges. Plain data that engine and runtimes read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from rayflow.api.specs.base import OperatorSpec, StateSpec
from rayflow.api.specs.stream import Sample
from rayflow.core.outputs import IN, Input, Output
from rayflow.core.topics import TopicRef
from rayflow.plan.partitioning import Partitioning


class Edge(NamedTuple):
    """The target of records: an operator and one of its inputs, or an exchange (always IN).

    As text it names the input only if the operator has several: "count-1", "join-1:left".
    """

    target: str
    input: Input = IN

    def __str__(self) -> str:
        return self.target if self.input == IN else f"{self.target}:{self.input}"


@dataclass(frozen=True, slots=True)
class OperatorPlan:
    """One operator of a stage.

    Attributes:
        id: stable; the identity of its state.
        kind: "map", "window", "sink"...
        label: one line for people.
        spec: its specification in the job file; each task creates its own instance from it.
        outputs: by output, the edges to operators of this stage and to exchanges. Each edge delivers every batch of its
            output, so two edges to the same operator deliver it twice.
        states: the states that it keeps.
        location: "file.py:12", its line in the job file.
        partitioning: the partitioning of its output; None for a dead-letter sink, which has the dead letters of a
            stage.
    """

    id: str
    kind: str
    label: str
    spec: OperatorSpec
    outputs: Mapping[Output, tuple[Edge, ...]]
    states: tuple[StateSpec, ...] = ()
    location: str = ""
    partitioning: Partitioning | None = None


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """A topic that a stage reads: task p reads partition p. `into`: the "stream" operators that decode it; each of them
    receives every record once, by its only input.

    `sample`: values to write first if the topic is on the embedded log and does not exist.
    """

    id: str
    topic: TopicRef
    into: tuple[str, ...]
    sample: Sample | None = None


@dataclass(frozen=True, slots=True)
class SinkPlan:
    """A topic that a stage writes, and the operator that writes it."""

    operator: str
    topic: TopicRef


@dataclass(frozen=True, slots=True)
class ExchangePlan:
    """Repartitions by key: records that reach it in `upstream` are sent, by the hash of their key, along each edge of
    `into` in `downstream`. Two edges to the same operator deliver them twice.

    `why`: the different partitionings that require the exchange; "" if the job file requests it.
    """

    id: str
    upstream: str
    downstream: str
    into: tuple[Edge, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """The operators between two exchanges, in topological order.

    `keyed_by_source`: whether state of this stage is keyed by its source's own partitioning (`group_by_key`), so that
    it would no longer be found if the topic's number of partitions changed.
    """

    id: str
    operators: tuple[OperatorPlan, ...]
    sources: tuple[SourcePlan, ...]
    sinks: tuple[SinkPlan, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    keyed_by_source: bool = False


@dataclass(frozen=True, slots=True)
class JobPlan:
    """A whole job. `checkpoint_interval` in ms; `delivery` is "exactly_once" or "at_least_once"."""

    name: str
    stages: tuple[StagePlan, ...]
    exchanges: tuple[ExchangePlan, ...]
    checkpoint_interval: int
    delivery: str

    def stage(self, stage_id: str) -> StagePlan:
        """The stage with that id. Raises KeyError."""
        for stage in self.stages:
            if stage.id == stage_id:
                return stage
        raise KeyError(stage_id)

    def states(self) -> dict[str, StateSpec]:
        """All states, by "operator/name"."""
        return {
            f"{operator.id}/{spec.name}": spec
            for stage in self.stages
            for operator in stage.operators
            for spec in operator.states
        }

    def operator(self, operator_id: str) -> OperatorPlan:
        """The operator with that id. Raises KeyError."""
        for stage in self.stages:
            for operator in stage.operators:
                if operator.id == operator_id:
                    return operator
        raise KeyError(operator_id)

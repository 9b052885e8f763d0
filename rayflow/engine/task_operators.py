"""The operators of one task, grouped by how the task treats them."""

from __future__ import annotations

from rayflow.core.clock import Clock
from rayflow.core.ids import TaskId
from rayflow.engine.topology import Topology
from rayflow.operators.base import Operator, OperatorContext, Warn
from rayflow.operators.calling import CallingOperator
from rayflow.operators.registry import build
from rayflow.operators.sink import SinkOperator
from rayflow.operators.stream import StreamOperator
from rayflow.plan.physical import JobPlan
from rayflow.state.task_state import TaskState


class TaskOperators:
    """Builds the operators of a stage for one task. Call `open` first.

    Attributes:
        by_id: all operators, in topological order.
        sinks, calling: those that stage output, and those that make calls outside of the engine.
        holding: those that may hold event time back.
        streams: those that take the records of a source that has a partition for this task.
        absent: those whose source has no partition for this task.
        counters: the counters of each operator.
    """

    def __init__(
        self, plan: JobPlan, topology: Topology, task: TaskId, state: TaskState, clock: Clock, warn: Warn
    ) -> None:
        stage = plan.stage(task.stage)
        self.by_id: dict[str, Operator] = {operator.id: build(operator) for operator in stage.operators}
        self.sinks = {id: op for id, op in self.by_id.items() if isinstance(op, SinkOperator)}
        self.calling = {id: op for id, op in self.by_id.items() if isinstance(op, CallingOperator)}
        self.holding = [op for op in self.by_id.values() if op.holds]
        self.streams: dict[str, StreamOperator] = {}
        self.absent: list[str] = []
        for source in stage.sources:
            for id in source.into:
                stream = self.by_id[id]
                assert isinstance(stream, StreamOperator)
                if task.partition < topology.sources[source.id]:
                    self.streams[id] = stream
                else:
                    self.absent.append(id)
        self._contexts = {id: OperatorContext(plan.name, id, task, state, clock, told=warn) for id in self.by_id}
        self.counters = {id: context.counters for id, context in self._contexts.items()}

    def open(self) -> None:
        """Open every operator with its place and its state, which is already restored."""
        for id, operator in self.by_id.items():
            operator.open(self._contexts[id])

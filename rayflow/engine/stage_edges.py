"""The ways of batches through one task of a stage: the plan's edges, by operator, source and exchange."""

from __future__ import annotations

from rayflow.core.hashing import Partitioner
from rayflow.core.ids import ChannelId, TaskId
from rayflow.engine.topology import Topology
from rayflow.plan.physical import JobPlan
from rayflow.serde.keys import encode_canonical


class StageEdges:
    """The edges of a task.

    Attributes:
        outputs: the edges of each operator, by its output.
        from_sources: the "stream" operators that take the records of each source.
        from_exchanges: the edges that lead from each exchange into the stage.
        partitioners: one for each exchange that the stage feeds.
        channels: the task's input channels.
    """

    def __init__(self, plan: JobPlan, topology: Topology, task: TaskId) -> None:
        stage = plan.stage(task.stage)
        self.outputs = {operator.id: operator.outputs for operator in stage.operators}
        self.from_sources = {source.id: source.into for source in stage.sources}
        inputs = [exchange for exchange in plan.exchanges if exchange.downstream == task.stage]
        self.from_exchanges = {exchange.id: exchange.into for exchange in inputs}
        self.partitioners = {
            exchange.id: Partitioner(topology.stages[exchange.downstream], encode_canonical)
            for exchange in plan.exchanges
            if exchange.id in stage.outputs
        }
        self.channels = [
            ChannelId(exchange.id, p, task.partition)
            for exchange in inputs
            for p in range(topology.stages[exchange.upstream])
        ]

"""The entries of a manifest for a job's states and sinks."""

from __future__ import annotations

from rayflow.checkpoint.manifest import SinkEntry, StateEntry
from rayflow.engine.topology import Topology
from rayflow.plan.physical import JobPlan


def state_entries(plan: JobPlan) -> dict[str, StateEntry]:
    """The entry of every state, by "operator/name"."""
    return {
        f"{operator.id}/{spec.name}": StateEntry(spec.kind, spec.ttl, stage.id, spec.shape)
        for stage in plan.stages
        for operator in stage.operators
        for spec in operator.states
    }


def sink_entries(plan: JobPlan, topology: Topology) -> dict[str, SinkEntry]:
    """The entry of every sink that keeps markers, by operator."""
    if plan.delivery != "exactly_once":
        return {}
    return {sink.operator: SinkEntry(topology.stages[stage.id]) for stage in plan.stages for sink in stage.sinks}

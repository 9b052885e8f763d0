"""Which states an operator keeps, from its spec."""

from __future__ import annotations

from dataclasses import replace

from rayflow.api.process import has_timers
from rayflow.api.processing import class_of
from rayflow.api.specs import AggregateSpec, FoldSpec, LatestSpec, OperatorSpec, ProcessSpec, TableSpec, WindowSpec
from rayflow.api.state import states_of
from rayflow.plan.physical import StateSpec

VALUES = StateSpec("values", "value", shape="newest")
"""The newest value per key of a table; an aggregation keeps its accumulator under the same name."""
WINDOWS = StateSpec("windows", "windows")
"""The accumulator per window and key."""
TIMERS = StateSpec("timers", "timers")
"""The timers of a ProcessFunction that wait for event time."""
CLOCK_TIMERS = StateSpec("timers.processing", "timers")
"""Its timers that wait for the wall clock."""
TTL_TIMERS = StateSpec("timers.ttl", "expiry")
"""When rows of its states with a TTL expire, by event time."""
CLOCK_TTL_TIMERS = StateSpec("timers.ttl-processing", "expiry")
"""The same by the wall clock, on streams without event time."""


def states_of_spec(spec: OperatorSpec) -> tuple[StateSpec, ...]:
    """The states of one operator; () for one that keeps none."""
    if isinstance(spec, LatestSpec):
        return (VALUES,)
    if isinstance(spec, TableSpec):
        return (replace(VALUES, shape=_columns(spec.reducer)),)
    if isinstance(spec, WindowSpec):
        window = spec.window
        return (replace(WINDOWS, shape=f"{window.size} ms every {window.every} ms: {_columns(spec.reducer)}"),)
    if isinstance(spec, ProcessSpec):
        function = class_of(spec)
        declared = tuple(StateSpec(state.name, state.kind, state.ttl) for state in states_of(function))
        timers = (TIMERS, CLOCK_TIMERS) if has_timers(function) else ()
        expiry = (TTL_TIMERS, CLOCK_TTL_TIMERS) if any(state.ttl for state in declared) else ()
        return (*declared, *timers, *expiry)
    return ()


def _columns(reducer: AggregateSpec | FoldSpec) -> str:
    """What an accumulator holds: a fold's may be anything, and is the user's own affair."""
    if isinstance(reducer, FoldSpec):
        return "fold"
    return ", ".join(f"{name}={aggregation.kind}" for name, aggregation in reducer.aggregations)

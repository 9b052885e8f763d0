"""Which states an operator keeps, from its spec."""

from __future__ import annotations

from rayflow.api.process import has_timers
from rayflow.api.processing import class_of
from rayflow.api.specs import LatestSpec, OperatorSpec, ProcessSpec, TableSpec, WindowSpec
from rayflow.api.state import states_of
from rayflow.plan.physical import StateSpec

VALUES = StateSpec("values", "value")
"""The newest value, or the accumulator, per key of a table."""
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
    if isinstance(spec, TableSpec | LatestSpec):
        return (VALUES,)
    if isinstance(spec, WindowSpec):
        return (WINDOWS,)
    if isinstance(spec, ProcessSpec):
        function = class_of(spec)
        declared = tuple(StateSpec(state.name, state.kind, state.ttl) for state in states_of(function))
        timers = (TIMERS, CLOCK_TIMERS) if has_timers(function) else ()
        expiry = (TTL_TIMERS, CLOCK_TTL_TIMERS) if any(state.ttl for state in declared) else ()
        return (*declared, *timers, *expiry)
    return ()

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
"""The timers of a ProcessFunction."""


def states_of_spec(spec: OperatorSpec) -> tuple[StateSpec, ...]:
    """The states of one operator; () for one that keeps none."""
    if isinstance(spec, TableSpec | LatestSpec):
        return (VALUES,)
    if isinstance(spec, WindowSpec):
        return (WINDOWS,)
    if isinstance(spec, ProcessSpec):
        function = class_of(spec)
        declared = tuple(StateSpec(state.name, state.kind, state.ttl) for state in states_of(function))
        return (*declared, TIMERS) if has_timers(function) else declared
    return ()

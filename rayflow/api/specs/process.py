"""The user's own operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rayflow.api.process import has_timers
from rayflow.api.specs.base import OperatorSpec, StateSpec
from rayflow.api.state import states_of
from rayflow.core.failures import OnError, Stop

TIMERS = StateSpec("timers", "timers")
"""The timers of a ProcessFunction that wait for event time."""
CLOCK_TIMERS = StateSpec("timers.processing", "timers")
"""Its timers that wait for the wall clock."""
TTL_TIMERS = StateSpec("timers.ttl", "expiry")
"""When rows of its states with a TTL expire, by event time."""
CLOCK_TTL_TIMERS = StateSpec("timers.ttl-processing", "expiry")
"""The same by the wall clock, on streams without event time."""


@dataclass(frozen=True, slots=True)
class ProcessSpec(OperatorSpec):
    """Runs a ProcessFunction; `make` creates one instance per task. `keyed` is False on an unkeyed stream.

    `function`: the class of what `make` creates; None: unknown before it is called.
    """

    make: Callable[[], Any]
    keyed: bool
    on_error: OnError = field(default_factory=Stop)
    function: type[Any] | None = None

    @property
    def by_key(self) -> bool:
        return self.keyed

    @property
    def made(self) -> type[Any]:
        """The ProcessFunction class that `make` creates."""
        return self.function or type(self.make())

    @property
    def label(self) -> str:
        return self.made.__name__

    @property
    def states(self) -> tuple[StateSpec, ...]:
        declared = tuple(StateSpec(state.name, state.kind, state.ttl) for state in states_of(self.made))
        timers = (TIMERS, CLOCK_TIMERS) if has_timers(self.made) else ()
        expiry = (TTL_TIMERS, CLOCK_TTL_TIMERS) if any(state.ttl for state in declared) else ()
        return (*declared, *timers, *expiry)

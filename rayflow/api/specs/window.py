"""Windows of event time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from rayflow.api.durations import text_of
from rayflow.api.specs.base import OperatorSpec, StateSpec, joined
from rayflow.api.specs.reducers import ReducerSpec
from rayflow.core.failures import OnError

WindowEmit: TypeAlias = Literal["final", "updates"]

WINDOWS = StateSpec("windows", "windows")
"""The accumulator per window and key."""


@dataclass(frozen=True, slots=True)
class Window:
    """Windows of `size` ms, one starting every `every` ms since the epoch; tumbling if both are equal."""

    size: int
    every: int

    @property
    def label(self) -> str:
        """For descriptions of a plan."""
        if self.size == self.every:
            return f"tumbling {text_of(self.size)}"
        return f"hopping {text_of(self.size)} every {text_of(self.every)}"


@dataclass(frozen=True, slots=True)
class WindowSpec(OperatorSpec):
    """An aggregate per key and window. A window [start, end) is final when the watermark reaches end + grace (ms).

    `late`: whether the LATE output is used; late records are counted in any case.
    """

    window: Window
    grace: int
    emit: WindowEmit
    reducer: ReducerSpec
    late: bool = False
    by_key = True

    @property
    def label(self) -> str:
        grace = f"grace {text_of(self.grace)}" if self.grace else ""
        return joined(self.window.label, grace, self.reducer.label, self.emit)

    @property
    def states(self) -> tuple[StateSpec, ...]:
        window = self.window
        return (replace(WINDOWS, shape=f"{window.size} ms every {window.every} ms: {self.reducer.shape}"),)

    @property
    def on_error(self) -> OnError:
        return self.reducer.on_error

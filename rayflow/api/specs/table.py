"""Tables: one row per key."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from rayflow.api.specs.base import OperatorSpec, StateSpec, joined
from rayflow.api.specs.reducers import ReducerSpec
from rayflow.core.failures import OnError

Emit: TypeAlias = Literal["epoch", "record"]

VALUES = StateSpec("values", "value", shape="newest")
"""The newest value per key of a table; an aggregation keeps its accumulator under the same name."""


@dataclass(frozen=True, slots=True)
class TableSpec(OperatorSpec):
    """Keeps an aggregate per key and emits changes: the newest per key at the end of each epoch, or every update."""

    reducer: ReducerSpec
    emit: Emit = "epoch"
    by_key = True

    @property
    def label(self) -> str:
        return joined(self.reducer.label, f"each {self.emit}")

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return (replace(VALUES, shape=self.reducer.shape),)

    @property
    def on_error(self) -> OnError:
        return self.reducer.on_error


@dataclass(frozen=True, slots=True)
class LatestSpec(OperatorSpec):
    """Keeps the newest value per key (`to_table`); a None value deletes the key. Emits like TableSpec."""

    emit: Emit = "epoch"
    by_key = True

    @property
    def label(self) -> str:
        return f"newest value, each {self.emit}"

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return (VALUES,)

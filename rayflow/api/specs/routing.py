"""Operators that only choose where records go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rayflow.api.specs.base import OperatorSpec
from rayflow.core.failures import OnError, Stop


@dataclass(frozen=True, slots=True)
class GroupByKeySpec(OperatorSpec):
    """Keeps the source's keys and partitioning; drops (and counts) records with a null key."""

    keeps_source_keys = True


@dataclass(frozen=True, slots=True)
class MergeSpec(OperatorSpec):
    """Passes records of several streams on."""


@dataclass(frozen=True, slots=True)
class SplitSpec(OperatorSpec):
    """Sends each record to the output of the first predicate that is true, otherwise to OUT (the rest)."""

    branches: tuple[tuple[str, Callable[[Any], Any]], ...]
    on_error: OnError = field(default_factory=Stop)

    @property
    def label(self) -> str:
        return ", ".join(branch for branch, _ in self.branches)

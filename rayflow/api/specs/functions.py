"""Operators that call one function with each value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rayflow.api.functions import name_of
from rayflow.api.specs.base import OperatorSpec
from rayflow.core.failures import OnError, Stop


@dataclass(frozen=True, slots=True)
class FunctionSpec(OperatorSpec):
    """The common base class."""

    fn: Callable[[Any], Any]
    on_error: OnError = field(default_factory=Stop)

    @property
    def label(self) -> str:
        return name_of(self.fn)


@dataclass(frozen=True, slots=True)
class MapSpec(FunctionSpec):
    """value -> value."""


@dataclass(frozen=True, slots=True)
class FilterSpec(FunctionSpec):
    """Keeps records whose value passes."""


@dataclass(frozen=True, slots=True)
class FlatMapSpec(FunctionSpec):
    """value -> several values."""


@dataclass(frozen=True, slots=True)
class PeekSpec(FunctionSpec):
    """Calls a function with each value; records pass unchanged."""

    has_effect = True


@dataclass(frozen=True, slots=True)
class KeyBySpec(FunctionSpec):
    """Gives each record the key `fn(value)`; an exchange follows it."""

    moves_by_key = True

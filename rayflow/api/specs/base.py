"""The base class of specs: each describes itself, so that the plan needs to know none by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rayflow.core.failures import OnError, Stop
from rayflow.core.outputs import IN, Input


@dataclass(frozen=True, slots=True)
class StateSpec:
    """One state of an operator; `ttl` in ms or None.

    `kind`: value, list, map, timers, windows, ordered (by key and time), calls (records that wait for calls), or
    expiry (when rows with a TTL end; it may go without loss).
    `shape`: what its rows hold, in words, where the job file decides it: the windows, the columns of an aggregation.
    """

    name: str
    kind: str
    ttl: int | None = None
    shape: str = ""


class OperatorSpec:
    """One operator as the job file defines it. Subclasses are frozen dataclasses; each has an operator that runs it.

    Attributes:
        inputs: the names of its inputs. One that has several gives each a name of its own, and does not use IN.
        moves_by_key: whether an exchange follows it, which brings the records of a key to one task.
        keeps_source_keys: whether what follows relies on the keys and the partitioning of the source.
        has_effect: whether a job that ends in it does something.
    """

    __slots__ = ()

    inputs: ClassVar[tuple[Input, ...]] = (IN,)
    moves_by_key: ClassVar[bool] = False
    keeps_source_keys: ClassVar[bool] = False
    has_effect: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """One line for people on what the operator does, without its kind; "" when there is nothing to add."""
        return ""

    @property
    def states(self) -> tuple[StateSpec, ...]:
        """The operator's states: name, kind and shape decide whether a checkpoint's rows still fit."""
        return ()

    @property
    def by_key(self) -> bool:
        """Whether it needs all records of a key in one task, and brings no such order about itself."""
        return False

    @property
    def on_error(self) -> OnError:
        """How a record that fails is handled. Stop, too, for an operator in which no record can fail."""
        return Stop()


def joined(*parts: str, by: str = ", ") -> str:
    """The parts of a label, those left out that are empty."""
    return by.join(part for part in parts if part)

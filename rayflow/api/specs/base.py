"""The base class of specs: each describes itself, so that the plan needs to know none by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rayflow.core.failures import OnError, Stop
from rayflow.core.outputs import IN, Input


@dataclass(frozen=True, slots=True)
class StateSpec:
    """One state of an operator; `ttl` in ms or None.

    `kind`: value, list, map, timers, windows, ordered (by key and time), calls (records that wait for calls), or expiry
    (when rows with a TTL expire; it may be lost without harm). `shape`: a description of its rows, if the job file
    determines them: the windows, the columns of an aggregation.
    """

    name: str
    kind: str
    ttl: int | None = None
    shape: str = ""


class OperatorSpec:
    """One operator as the job file defines it. Subclasses are frozen dataclasses; each has an operator that runs it.

    Attributes:
        inputs: the names of its inputs. An operator with several inputs names each of them, and does not use IN.
        moves_by_key: whether an exchange follows it, which brings the records of a key to one task.
        keeps_source_keys: whether later operators rely on the keys and the partitioning of the source.
        has_effect: whether a job that ends with it has an effect.
    """

    __slots__ = ()

    inputs: ClassVar[tuple[Input, ...]] = (IN,)
    moves_by_key: ClassVar[bool] = False
    keeps_source_keys: ClassVar[bool] = False
    has_effect: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """One line for people that describes the operator, without its kind; "" if there is nothing to add."""
        return ""

    @property
    def states(self) -> tuple[StateSpec, ...]:
        """The operator's states: name, kind and shape decide whether a checkpoint's rows still fit."""
        return ()

    @property
    def by_key(self) -> bool:
        """Whether it needs all records of a key in one task, and does not ensure this itself."""
        return False

    @property
    def on_error(self) -> OnError:
        """How a record that fails is handled. Stop, too, for an operator in which no record can fail."""
        return Stop()


def joined(*parts: str, by: str = ", ") -> str:
    """The non-empty parts of a label."""
    return by.join(part for part in parts if part)

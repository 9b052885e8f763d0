"""What to do with a record that fails: `on_error=`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from rayflow.core.topics import TopicRef


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the job with an error (the default)."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Leave the record out and count it."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Send the record to a topic, with the reason and its origin in headers."""

    topic: TopicRef


@dataclass(frozen=True, slots=True)
class FailedRecord:
    """What an `on_error` function is given. `value` is raw bytes when the record did not decode."""

    error: Exception
    operator: str
    topic: str
    partition: int
    offset: int
    key: Any
    value: Any


OnError: TypeAlias = "Stop | Skip | DeadLetter | Callable[[FailedRecord], Stop | Skip]"

"""The outputs of a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rayflow.api.specs.base import OperatorSpec
from rayflow.core.failures import OnError, Stop
from rayflow.core.topics import TopicRef
from rayflow.serde.base import Serde


@dataclass(frozen=True, slots=True)
class SinkSpec(OperatorSpec):
    """Encodes records, and writes them to a topic. `timestamp`, `headers`: functions of the value; None keeps the
    record's."""

    topic: TopicRef
    key: Serde[Any]
    value: Serde[Any]
    timestamp: Callable[[Any], int] | None = None
    headers: Callable[[Any], list[tuple[str, bytes | None]]] | None = None
    on_error: OnError = field(default_factory=Stop)
    has_effect = True

    @property
    def label(self) -> str:
        return f"{self.topic}: key {self.key.name}, value {self.value.name}"


@dataclass(frozen=True, slots=True)
class PrintSpec(OperatorSpec):
    """Prints key and value to standard output, after `text`; records pass unchanged."""

    text: str
    has_effect = True

    @property
    def label(self) -> str:
        return self.text

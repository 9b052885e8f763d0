"""The messages that a simulated network carries between a worker and the coordinator."""

from __future__ import annotations

from dataclasses import dataclass

from rayflow.core.ids import Attempt


@dataclass(frozen=True, slots=True)
class Letter:
    """A message. `number` counts those of one sender to one receiver, from 0."""

    number: int
    attempt: Attempt
    body: object

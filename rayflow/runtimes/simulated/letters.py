"""The messages between workers and the coordinator on a simulated network."""

from __future__ import annotations

from dataclasses import dataclass

from rayflow.core.ids import Attempt


@dataclass(frozen=True, slots=True)
class Letter:
    """A message. `number` counts the messages from one sender to one receiver, from 0."""

    number: int
    attempt: Attempt
    body: object

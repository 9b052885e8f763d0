"""Sends a worker's messages to the coordinator and to the other workers of its attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rayflow.core.ids import Attempt, WorkerId
from rayflow.runtimes.hosting.channels.outgoing import Frame, encode_frame
from rayflow.runtimes.ray.links.transport import Address, Transport


@dataclass(frozen=True, slots=True)
class Peers:
    """The workers of an attempt, by slot."""

    addresses: Mapping[WorkerId, Address]


class ActorLinks:
    """Sends a worker's reports to the coordinator by one-way calls, and its frames to other workers."""

    def __init__(self, slot: WorkerId, generation: int, coordinator: Any, transport: Transport) -> None:
        self._slot = slot
        self._generation = generation
        self._report = coordinator.report.options(num_returns=0)
        self._transport = transport
        self._reported = 0

    def report(self, attempt: Attempt, message: object) -> None:
        """Send a message to the coordinator. Only from the worker's thread, because messages are numbered."""
        self._report.remote(self._slot, self._generation, self._reported, attempt, message)
        self._reported += 1

    def deliver(self, worker: WorkerId, frame: Frame) -> None:
        """Send a frame to another worker."""
        self._transport.send(worker, encode_frame(frame))

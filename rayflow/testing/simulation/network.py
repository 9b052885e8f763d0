"""The model network: messages in order between two processes, at any speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.schedule import Schedule


class Network:
    """Delivers calls. What was sent before its sender died still arrives."""

    def __init__(self, schedule: Schedule, faults: Callable[[], Faults]) -> None:
        self._schedule = schedule
        self._faults = faults
        self._latest: dict[Any, int] = {}

    def send(self, channel: Any, deliver: Callable[[], None]) -> None:
        """Have `deliver` called some time later, and after everything sent before on the same channel."""
        faults, random = self._faults(), self._schedule.random
        delay = random.randrange(100, faults.delay * 1000 + 200)
        if self._schedule.chance(faults.long_delay, f"a message is late {channel}"):
            delay += random.randrange(2_000_000)
        at = max(self._schedule.now + delay, self._latest.get(channel, 0))
        self._latest[channel] = at
        self._schedule.after(at - self._schedule.now, deliver)

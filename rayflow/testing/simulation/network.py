"""The model network: messages in order between two processes, at any speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.schedule import Schedule


class Network:
    """Delivers calls. Messages that were sent before their sender died still arrive; those on a cut link arrive
    later."""

    def __init__(self, schedule: Schedule, faults: Callable[[], Faults]) -> None:
        self._schedule = schedule
        self._faults = faults
        self._latest: dict[Any, int] = {}

    def send(self, channel: Any, deliver: Callable[[], None], again: Callable[[], None]) -> None:
        """Call `deliver` some time later, after everything sent before on the same channel. If the network repeats the
        message, `again` is called at any time after that."""
        schedule, faults, random = self._schedule, self._faults(), self._schedule.random
        delay = random.randrange(100, faults.delay * 1000 + 200)
        if schedule.chance(faults.long_delay, "message delayed", *channel):
            delay += random.randrange(2_000_000)
        if schedule.chance(faults.link_cut, "link cut", *channel):
            delay += random.randrange(faults.cut_time * 1000)
        at = max(schedule.now + delay, self._latest.get(channel, 0))
        self._latest[channel] = at
        schedule.after(at - schedule.now, deliver)
        while schedule.chance(faults.repeat, "message repeated", *channel):
            schedule.after(at - schedule.now + random.randrange(random.choice((1000, 3_000_000))), again)

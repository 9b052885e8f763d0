"""When a worker reads its sources, and how many records at once."""

from __future__ import annotations

from collections.abc import Callable

from rayflow.engine.events import RecordsPolled
from rayflow.runtimes.hosting.messages import Ends
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.sources import Sources

ENDS_TIMEOUT = 30.0
"""Seconds to wait for the ends of a bounded run."""


class Polling:
    """Reads records, as many as a turn has time for.

    Attributes:
        held: memory is short, and no source may be read. last: the last barrier has come; nothing is read after it.
    """

    def __init__(self, sources: Sources, options: RunOptions, monotonic: Callable[[], float]) -> None:
        self.held = False
        self.last = False
        self._sources = sources
        self._most = options.max_poll_records
        self._until_end = options.until_end
        self._monotonic = monotonic
        self._cost = 0.0
        self._told = False

    def fix_ends(self, known: Ends) -> Ends:
        """In a bounded run, find out where the sources end, beyond what is `known`; else nothing."""
        return self._sources.fix_ends(known, timeout=ENDS_TIMEOUT) if self._until_end else {}

    def poll(self, turn: float, timeout: float, work: Callable[[RecordsPolled], None]) -> bool:
        """Give `work` the records that `turn` seconds suffice for. True if any came within `timeout` seconds."""
        events = self._sources.poll(self._room(turn), timeout)
        began = self._monotonic()
        for event in events:
            work(event)
        if records := sum(len(event.batch) for event in events):
            self._cost += ((self._monotonic() - began) / records - self._cost) / 4
        return bool(events)

    def exhausted(self) -> bool:
        """True once, when a bounded run has read everything."""
        if not self._until_end or self._told or not self._sources.exhausted:
            return False
        self._told = True
        return True

    def hold(self) -> None:
        """Memory is short: read nothing."""
        self.held = True
        self._sources.hold()

    def release(self) -> None:
        """Read again."""
        self.held = False
        self._sources.release()

    def _room(self, turn: float) -> int:
        """How many records to take at once: an epoch in flight advances once a turn, so its turns are short."""
        return self._most if self._cost * self._most <= turn else max(1, int(turn / self._cost))

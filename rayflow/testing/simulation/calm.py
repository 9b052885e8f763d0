"""Determines since when no fault has affected the job, so that progress can be required."""

from __future__ import annotations

from collections import Counter

from rayflow.testing.simulation.kafka import ModelKafka
from rayflow.testing.simulation.schedule import Schedule

SECOND = 1_000_000

LASTS = {
    "disk lost": 0,
    "link cut": 4 * SECOND,
    "machine rebooted": 0,
    "markers to expire": 0,
    "message delayed": 2 * SECOND,
    "message repeated": 0,
    "partitions idle": 0,
    "partitions to be added": 0,
    "process frozen": 2 * SECOND,
    "savepoint to be cut off": 0,
    "slots scattered": 0,
    "worker kept": 0,
    "zombie": 0,
}
"""The maximum duration of a fault in microseconds; 0: it does not delay an attempt that runs."""
LONGEST_OF_OTHERS = SECOND
"""The maximum duration of any other fault."""


class Calm:
    """Tracks the faults that have happened.

    Attributes:
        since: when the last fault was over, at the latest (virtual time, microseconds); may be in the future.
    """

    def __init__(self, schedule: Schedule, kafka: ModelKafka) -> None:
        self._schedule = schedule
        self._kafka = kafka
        self._seen: Counter[str] = Counter()
        self.since = 0

    def look(self) -> None:
        """Check for new faults; call it often."""
        now, happened = self._schedule.now, self._schedule.happened
        if happened != self._seen:
            for fault in happened - self._seen:
                lasts = LASTS.get(fault, LONGEST_OF_OTHERS)
                if lasts:
                    self.since = max(self.since, now) + lasts  # a fault may affect what another one has delayed already
            self._seen = Counter(happened)
        if self._kafka.away:
            self.since = max(self.since, now + LONGEST_OF_OTHERS)

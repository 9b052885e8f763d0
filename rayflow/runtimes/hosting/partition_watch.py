"""Watches source topics for new partitions while the job runs."""

from __future__ import annotations

from collections.abc import Mapping

from rayflow.core.errors import BrokerUnavailable, UnknownTopic
from rayflow.core.logging import get_logger
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.sources import Sources

log = get_logger("rayflow.coordinator")

EVERY = 10.0
"""Seconds between two checks."""


class PartitionWatch:
    """Asks the brokers from time to time, outside of the driver's thread."""

    def __init__(self, job: str, sources: Sources, ports: Ports) -> None:
        self._job = job
        self._sources = sources
        self._monotonic = ports.monotonic
        self._background = ports.background()
        self._next = ports.monotonic() + EVERY
        self._found: dict[str, int] = {}
        self._told = False

    def grown(self, known: Mapping[str, int]) -> bool:
        """True once, if a source has more partitions than in `known`. Returns at once.

        Raises the error of a check that waiting cannot correct (AuthenticationFailed).
        """
        now = self._monotonic()
        if now >= self._next and not self._background.waiting:
            self._next = now + EVERY
            self._background.call(self._look, self._found.update)
        self._background.collect()
        grown = not self._told and any(self._found.get(source, 0) > count for source, count in known.items())
        if grown:
            self._told = True
            log.info("a source has more partitions", job=self._job)
        return grown

    def close(self) -> None:
        """Stop checking. Waits for a running check, which ends with the broker's answer or its timeout.

        A check is not abandoned: a broker that delays it also delays the next attempt, which begins with the same
        request; and at the end of the job the connectors are closed, which an abandoned check would still use.
        """
        self._background.close()

    def _look(self) -> dict[str, int]:
        try:
            return self._sources.partitions()
        except (BrokerUnavailable, UnknownTopic):  # the reader reports it; here: look again later
            return {}

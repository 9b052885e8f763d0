"""Sees that a topic has got more partitions while the job runs."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rayflow.core.errors import BrokerUnavailable, UnknownTopic
from rayflow.runtimes.local.background import Background
from rayflow.runtimes.local.sources import Sources

EVERY = 10.0
"""Seconds between two looks."""


class PartitionWatch:
    """Asks the brokers off the coordinator's thread."""

    def __init__(self) -> None:
        self._background = Background()
        self._next = 0.0
        self._found: dict[str, int] = {}

    def grown(self, sources: Sources, known: Mapping[str, int]) -> bool:
        """Whether a source is known to have more partitions than these. Returns at once; looks now and then."""
        now = time.monotonic()
        if now >= self._next and not self._background.waiting:
            self._next = now + EVERY
            self._background.call(lambda: _partitions(sources), self._found.update)
        self._background.collect()
        return any(self._found.get(source, 0) > count for source, count in known.items())

    def close(self) -> None:
        """Let go of it."""
        self._background.close()


def _partitions(sources: Sources) -> dict[str, int]:
    try:
        return dict(sources.partitions())
    except (BrokerUnavailable, UnknownTopic):  # told by whoever reads; here it only means: look again later
        return {}

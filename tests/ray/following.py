"""The soak's follower, for a job whose workers publish each their part of an epoch."""

from __future__ import annotations

from tests.kafka.client import Kafka
from tests.soak.follower import Follower


class SpreadFollower(Follower):
    """Takes a position for committed once the next one is.

    A worker's transaction has its positions and its own output; another worker's output of the same epoch may be seen
    later. Since no epoch begins to end before the one before is published everywhere, a position that has been left
    behind has all its output.

    Attributes:
        unread: visits that are not behind the newest positions.
    """

    def __init__(self, kafka: Kafka, group: str) -> None:
        self.unread = 0
        self._newest: dict[int, int] = {}
        self._settled: dict[int, int] = {}
        super().__init__(kafka, group)

    def _positions(self) -> dict[int, int] | None:
        found = super()._positions()
        if found is None:
            return None
        self.unread = self.expected.taken - sum(found.values())
        for partition, position in found.items():
            newest = self._newest.get(partition, position)
            if position > newest:
                self._settled[partition] = newest
            self._newest[partition] = position
        return dict(self._settled)

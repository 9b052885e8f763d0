"""What the job must write, computed from its input alone, while it runs.

Input is taken in the order of each partition, output is compared as it comes, and both are forgotten once they have
met: what is held is what the job has not shown yet. So a soak of days needs no more memory than one of minutes, and
whatever is shown twice meets nothing. Each part of the job has a part here (`sessions.py`, `shops.py`, `windows.py`).

How far the job has committed its positions says what must have been shown by then: `Expected.behind`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from tests.soak.job import EVERY, GRACE, HOP, OUT_OF_ORDER, WINDOW, Visit
from tests.soak.load import PARTITIONS
from tests.soak.sessions import ExpectedReminders, ExpectedSessions
from tests.soak.shops import ExpectedCounts, ExpectedTotals
from tests.soak.windows import ExpectedLate, ExpectedWindows
from tests.soak.wrong import Wrong

NEVER = -(1 << 62)
"""Before all event time."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One visit of the input. `limit`: its partition's watermark when it was read, ms."""

    partition: int
    offset: int
    visit: Visit
    limit: int


class Part(Protocol):
    """One sink's expectation."""

    def take(self, taken: Taken) -> None:
        """The input has one more visit."""

    def show(self, key: str, value: Any) -> None:
        """The job has written this. Raises Wrong."""

    def commit(self, taken: Taken) -> None:
        """The job has committed a position behind this visit: what follows from it alone is shown. Raises Wrong."""

    def advance(self, watermark: int) -> None:
        """The job has committed positions with this watermark: what is due by it is shown. Raises Wrong."""

    def missing(self) -> int:
        """How many outputs are still to come for the input so far."""


class Expected:
    """All that the job must write.

    Attributes:
        taken, shown: visits of the input, records of the output so far. committed: visits behind what is committed.
    """

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {
            "echoes": ExpectedSessions(),
            "reminders": ExpectedReminders(),
            "windows": ExpectedWindows(lambda visit: visit.session, WINDOW, WINDOW, GRACE),
            "late": ExpectedLate(WINDOW, GRACE),
            "shop-windows": ExpectedWindows(lambda visit: visit.shop, HOP, EVERY, 0),
            "totals": ExpectedTotals(),
            "counts": ExpectedCounts(),
        }
        self.taken = self.shown = self.committed = 0
        self._newest = [NEVER] * PARTITIONS
        self._committed_newest = [NEVER] * PARTITIONS
        self._uncommitted: list[deque[Taken]] = [deque() for _ in range(PARTITIONS)]

    def take(self, partition: int, offset: int, value: bytes) -> None:
        """The next record of the input's partition."""
        visit = msgspec.json.decode(value, type=Visit)
        newest = self._newest[partition]
        taken = Taken(partition, offset, visit, newest if newest == NEVER else newest - OUT_OF_ORDER - 1)
        self._newest[partition] = max(newest, visit.ts)
        self._uncommitted[partition].append(taken)
        self.taken += 1
        for part in self.parts.values():
            part.take(taken)

    def show(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """The next record of an output's partition. Raises Wrong."""
        if key is None or value is None:
            raise Wrong(f"{topic}: a record without key or value")
        self.shown += 1
        self.parts[topic].show(key.decode(), msgspec.json.decode(value))

    def behind(self, positions: Mapping[int, int]) -> None:
        """The job has committed these positions, and all output that was visible then has been shown. Raises Wrong."""
        for partition, position in positions.items():
            waiting = self._uncommitted[partition]
            while waiting and waiting[0].offset < position:
                taken = waiting.popleft()
                self._committed_newest[partition] = max(self._committed_newest[partition], taken.visit.ts)
                self.committed += 1
                for part in self.parts.values():
                    part.commit(taken)
        lowest = min(self._committed_newest)
        if lowest != NEVER:
            for part in self.parts.values():
                part.advance(lowest - OUT_OF_ORDER - 1)

    def missing(self) -> dict[str, int]:
        """By topic, how many outputs are still to come for the input so far."""
        return {topic: count for topic, part in self.parts.items() if (count := part.missing())}

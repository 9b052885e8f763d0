"""Windows: each one once, exact, and as soon as it is due; and the visits that were late for theirs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.soak.job import Visit
from tests.soak.wrong import Wrong

if TYPE_CHECKING:
    from tests.soak.expected import Taken


class ExpectedWindows:
    """Windows per key. A visit counts in those that its own partition's watermark has not closed when it comes.

    Args:
        key: of a visit. size, every, grace: of the windows, ms.
    """

    def __init__(self, key: Callable[[Visit], str], size: int, every: int, grace: int) -> None:
        self._key = key
        self._size, self._every, self._grace = size, every, grace
        self._open: dict[int, dict[str, list[int]]] = defaultdict(dict)

    def take(self, taken: Taken) -> None:
        visit = taken.visit
        key = self._key(visit)
        newest = visit.ts - visit.ts % self._every
        for start in range(newest, visit.ts - self._size, -self._every):
            end = start + self._size
            if end + self._grace > taken.limit:
                window = self._open[end].setdefault(key, [0, 0])
                window[0] += 1
                window[1] += visit.amount

    def show(self, key: str, value: Any) -> None:
        end = value["window_end"]
        expected = self._open.get(end, {}).pop(key, None)
        if [value["count"], value["total"]] != expected or value["window_start"] != end - self._size:
            raise Wrong(f"windows of {self._size} ms: {value} of {key}; expected count and total {expected}")
        if not self._open[end]:
            del self._open[end]

    def commit(self, taken: Taken) -> None:
        """Windows come by event time."""

    def advance(self, watermark: int) -> None:
        due = [end for end in self._open if end + self._grace <= watermark]
        if due:
            keys = sorted(self._open[due[0]])
            raise Wrong(f"windows of {self._size} ms: {keys[:3]} lack the one to {due[0]}, with watermark {watermark}")

    def missing(self) -> int:
        return sum(map(len, self._open.values()))


class ExpectedLate:
    """The visits whose only window was closed by their own partition's watermark."""

    def __init__(self, size: int, grace: int) -> None:
        self._size, self._grace = size, grace
        self._waiting: set[int] = set()

    def take(self, taken: Taken) -> None:
        if self._is_late(taken):
            self._waiting.add(taken.visit.id)

    def show(self, key: str, value: Any) -> None:
        if value["id"] not in self._waiting or value["session"] != key:
            raise Wrong(f"late: {value} of {key} was not late, or was shown before")
        self._waiting.remove(value["id"])

    def commit(self, taken: Taken) -> None:
        if taken.visit.id in self._waiting:
            raise Wrong(f"late: visit {taken.visit.id}, at offset {taken.offset}, is lost behind the position")

    def advance(self, watermark: int) -> None:
        """What is late is told at once."""

    def missing(self) -> int:
        return len(self._waiting)

    def _is_late(self, taken: Taken) -> bool:
        end = taken.visit.ts - taken.visit.ts % self._size + self._size
        return end + self._grace <= taken.limit

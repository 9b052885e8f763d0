"""What belongs to a shop: running totals, one for each visit, and the newest count once per epoch."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from tests.soak.wrong import Wrong

if TYPE_CHECKING:
    from tests.soak.expected import Taken


class ExpectedTotals:
    """Counts 1, 2, 3 ... without a gap, each adding the amount of one visit that was not added yet.

    In which order visits of several partitions are added is not given.
    """

    def __init__(self) -> None:
        self._amounts: dict[str, Counter[int]] = defaultdict(Counter)
        self._shown: dict[str, tuple[int, int]] = {}
        self._committed: Counter[str] = Counter()

    def take(self, taken: Taken) -> None:
        self._amounts[taken.visit.shop][taken.visit.amount] += 1

    def show(self, key: str, value: Any) -> None:
        count, total = self._shown.get(key, (0, 0))
        amount, amounts = value["total"] - total, self._amounts[key]
        if value["count"] != count + 1 or amounts[amount] < 1:
            raise Wrong(f"totals: {value} of {key} after count {count}, total {total}")
        amounts[amount] -= 1
        if not amounts[amount]:
            del amounts[amount]
        self._shown[key] = (value["count"], value["total"])

    def commit(self, taken: Taken) -> None:
        shop = taken.visit.shop
        self._committed[shop] += 1
        if self._shown.get(shop, (0, 0))[0] < self._committed[shop]:
            raise Wrong(f"totals: visit {taken.visit.id}, at offset {taken.offset}, is lost behind the position")

    def advance(self, watermark: int) -> None:
        """Totals do not go by time."""

    def missing(self) -> int:
        return sum(amounts.total() for amounts in self._amounts.values())


class ExpectedCounts:
    """Growing counts, never beyond the visits that there are; the newest one is not behind what is committed."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        self._shown: Counter[str] = Counter()
        self._committed: Counter[str] = Counter()

    def take(self, taken: Taken) -> None:
        self._taken[taken.visit.shop] += 1

    def show(self, key: str, value: Any) -> None:
        if not self._shown[key] < value <= self._taken[key]:
            raise Wrong(f"counts: {value} of {key} after {self._shown[key]}, with {self._taken[key]} visits")
        self._shown[key] = value

    def commit(self, taken: Taken) -> None:
        shop = taken.visit.shop
        self._committed[shop] += 1
        if self._shown[shop] < self._committed[shop]:
            raise Wrong(f"counts: {self._shown[shop]} of {shop} is behind the position, {self._committed[shop]}")

    def advance(self, watermark: int) -> None:
        """Counts do not go by time."""

    def missing(self) -> int:
        return sum(self._shown[shop] != count for shop, count in self._taken.items())

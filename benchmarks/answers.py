"""What the output must be, recomputed from the input: a wrong result is no result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any

import msgspec

from benchmarks.orders import Order

WINDOW = 60_000


class WrongResult(Exception):
    """A contender's output is not what the input makes it."""


class Total(msgspec.Struct, gc=False):
    """A record of `map`."""

    user: str
    total: float


class Running(msgspec.Struct, gc=False):
    """A record of `count` and `shuffle`."""

    key: str
    count: int
    revenue: float


class Minute(msgspec.Struct, gc=False):
    """A record of `window`."""

    key: str
    window_start: int
    count: int
    revenue: float


_total = msgspec.json.Decoder(Total).decode
_running = msgspec.json.Decoder(Running).decode
_minute = msgspec.json.Decoder(Minute).decode
_order = msgspec.json.Decoder(Order).decode

Record = tuple[bytes, bytes, int]
"""Key, value, timestamp."""


def records(messages: Iterable[Any]) -> Iterator[Record]:
    """What the checks look at of confluent-kafka's messages."""
    return ((message.key(), message.value(), message.timestamp()[1]) for message in messages)


class Answers:
    """The known answers for one input. Each check takes the output's records, in order within a partition, gives
    their number, and raises WrongResult."""

    def __init__(self, source: Iterable[Record]) -> None:
        self._raw: dict[bytes, list[Record]] = {}
        for record in source:
            self._raw.setdefault(record[0], []).append(record)
        self._users = {user.decode(): [_order(value) for _, value, _ in records] for user, records in self._raw.items()}

    def check(self, name: str, output: Iterable[Record]) -> int:
        """Run the check of that name."""
        checks: dict[str, Callable[[Iterable[Record]], int]] = {
            "identity": self._identity,
            "map": self._map,
            "updates_per_user": self._updates_per_user,
            "newest_per_user": self._newest_per_user,
            "updates_per_item": self._updates_per_item,
            "windows": self._windows,
        }
        return checks[name](output)

    def _identity(self, output: Iterable[Record]) -> int:
        found: dict[bytes, list[Record]] = {}
        for record in output:
            found.setdefault(record[0], []).append(record)
        _same(found, self._raw, "records")
        return sum(map(len, found.values()))

    def _map(self, output: Iterable[Record]) -> int:
        found: dict[str, list[tuple[float, int]]] = {}
        for key, value, time in output:
            total = _total(value)
            if key.decode() != total.user:
                raise WrongResult("a total has another user's key")
            found.setdefault(total.user, []).append((total.total, time))
        wanted = {
            user: [(order.price * order.qty, order.ts) for order in orders if order.price > 20]
            for user, orders in self._users.items()
        }
        _same(found, {user: totals for user, totals in wanted.items() if totals}, "totals")
        return sum(map(len, found.values()))

    def _updates_per_user(self, output: Iterable[Record]) -> int:
        found = _updates(output)
        # A user's orders lie in one partition, so even the order in which floats are added is known.
        wanted = {
            user: list(enumerate(accumulate(order.price * order.qty for order in orders), 1))
            for user, orders in self._users.items()
        }
        _same(found, wanted, "updates")
        return sum(map(len, found.values()))

    def _newest_per_user(self, output: Iterable[Record]) -> int:
        found = _updates(output)
        for user, updates in found.items():
            counts = [count for count, _ in updates]
            if counts != sorted(set(counts)):
                raise WrongResult(f"the counts of {user} do not rise")
        self._compare_newest(found, self._users)
        return sum(map(len, found.values()))

    def _updates_per_item(self, output: Iterable[Record]) -> int:
        found = _updates(output)
        items: dict[str, list[Order]] = {}
        for orders in self._users.values():
            for order in orders:
                items.setdefault(order.item, []).append(order)
        for item, updates in found.items():
            if [count for count, _ in updates] != list(range(1, len(updates) + 1)):
                raise WrongResult(f"the counts of {item} do not go up one by one")
        self._compare_newest(found, items)
        return sum(map(len, found.values()))

    def _compare_newest(self, found: dict[str, list[tuple[int, float]]], orders: dict[str, list[Order]]) -> None:
        newest = {key: updates[-1] for key, updates in found.items()}
        wanted = {key: (len(own), sum(order.price * order.qty for order in own)) for key, own in orders.items()}
        _close(newest, wanted)

    def _windows(self, output: Iterable[Record]) -> int:
        found: dict[tuple[str, int], tuple[int, float]] = {}
        for key, value, time in output:
            minute = _minute(value)
            place = minute.key, minute.window_start
            if key.decode() != minute.key or time != minute.window_start + WINDOW - 1:
                raise WrongResult("a window has another key or time than its record")
            if place in found:
                raise WrongResult(f"window {place} came twice")
            found[place] = minute.count, minute.revenue
        wanted: dict[tuple[str, int], tuple[int, float]] = {}
        for user, orders in self._users.items():
            for order in orders:
                start = order.ts - order.ts % WINDOW
                count, revenue = wanted.get((user, start), (0, 0.0))
                wanted[user, start] = count + 1, revenue + order.price * order.qty
        _close(found, wanted)
        return len(found)


def _updates(output: Iterable[Record]) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for key, value, _ in output:
        running = _running(value)
        if key.decode() != running.key:
            raise WrongResult("an update has another key than its record")
        found.setdefault(running.key, []).append((running.count, running.revenue))
    return found


def _same(found: dict[Any, Any], wanted: dict[Any, Any], what: str) -> None:
    if found == wanted:
        return
    wrong = sum(found.get(key) != wanted.get(key) for key in found.keys() | wanted.keys())
    raise WrongResult(f"{wrong} of {len(wanted)} keys have other {what} than the input makes")


def _close(found: dict[Any, tuple[int, float]], wanted: dict[Any, tuple[int, float]]) -> None:
    """Counts exactly, revenues but for the order in which they were added."""
    wrong = [
        key
        for key in found.keys() | wanted.keys()
        if key not in found
        or key not in wanted
        or found[key][0] != wanted[key][0]
        or not math.isclose(found[key][1], wanted[key][1], rel_tol=1e-9, abs_tol=1e-6)
    ]
    if wrong:
        raise WrongResult(f"{len(wrong)} of {len(wanted)} results are wrong")

"""What the output must be, recomputed from the input: a wrong result is no result."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from benchmarks.orders import Order

WINDOW, GRACE = 60_000, 5_000


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

Record = tuple[bytes, bytes, int, int]
"""Key, value, timestamp, partition."""


def records(messages: Iterable[Any]) -> Iterator[Record]:
    """What the checks look at of confluent-kafka's messages."""
    return ((message.key(), message.value(), message.timestamp()[1], message.partition()) for message in messages)


class _User:
    """The orders of one user, in order; columns, so that millions fit."""

    __slots__ = ("digest", "partition", "price", "revenue", "time")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.price, self.revenue, self.time = array("d"), array("d"), array("q")
        self.digest = hashlib.blake2b(digest_size=16)


class Answers:
    """The known answers for one input. Each check takes the output's records, in order within a partition, gives
    their number, and raises WrongResult."""

    def __init__(self, source: Iterable[Record]) -> None:
        self._users: dict[bytes, _User] = {}
        self._items: dict[str, tuple[int, float]] = {}
        self._newest: dict[int, int] = {}
        for key, value, time, partition in source:
            user = self._users.get(key)
            if user is None:
                user = self._users[key] = _User(partition)
            order = _order(value)
            revenue = order.price * order.qty
            user.price.append(order.price)
            user.revenue.append(revenue)
            user.time.append(time)
            _add(user.digest, value, time)
            count, sold = self._items.get(order.item, (0, 0.0))
            self._items[order.item] = count + 1, sold + revenue
            self._newest[partition] = max(time, self._newest.get(partition, 0))
        self._checks: dict[str, Callable[[Iterable[Record]], int]] = {
            "identity": self._identity,
            "map": self._map,
            "updates_per_user": self._updates_per_user,
            "newest_per_user": self._newest_per_user,
            "updates_per_item": self._updates_per_item,
            "newest_per_item": self._newest_per_item,
            "windows": self._all_windows,
            "closed_windows": self._closed_windows,
        }

    def check(self, name: str, output: Iterable[Record]) -> int:
        """Run the check of that name."""
        try:
            return self._checks[name](output)
        except msgspec.DecodeError as error:
            raise WrongResult(f"a value cannot be read: {error}") from error

    def _user(self, key: bytes) -> _User:
        user = self._users.get(key)
        if user is None:
            raise WrongResult("a record has a key that the input does not have")
        return user

    def _identity(self, output: Iterable[Record]) -> int:
        found: dict[bytes, Any] = {}
        number = 0
        for key, value, time, _ in output:
            number += 1
            digest = found.get(key)
            if digest is None:
                digest = found[key] = hashlib.blake2b(digest_size=16)
            _add(digest, value, time)
        if {key: digest.digest() for key, digest in found.items()} != {
            key: user.digest.digest() for key, user in self._users.items()
        }:
            raise WrongResult("the records are not those of the input")
        return number

    def _map(self, output: Iterable[Record]) -> int:
        at = dict.fromkeys(self._users, 0)
        number = 0
        for number, (key, value, time, _) in enumerate(output, 1):
            total = _total(value)
            user = self._user(key)
            index = _sold(user, at[key])
            if index is None or (total.user.encode(), total.total, time) != (
                key,
                user.revenue[index],
                user.time[index],
            ):
                raise WrongResult(f"record {number} is not the next total of its key")
            at[key] = index + 1
        missing = sum(_sold(user, at[key]) is not None for key, user in self._users.items())
        if missing:
            raise WrongResult(f"{missing} of {len(at)} users lack totals")
        return number

    def _updates_per_user(self, output: Iterable[Record]) -> int:
        # A user's orders lie in one partition, so even the order in which floats are added is known.
        sums = dict.fromkeys(self._users, (0, 0.0))
        number = 0
        for number, (key, running) in enumerate(_updates(output), 1):
            orders = self._user(key).revenue
            count, revenue = sums[key]
            if count == len(orders) or (running.count, running.revenue) != (count + 1, revenue + orders[count]):
                raise WrongResult(f"record {number} is not the next update of its key")
            sums[key] = running.count, running.revenue
        missing = sum(count != len(self._users[key].revenue) for key, (count, _) in sums.items())
        if missing:
            raise WrongResult(f"{missing} of {len(sums)} users lack updates")
        return number

    def _newest_per_user(self, output: Iterable[Record]) -> int:
        wanted = {key.decode(): (len(user.revenue), sum(user.revenue)) for key, user in self._users.items()}
        return _newest(output, wanted, all_updates=False)

    def _updates_per_item(self, output: Iterable[Record]) -> int:
        return _newest(output, self._items, all_updates=True)

    def _newest_per_item(self, output: Iterable[Record]) -> int:
        return _newest(output, self._items, all_updates=False)

    def _all_windows(self, output: Iterable[Record]) -> int:
        """Those that only the end of the input makes final come too; stamped with their last millisecond."""
        found, times = _windows(output)
        if any(time != start + WINDOW - 1 for (_, start), time in times.items()):
            raise WrongResult("a window has another time than its last")
        _close(found, self._windows_until(dict.fromkeys(self._newest, math.inf)))
        return len(found)

    def _closed_windows(self, output: Iterable[Record]) -> int:
        """Those that the event time of their partition has passed; engines stamp them with several times."""
        found, times = _windows(output)
        if any(not start <= time <= start + WINDOW for (_, start), time in times.items()):
            raise WrongResult("a window has a time that is not its own")
        _close(found, self._windows_until(dict(self._newest)))
        return len(found)

    def _windows_until(self, ends: dict[int, float]) -> dict[Any, tuple[int, float]]:
        wanted: dict[tuple[str, int], tuple[int, float]] = {}
        for key, user in self._users.items():
            name, end = key.decode(), ends[user.partition]
            for time, sold in zip(user.time, user.revenue, strict=True):
                start = time - time % WINDOW
                if start + WINDOW + GRACE <= end:
                    count, revenue = wanted.get((name, start), (0, 0.0))
                    wanted[name, start] = count + 1, revenue + sold
        return wanted


def _add(digest: Any, value: bytes, time: int) -> None:
    digest.update(b"%d:%d:%b" % (time, len(value), value))


def _sold(user: _User, index: int) -> int | None:
    """The first order at or after `index` that `map` lets through."""
    for number in range(index, len(user.price)):
        if user.price[number] > 20:
            return number
    return None


def _updates(output: Iterable[Record]) -> Iterator[tuple[bytes, Running]]:
    for key, value, _, _ in output:
        running = _running(value)
        if key != running.key.encode():
            raise WrongResult("an update has another key than its record")
        yield key, running


def _newest(output: Iterable[Record], wanted: dict[str, tuple[int, float]], *, all_updates: bool) -> int:
    """The counts of each key rise, one by one if all updates have to be there, and end where the input ends."""
    newest: dict[str, tuple[int, float]] = {}
    number = 0
    for number, (_, running) in enumerate(_updates(output), 1):
        count, _ = newest.get(running.key, (0, 0.0))
        if running.count <= count or (all_updates and running.count != count + 1):
            raise WrongResult(f"record {number}: the counts of its key do not rise as they should")
        newest[running.key] = running.count, running.revenue
    _close(newest, wanted)
    return number


def _windows(output: Iterable[Record]) -> tuple[dict[Any, tuple[int, float]], dict[Any, int]]:
    found: dict[tuple[str, int], tuple[int, float]] = {}
    times: dict[tuple[str, int], int] = {}
    for key, value, time, _ in output:
        minute = _minute(value)
        place = minute.key, minute.window_start
        if key.decode() != minute.key:
            raise WrongResult("a window has another key than its record")
        if place in found:
            raise WrongResult(f"window {place} came twice")
        found[place] = minute.count, minute.revenue
        times[place] = time
    return found, times


def _close(found: dict[Any, tuple[int, float]], wanted: dict[Any, tuple[int, float]]) -> None:
    """Counts exactly, revenues but for the order in which they were added."""
    wrong = sum(
        key not in found
        or key not in wanted
        or found[key][0] != wanted[key][0]
        or not math.isclose(found[key][1], wanted[key][1], rel_tol=1e-9, abs_tol=1e-6)
        for key in found.keys() | wanted.keys()
    )
    if wrong:
        raise WrongResult(f"{wrong} of {len(wanted)} results are wrong ({len(found)} came)")

"""The clean cache stays within its limit."""

from __future__ import annotations

import random

import pytest

from rayflow.state.cache import CleanCache, ValueCache, bytes_of
from rayflow.state.nested_cache import NestedCache
from rayflow.state.time_keys import FIRST, LAST
from rayflow.state.timed_cache import TimedCache
from rayflow.state.timed_rows import CleanRows, TimedRows

LIMIT, BYTES = 100_000, 30
"""Of the cache, and of a row's value when encoded."""
ROWS = LIMIT // bytes_of(1, BYTES)
"""How many rows the limit is good for."""
SPACES = 7


class Kept:
    """A cache of one kind, and every key that it was ever given. In a nested one a key's namespace is its remainder."""

    def __init__(self, shared: CleanCache, nested: bool) -> None:
        self._cache = NestedCache(shared, small=100) if nested else ValueCache(shared)
        self._keys: set[int] = set()

    def keep(self, keys: list[int]) -> None:
        self._keys.update(keys)
        rows = dict.fromkeys(keys, "value")
        if isinstance(self._cache, NestedCache):
            spaces: dict[int, dict[int, str]] = {}
            for key in keys:
                spaces.setdefault(key % SPACES, {})[key] = "value"
            self._cache.keep(spaces, len(keys) * BYTES)
        else:
            self._cache.keep(rows, len(keys) * BYTES)

    def take(self, key: int) -> str | None:
        if isinstance(self._cache, NestedCache):
            return self._cache.take(key % SPACES, key)  # type: ignore[no-any-return]
        return self._cache.take(key)  # type: ignore[no-any-return]

    def holds(self, keys: set[int]) -> int:
        """How many of `keys` are there."""
        if isinstance(self._cache, NestedCache):
            generations = (self._cache._young, self._cache._old)
            return sum(any(key in one.get(key % SPACES, ()) for one in generations) for key in keys)
        return len(keys) - len(self._cache.lacking(keys))

    def __len__(self) -> int:
        return self.holds(self._keys)


both_kinds = pytest.mark.parametrize("nested", [False, True])


@both_kinds
@pytest.mark.parametrize("count", [1, ROWS // 10, ROWS // 2, ROWS // 2 + 1, ROWS, 10 * ROWS])
def test_the_rows_of_epochs_take_no_more_than_the_limit_and_the_newest_are_there(count: int, nested: bool) -> None:
    kept = Kept(CleanCache(LIMIT), nested)
    for epoch in range(max(4, 4 * ROWS // count)):
        keys = [epoch * count + row for row in range(count)]
        kept.keep(keys)
        assert len(kept) <= ROWS
        assert kept.holds(set(keys)) >= min(count, ROWS // 2 - 1)


@both_kinds
def test_rows_that_are_taken_and_kept_again_are_counted_once(nested: bool) -> None:
    kept = Kept(CleanCache(LIMIT), nested)
    idle, busy = list(range(ROWS // 8)), list(range(ROWS, ROWS + ROWS // 4))
    kept.keep(idle)
    kept.keep(busy)
    for _ in range(50):
        for key in busy:
            assert kept.take(key) is not None
        kept.keep(busy)
    assert kept.holds(set(busy)) == len(busy)
    assert kept.holds(set(idle)) == len(idle)  # counted anew each time, the busy ones would have driven these out


def test_tables_stay_within_the_limit_together_whatever_their_epochs_change() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    shared = CleanCache(LIMIT)
    tables = [Kept(shared, nested) for nested in (False, True, False)]
    largest = 0
    for _ in range(300):
        count = draw.choice([1, 5, ROWS // 4, ROWS, 5 * ROWS])
        draw.choice(tables).keep(draw.sample(range(20 * ROWS), count))
        largest = max(largest, sum(map(len, tables)))
    assert ROWS // 2 <= largest <= ROWS


def test_a_row_that_was_written_over_does_not_come_back_when_newer_ones_are_dropped() -> None:
    cache = ValueCache(CleanCache(LIMIT))
    cache.keep({"key": "first"}, BYTES)
    cache.rotate()
    cache.keep({"key": "second"}, BYTES)
    cache.rotate()
    assert cache.find("key") in ("second", None)


def test_rows_of_a_key_that_outgrow_the_cache_leave_it_wherever_they_are() -> None:
    for rotations in (0, 1):
        cache = TimedCache(CleanCache(LIMIT))
        rows = CleanRows(TimedRows([], [], []), FIRST, LAST)
        cache.keep_one("key", rows)
        for _ in range(rotations):
            cache.rotate()
        for time in range(2 * ROWS):
            rows.add(time, 0, "value")
        cache.grew("key", rows, 2 * ROWS)
        assert cache.find("key") is None
        assert cache.is_empty


def test_a_whole_namespace_stays_whole_when_its_rows_grow_old_and_others_join_them() -> None:
    cache = NestedCache(CleanCache(LIMIT), small=100)
    cache.keep_whole("space", {1: "a", 2: "b"}, 2 * BYTES)
    assert cache.whole("space") == {1: "a", 2: "b"}
    cache.rotate()
    assert cache.whole("space") == {1: "a", 2: "b"}
    cache.rotate()
    cache.keep({"space": {2: "newer", 3: "c"}}, 2 * BYTES)
    assert cache.whole("space") == {1: "a", 2: "newer", 3: "c"}
    assert cache.whole("another") is None


def test_a_namespace_is_not_whole_any_more_when_its_old_rows_are_dropped_or_it_grows_large() -> None:
    cache = NestedCache(CleanCache(LIMIT), small=3)
    cache.keep_whole("space", {1: "a"}, BYTES)
    cache.rotate()
    cache.rotate()
    assert cache.whole("space") is None
    cache.keep_whole("space", dict.fromkeys(range(3), "a"), 3 * BYTES)
    assert cache.whole("space") == dict.fromkeys(range(3), "a")
    cache.keep({"space": {3: "b"}}, BYTES)
    assert cache.whole("space") is None

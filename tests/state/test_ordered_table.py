"""What an ordered table reads, keeps and leaves behind; its results are held against a model beside this."""

from __future__ import annotations

from typing import Any

import pytest

from rayflow.core.errors import InvariantBroken, StateKindChanged
from rayflow.serde.codec import Codec
from rayflow.serde.keys import encode_canonical
from rayflow.state import row_keys
from rayflow.state.base import Stamp
from rayflow.state.memory_store import MemoryStore
from rayflow.state.ordered_table import OrderedTable
from rayflow.state.task_state import TaskState
from rayflow.state.time_keys import FIRST, LAST
from rayflow.state.timed_below import WHOLE
from tests.state.stores import CountingStore, checkpoint


def fill(table: OrderedTable, rows: list[tuple[Any, int, Any]]) -> None:
    table.put([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])


def every(table: OrderedTable, key: Any) -> list[tuple[int, Any]]:
    found = table.range(key, FIRST, LAST)
    return list(zip(found.times, found.values, strict=True))


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def state(store: CountingStore) -> TaskState:
    return TaskState(store, Codec())


def test_rows_at_one_key_and_time_stay_in_order_of_arrival_over_epochs(state: TaskState) -> None:
    table = state.ordered("op", "rows")
    for epoch in range(1, 5):
        fill(table, [("a", 5, epoch * 10), ("a", 9, "late"), ("a", 5, epoch * 10 + 1)])
        checkpoint(state, epoch)
    found = table.range("a", 5, 5)
    assert found.values == [10, 11, 20, 21, 30, 31, 40, 41]
    assert found.sequences == list(range(8))
    assert table.range("a", 5, 5, newest_first=True, limit=3).values == [41, 40, 31]
    table.replace("a", 5, 1, "new")
    assert table.range("a", 5, 5, limit=3).values == [10, "new", 20]


def test_the_newest_row_is_one_that_is_there(state: TaskState) -> None:
    table = state.ordered("op", "rows")
    assert table.newest() is None
    fill(table, [("a", 5, "first"), ("b", 9, "last"), ("b", 7, "other")])
    assert table.newest() == 9
    checkpoint(state, 1)
    table.delete("b", 9, 0)
    assert table.newest() == 7
    table.replace("b", 7, 0, "new")
    assert table.newest() == 7
    table.drop(8)
    assert table.newest() is None
    fill(table, [("a", 8, "again")])
    assert table.newest() == 8


def test_keys_that_are_equal_share_their_rows(state: TaskState, store: CountingStore) -> None:
    table = state.ordered("op", "rows")
    fill(table, [(1, 1, "int"), (1.0, 2, "float")])
    checkpoint(state, 1)
    table = TaskState(store, Codec()).ordered("op", "rows")
    assert every(table, True) == [(1, "int"), (2, "float")]


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_a_deleted_row_does_not_come_back_from_below(state: TaskState, store: CountingStore, cache_bytes: int) -> None:
    fill(state.ordered("op", "rows"), [("a", time, time) for time in range(40)])
    checkpoint(state, 1)
    state = TaskState(store, Codec(), cache_bytes=cache_bytes)
    table = state.ordered("op", "rows")
    assert len(every(table, "a")) == 40
    table.delete("a", 3, 0)
    table.replace("a", 4, 0, "new")
    table.drop(3)
    for _ in range(2):
        assert every(table, "a") == [(3 + at, value) for at, value in enumerate(["new", *range(5, 40)], 1)]
        assert table.range("a", 0, 39, limit=2).values == ["new", 5]
        assert table.range("a", 0, 4, limit=2, newest_first=True).values == ["new"]
        state.seal()
        state.complete(Stamp("lineage", 2))
    assert state.row_count() == 2 * 36


def test_what_a_batch_prefetches_is_read_with_two_reads(state: TaskState, store: CountingStore) -> None:
    table = state.ordered("op", "rows")
    many = [("many", time, time) for time in range(10 * WHOLE)]
    fill(table, [*many, *[(key, time, key) for key in range(100) for time in range(3)]])
    checkpoint(state, 1)
    table = TaskState(store, Codec(), cache_bytes=0).ordered("op", "rows")
    table.range("many", 0, 0)
    store.reads = store.rows_read = 0
    keys = [*range(150), "many"]
    table.prefetch(keys, [1] * 151, [9] * 151)
    assert store.reads == 2
    assert store.rows_read <= 300 + WHOLE + 1 + 9
    for key in range(150):
        assert table.range(key, 1, 9).values == ([key] * 2 if key < 100 else [])
        assert len(every(table, key)) == (3 if key < 100 else 0)
    assert table.range("many", 1, 9).values == list(range(1, 10))
    assert store.reads == 2


def test_a_key_is_read_again_only_for_times_that_nobody_asked_for(state: TaskState, store: CountingStore) -> None:
    table = state.ordered("op", "rows")
    fill(table, [("a", time, time) for time in range(1_000)])
    checkpoint(state, 1)
    table.drop(1)
    table.range("a", 100, 200)
    store.rows_read = 0
    assert table.range("a", 150, 260).values == list(range(150, 261))
    assert store.rows_read == 60
    assert table.range("a", 100, 260).values == list(range(100, 261))
    assert store.rows_read == 60
    table.range("a", 900, 999)  # the last rows: what comes behind them is known too
    fill(table, [("a", time, time) for time in range(1_000, 1_010)])
    checkpoint(state, 2)
    store.reads = 0
    assert table.range("a", 900, 5_000).values == list(range(900, 1_010))
    assert store.reads == 0


def test_times_far_apart_are_read_without_those_between(state: TaskState, store: CountingStore) -> None:
    table = state.ordered("op", "rows")
    fill(table, [("a", time, time) for time in range(1_000)])
    checkpoint(state, 1)
    for first in (500, 900, 100, 950):
        store.rows_read = 0
        assert table.range("a", first, first + 9).values == list(range(first, first + 10))
        assert store.rows_read <= 10 + WHOLE + 1


def test_a_new_key_costs_one_look_at_the_store(state: TaskState, store: CountingStore) -> None:
    table = state.ordered("op", "rows")
    fill(table, [("other", 5, 1)])
    checkpoint(state, 1)
    store.reads = 0
    for time in range(100):
        fill(table, [("a", 1_000 - time, time)])
        table.range("a", 0, 2_000)
    checkpoint(state, 2)
    for time in range(100):
        table.range("a", time, 2_000)
    assert store.reads <= 2  # and one for the last time of all


class Visits(list[int]):
    """Counts the rows that are looked at."""

    count = 0

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        Visits.count += len(found) if isinstance(at, slice) else 1
        return found


def test_a_range_in_the_open_epoch_looks_at_its_own_rows_only(state: TaskState, store: CountingStore) -> None:
    """Among 50,000 rows, of one key or of many."""
    table = state.ordered("op", "rows")
    fill(table, [("hot" if time % 2 else f"key {time % 1_000}", time, time) for time in range(50_000)])
    opened = table._opened
    for key in ("hot", "key 500"):
        table.range(key, 0, 1)
        opened[key].times = Visits(opened[key].times)
    store.reads = Visits.count = 0
    assert len(table.range("hot", 20_001, 20_199)) == 100
    assert len(table.range("key 500", 20_000, 24_999)) == 5
    print("rows looked at:", Visits.count)
    assert Visits.count < 105 + 4 * 2 * 17  # those found, and the steps of a search among 50,000
    assert store.reads == 0


def test_dropping_by_time_costs_what_is_dropped(state: TaskState, store: CountingStore) -> None:
    table = state.ordered("op", "rows")
    fill(table, [(key, time, key) for time in range(100) for key in range(50)])
    checkpoint(state, 1)
    table.drop(0)
    store.reads = store.rows_read = 0
    table.drop(0)
    assert store.reads == 0
    table.drop(2)
    assert store.rows_read <= 2 * 50 + 1
    assert state.pending_rows == 100
    assert every(table, 7)[0] == (2, 7)
    store.rows_read = 0
    assert table.take(3) == [(2, key, key) for key in range(50)]
    assert store.rows_read <= 2 * 50 + 1
    checkpoint(state, 2)
    assert state.row_count() == 2 * 97 * 50
    table.drop(LAST)
    checkpoint(state, 3)
    assert state.row_count() == 0


def test_rows_of_the_open_epoch_are_dropped_too_and_leave_no_tombstone(state: TaskState) -> None:
    table = state.ordered("op", "rows")
    fill(table, [("a", 5, 1), ("b", 3, 2), ("a", 2, 3), ("a", 8, 4), ("c", 1, 5)])
    table.delete("c", 1, 0)
    assert table.take(6) == [(2, "a", 3), (3, "b", 2), (5, "a", 1)]
    assert state.pending_rows == 1
    fill(table, [("a", 1, 6)])
    table.drop(3)
    assert every(table, "a") == [(8, 4)]
    table.drop(9)
    table.delete("a", 8, 0)
    assert len(state.seal()) == 0


def test_what_is_taken_is_what_could_be_seen(state: TaskState) -> None:
    table = state.ordered("op", "rows")
    fill(table, [("a", time, time) for time in range(5)])
    checkpoint(state, 1)
    table.delete("a", 1, 0)
    table.replace("a", 2, 0, "new")
    fill(table, [("a", 2, "second")])
    assert table.take(4) == [(0, "a", 0), (2, "a", "new"), (2, "a", "second"), (3, "a", 3)]
    assert table.take(4) == []
    checkpoint(state, 2)
    assert state.row_count() == 2


def test_a_row_put_behind_the_drop_is_there_until_the_next(state: TaskState) -> None:
    table = state.ordered("op", "rows")
    fill(table, [("a", 1, "old")])
    checkpoint(state, 1)
    table.drop(5)
    fill(table, [("a", 1, "late"), ("a", 2, "late")])
    assert every(table, "a") == [(1, "late"), (2, "late")]
    checkpoint(state, 2)
    assert every(table, "a") == [(1, "late"), (2, "late")]
    assert state.row_count() == 4
    table.drop(2)
    assert every(table, "a") == [(2, "late")]


def test_long_keys_keep_their_order_by_time(state: TaskState, store: CountingStore) -> None:
    keys = ["k" * length for length in (480, 484, 485, 486, 500, 600, 5_000)]
    fill(state.ordered("op", "rows"), [(key, time, [key, time]) for key in keys for time in (3, 1, 2)])
    checkpoint(state, 1)
    state = TaskState(store, Codec())
    table = state.ordered("op", "rows")
    assert max(map(len, store._rows)) <= row_keys.LIMIT
    for key in keys:
        assert every(table, key) == [(time, [key, time]) for time in (1, 2, 3)]
        assert table.range(key, 2, 3, limit=1).values == [[key, 2]]
    taken = table.take(3)
    assert [row[0] for row in taken] == [1] * len(keys) + [2] * len(keys)
    assert {row[1] for row in taken} == set(keys)
    table.drop(4)
    checkpoint(state, 2)
    assert state.row_count() == 0


def test_two_long_keys_with_one_hash_are_found_out(state: TaskState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_keys, "digest", lambda encoded: b"d" * 32)
    table = state.ordered("op", "rows")
    fill(table, [("x" * 600, 1, 1), ("y" * 600, 2, 2)])
    with pytest.raises(InvariantBroken, match="shorter keys"):
        state.seal()
    table.delete("y" * 600, 2, 0)
    checkpoint(state, 1)
    with pytest.raises(InvariantBroken, match="same hash"):
        every(table, "z" * 600)
    fill(table, [("z" * 600, 5, 1)])
    with pytest.raises(InvariantBroken, match="same hash"):
        state.seal()


def test_a_time_that_is_out_of_bounds_is_refused(state: TaskState) -> None:
    table = state.ordered("op", "rows")
    for time in (FIRST - 1, LAST + 1):
        with pytest.raises(InvariantBroken):
            fill(table, [("a", 1, 1), ("a", time, 1)])
    assert state.pending_rows == 0
    assert table.range("a", 5, 4).values == []


def test_a_table_is_ordered_or_another_kind(state: TaskState) -> None:
    assert state.ordered("op", "rows") is state.ordered("op", "rows")
    with pytest.raises(StateKindChanged):
        state.nested("op", "rows")
    state.values("op", "values")
    with pytest.raises(StateKindChanged):
        state.ordered("op", "values")


def test_rows_are_found_by_readers_of_the_bytes(state: TaskState, store: MemoryStore) -> None:
    """The layout does not change: checkpoints hold it."""
    fill(state.ordered("op", "rows"), [("a", 1, 7), ("a", 1, 8), (2, -1, 9)])
    checkpoint(state, 1)
    table = row_keys.table_prefix("op", "rows")
    one, minus = bytes.fromhex("8000000000000001"), bytes.fromhex("7fffffffffffffff")
    first, second = bytes(4), bytes.fromhex("00000001")
    a, two, codec = encode_canonical("a"), encode_canonical(2), Codec()
    assert dict(store.scan(b"", None)) == {
        table + b"\x00" + minus + two + first: b"",
        table + b"\x00" + one + a + first: b"",
        table + b"\x00" + one + a + second: b"",
        table + a + one + first: codec.encode(7),
        table + a + one + second: codec.encode(8),
        table + two + minus + first: codec.encode(9),
    }

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayflow.core.errors import DiskFull, InvariantBroken, StateKindChanged, ValueNotCarried
from rayflow.serde.codec import Codec
from rayflow.serde.keys import encode_key
from rayflow.state import key_order, row_keys, task_state
from rayflow.state.base import Delta, Stamp, Store
from rayflow.state.key_order import is_natural
from rayflow.state.lmdb_store import LmdbStore
from rayflow.state.memory_store import MemoryStore
from rayflow.state.task_state import TaskState
from tests.state.stores import CountingStore, checkpoint


class FullStore(MemoryStore):
    full = True

    def apply(self, delta: Delta, stamp: Stamp) -> None:
        if self.full:
            raise DiskFull("no space")
        super().apply(delta, stamp)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def state(store: Store) -> TaskState:
    return TaskState(store, Codec())


def test_a_table_asked_for_twice_is_one_table(state: TaskState) -> None:
    assert state.values("op", "v") is state.values("op", "v")
    assert state.nested("op", "n") is state.nested("op", "n")
    assert state.timers("op", "t") is state.timers("op", "t")


def test_a_state_cannot_be_two_kinds(state: TaskState) -> None:
    state.values("op", "v")
    state.nested("op", "n")
    with pytest.raises(StateKindChanged):
        state.nested("op", "v")
    with pytest.raises(StateKindChanged):
        state.timers("op", "v")
    with pytest.raises(StateKindChanged):
        state.values("op", "n")


def test_two_states_with_one_hash_are_refused_and_renaming_is_advised(
    state: TaskState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_state, "table_prefix", lambda operator, name: b"same")
    state.values("op", "v")
    with pytest.raises(InvariantBroken, match="another name"):
        state.values("op", "w")


def test_sealing_twice_without_a_checkpoint_between_is_refused(state: TaskState) -> None:
    state.seal()
    with pytest.raises(InvariantBroken):
        state.seal()
    state.complete(Stamp("lineage", 1))
    with pytest.raises(InvariantBroken):
        state.complete(Stamp("lineage", 2))


def test_a_disk_that_is_full_leaves_the_delta_sealed() -> None:
    store = FullStore()
    state = TaskState(store, Codec())
    table = state.values("op", "v")
    table.put("a", 1)
    state.seal()
    with pytest.raises(DiskFull):
        state.complete(Stamp("lineage", 1))
    assert table.get("a") == 1
    store.full = False
    state.complete(Stamp("lineage", 1))
    assert state.row_count() == 1


def test_a_value_that_is_not_carried_names_operator_and_state_and_never_the_value(state: TaskState) -> None:
    table = state.values("totals", "sum")
    table.put("a", 1)
    table.put("secret-key", [object(), "secret-value"])
    with pytest.raises(ValueNotCarried) as caught:
        state.seal()
    assert caught.value.operator == "totals"
    assert "sum" in str(caught.value)
    assert "object" in str(caught.value)
    assert "secret" not in str(caught.value)
    table.put("secret-key", 2)
    assert len(state.seal()) == 2


def test_a_key_that_changes_a_thousand_times_is_written_once(state: TaskState) -> None:
    table = state.values("op", "v")
    for number in range(1_000):
        row = table.rows.get("a") or table.load("a")
        if row is None:
            row = table.rows["a"] = []
        row.append(number)
    assert len(checkpoint(state, 1)) == 1
    assert table.get("a") == list(range(1_000))


def test_rows_changed_after_a_seal_do_not_reach_the_sealed_delta(state: TaskState, store: Store) -> None:
    table = state.values("op", "v")
    table.put("a", [1])
    delta = state.seal()
    table.load("a").append(2)
    state.complete(Stamp("lineage", 1))
    assert [Codec().decode(value) for value in delta.values if value is not None] == [[1]]
    assert TaskState(store, Codec()).values("op", "v").get("a") == [1]
    assert table.get("a") == [1, 2]


def test_a_row_that_never_was_leaves_no_tombstone(state: TaskState) -> None:
    values, nested, timers = state.values("op", "v"), state.nested("op", "n"), state.timers("op", "t")
    values.put("a", 1)
    values.delete("a")
    values.delete("never")
    nested.put(1, "a", 1)
    nested.delete(1, "a")
    nested.put(2, "b", 1)
    nested.drop(2)
    timers.add(5, "a")
    timers.remove(5, "a")
    timers.add(6, "a")
    assert timers.due(6) == [(6, "a", "")]
    assert len(state.seal()) == 0


def test_a_row_deleted_while_its_epoch_is_sealed_is_deleted_by_the_next(state: TaskState) -> None:
    values, nested = state.values("op", "v"), state.nested("op", "n")
    values.put("a", 1)
    nested.put(1, "a", 1)
    state.seal()
    values.delete("a")
    nested.drop(1)
    assert values.get("a") is None
    assert list(nested.scan(1)) == []
    state.complete(Stamp("lineage", 1))
    assert values.load("a") is None
    assert nested.namespaces() == []
    assert checkpoint(state, 2).values == [None, None]
    assert state.row_count() == 0


def test_a_write_after_a_delete_wins(state: TaskState) -> None:
    table = state.values("op", "v")
    table.put("a", 1)
    checkpoint(state, 1)
    table.delete("a")
    assert "a" in table.deleted
    assert table.load("a") is None
    table.rows["a"] = 2
    assert table.get("a") == 2
    assert list(table.scan()) == [("a", 2)]
    checkpoint(state, 2)
    assert table.get("a") == 2


def test_a_dropped_namespace_can_be_filled_again(state: TaskState) -> None:
    table = state.nested("op", "n")
    for key in "abc":
        table.put(1, key, 1)
    checkpoint(state, 1)
    table.drop(1)
    assert table.load(1, "a") is None
    table.rows(1)["b"] = 2
    assert list(table.scan(1)) == [("b", 2)]
    assert table.namespaces(1) == [1]
    assert [value is None for value in checkpoint(state, 2).values] == [True, False, True]
    assert list(table.scan(1)) == [("b", 2)]


def test_hot_rows_are_read_from_the_store_once(state: TaskState, store: CountingStore) -> None:
    table = state.values("op", "v")
    for key in range(100):
        table.put(key, [key])
    checkpoint(state, 1)
    store.reads = 0
    for epoch in range(2, 6):
        for key in range(100):
            table.load(key).append(epoch)
        checkpoint(state, epoch)
    assert store.reads == 0
    again = TaskState(store, Codec()).values("op", "v")
    for key in range(20):
        again.load(key)
    again.prefetch(range(200))
    store.reads = 0
    assert {key: again.load(key) for key in range(20, 200)} == {
        key: [key, 2, 3, 4, 5] if key < 100 else None for key in range(20, 200)
    }
    assert store.reads == 0


def test_what_was_prefetched_gives_way_to_what_came_after(store: CountingStore) -> None:
    state = TaskState(store, Codec())
    table = state.values("op", "v")
    for key in range(6):
        table.put(key, [key])
    checkpoint(state, 1)
    again = TaskState(store, Codec())
    table = again.values("op", "v")
    table.prefetch(range(8), share=0)
    table.delete(0)
    table.delete(1)
    table.put(1, ["new"])
    table.put(6, ["new"])
    store.reads = 0
    assert table.get(2) == [2]
    assert store.reads == 0
    assert table.get(7, "none") == "none"
    table.load(3).append("changed")
    expected = {0: None, 1: ["new"], 2: [2], 3: [3, "changed"], 4: [4], 5: [5], 6: ["new"], 7: None}
    assert {key: table.get(key) for key in range(8)} == expected
    assert [table.load(0), table.load(7)] == [None, None]
    checkpoint(again, 2)
    assert {key: table.get(key) for key in range(8)} == expected
    assert TaskState(store, Codec()).values("op", "v").get(3) == [3, "changed"]


def test_keys_are_not_prefetched_while_they_are_nearly_all_there(store: CountingStore) -> None:
    table = TaskState(store, Codec()).values("op", "v")
    for key in range(9):
        table.load(key)
    store.reads = 0
    table.prefetch(range(100))
    assert store.reads == 0


def test_what_is_no_key_is_left_to_who_uses_it(store: CountingStore) -> None:
    table = TaskState(store, Codec()).values("op", "v")
    table.prefetch([[1], 2], share=0)
    table.prefetch([float("nan")], share=0)
    assert table.load(2) is None


def test_a_row_that_the_clean_cache_has_no_room_for_is_not_read_as_it_was_before(store: CountingStore) -> None:
    state = TaskState(store, Codec(), cache_bytes=10_000)
    table = state.values("op", "v")
    table.put(99, ["old"])
    checkpoint(state, 1)
    for key in range(100):
        table.put(key, ["new"])
    checkpoint(state, 2)
    assert table.get(99) == ["new"]
    assert table.load(0) == ["new"]


def test_the_clean_cache_forgets_what_was_not_used_and_keeps_what_was(store: CountingStore) -> None:
    state = TaskState(store, Codec(), cache_bytes=100_000)
    table = state.values("op", "v")
    for key in range(5_000):
        table.put(key, [key])
    checkpoint(state, 1)
    for key in range(5_000):
        assert table.get(key) == [key]
        assert table.get(0) == [0]
    store.reads = 0
    assert table.get(0) == [0]
    assert store.reads == 0
    for key in range(5_000):
        table.get(key)
    assert store.reads > 4_000


def test_asking_for_due_namespaces_does_not_touch_the_store_while_none_can_be(
    state: TaskState, store: CountingStore
) -> None:
    table, timers = state.nested("op", "n"), state.timers("op", "t")
    table.put(1_000, "a", 1)
    timers.add(1_000, "a")
    checkpoint(state, 1)
    table.put(2_000, "a", 1)
    timers.add(2_000, "a")
    assert table.namespaces(0) == []
    assert timers.due(0) == []
    store.reads = 0
    for watermark in range(1, 1_000):
        assert table.namespaces(watermark) == []
        assert timers.due(watermark) == []
    assert store.reads == 0
    assert table.namespaces(3_000) == [1_000, 2_000]
    assert timers.due(3_000) == [(1_000, "a", ""), (2_000, "a", "")]


def test_a_new_window_costs_one_look_at_the_store(state: TaskState, store: CountingStore) -> None:
    table = state.nested("op", "n")
    table.put(1, "a", 1)
    checkpoint(state, 1)
    table.load(2, "first")
    store.reads = 0
    for number in range(1_000):
        assert table.load(2, number) is None
        table.rows(2)[number] = 1
    assert store.reads == 0


def test_namespaces_with_many_rows_are_skipped_not_read(tmp_path: Path) -> None:
    state = TaskState(LmdbStore(tmp_path), Codec())
    table = state.nested("op", "n")
    for end in (10, 20, 30):
        for key in range(500):
            table.put(end, key, key)
    checkpoint(state, 1)
    state.close()
    state = TaskState(LmdbStore(tmp_path), Codec())
    table = state.nested("op", "n")
    assert table.namespaces(25) == [10, 20]
    table.drop(10)
    assert table.namespaces(25) == [20]
    for key in range(500):
        table.delete(20, key)
    assert table.namespaces() == [30]
    assert table.namespaces(25) == []
    checkpoint(state, 2)
    assert state.row_count() == 500
    state.close()


@pytest.mark.parametrize("many", [1, 40])
def test_the_rows_of_a_small_namespace_are_read_once_however_often_it_is_gone_through(
    state: TaskState, store: CountingStore, many: int
) -> None:
    table = state.nested("op", "n")
    for owner in ("a", "b"):
        for key in range(many):
            table.put(owner, key, [key])
    expected = [(key, [key]) for key in range(many)]
    for epoch in range(1, 5):
        assert table.range("a") == expected
        checkpoint(state, epoch)
    assert store.reads <= 2  # whether "a" has rows below, whether any row is long
    again = TaskState(store, Codec())
    table = again.nested("op", "n")
    assert table.range("b") == expected
    store.reads = 0
    for epoch in range(5, 10):
        assert table.range("b") == table.range("b", 0, many) == expected
        assert table.range("b", many) == []
        assert table.get("b", "nowhere") is table.load("b", "nowhere") is None
        table.rows("b")[epoch * 100] = [1]
        assert table.range("b")[-1] == (epoch * 100, [1])
        table.delete("b", epoch * 100)
        checkpoint(again, epoch)
    store.reads = 0
    assert table.range("b") == expected
    assert store.reads == 0


def test_a_range_of_a_namespace_looks_at_its_own_rows_only(
    state: TaskState, store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among 50,000 rows of an open epoch, in one namespace or in many."""
    table = state.nested("op", "n")
    for number in range(50_000):
        table.put("hot" if number % 2 else number % 1_000, number, [number])
    encoded = []
    monkeypatch.setattr(key_order, "is_natural", counting(key_order.is_natural, encoded))
    assert len(table.range("hot")) == 25_000
    table.range(500)
    encoded.clear()
    store.reads = 0
    for number in range(50_001, 50_201, 2):
        table.put("hot", number, [number])
        assert [key for key, _ in table.range("hot", number - 200, number)] == list(range(number - 200, number + 1, 2))
    table.delete("hot", 50_001)
    assert [key for key, _ in table.range("hot", 50_000, 50_003)] == [50_003]
    print("keys looked at:", sum(encoded))
    assert sum(encoded) < 101 * 6  # the new key, and the kinds of the bounds
    assert store.reads == 0


def counting(looked: Any, sizes: list[int]) -> Any:
    """`looked`, which notes how many keys it is given."""

    def noting(keys: Any, *bounds: Any) -> Any:
        sizes.append(len(keys))
        return looked(keys, *bounds)

    return noting


def test_pending_counts_changes_and_estimates_their_bytes(state: TaskState) -> None:
    values, nested, timers = state.values("op", "v"), state.nested("op", "n"), state.timers("op", "t")
    values.rows["a"] = 1
    values.delete("b")
    nested.rows(1)["a"] = 1
    nested.put(1, "b", 1)
    timers.add(1, "a")
    assert state.pending_rows == 5
    assert state.pending_bytes == 5 * (250 + 3 * 100)
    nested.drop(1)
    assert state.pending_rows == 3
    checkpoint(state, 1)
    assert state.pending_rows == 0
    values.put("a", "x" * 1_000)
    checkpoint(state, 2)
    values.put("a", 1)
    assert 250 + 3 * 100 < state.pending_bytes < 250 + 3 * 1_000


def test_timers_come_in_order_of_time_key_and_tag(state: TaskState) -> None:
    timers = state.timers("op", "t")
    timers.add(5, "b")
    timers.add(5, "a", "late")
    timers.add(5, "a")
    timers.add(-3, ("k", 1))
    checkpoint(state, 1)
    timers.add(4, "z")
    timers.add(5, 7)
    timers.add(5, "a")
    timers.add(9, "z")
    assert timers.last_time == 9
    assert timers.due(5) == [
        (-3, ("k", 1), ""),
        (4, "z", ""),
        (5, "a", ""),
        (5, "a", "late"),
        (5, "b", ""),
        (5, 7, ""),
    ]
    assert timers.due(5) == []
    assert timers.last_time == 9
    checkpoint(state, 2)
    assert state.row_count() == 1


@pytest.mark.parametrize("make", [lambda path: MemoryStore(), LmdbStore], ids=["memory", "lmdb"])
def test_keys_of_any_length_are_kept(make: Any, tmp_path: Path) -> None:
    store = make(tmp_path)
    state = TaskState(store, Codec())
    values, nested = state.values("op", "v"), state.nested("op", "n")
    keys = ["k" * length for length in (500, 504, 505, 506, 507, 511, 512, 5_000)]
    for key in keys:
        values.put(key, [key])
        nested.put("short", key, 1)
        nested.put(key, "short", 2)
    checkpoint(state, 1)
    state = TaskState(store, Codec())
    values, nested = state.values("op", "v"), state.nested("op", "n")
    assert sorted(values.scan()) == [(key, [key]) for key in keys]
    assert sorted(nested.scan("short")) == [(key, 1) for key in keys]
    assert list(nested.scan(keys[-1])) == [("short", 2)]
    assert sorted(nested.scan("short", keys[3], keys[6])) == [(key, 1) for key in keys[3:6]]
    assert list(nested.scan("short", keys[-1])) == [(keys[-1], 1)]
    assert nested.namespaces() == [*keys, "short"]
    for key in keys:
        assert values.load(key) == [key]
        assert nested.get(key, "short") == 2
        values.delete(key)
        nested.drop(key)
    nested.drop("short")
    checkpoint(state, 2)
    assert state.row_count() == 0
    state.close()


def test_two_long_keys_with_one_hash_are_found_out(state: TaskState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_keys, "digest", lambda encoded: b"d" * 32)
    table = state.values("op", "v")
    table.put("x" * 600, 1)
    table.put("y" * 600, 2)
    with pytest.raises(InvariantBroken, match="shorter keys"):
        state.seal()
    table.rows.pop("y" * 600)
    checkpoint(state, 1)
    assert table.get("x" * 600) == 1
    with pytest.raises(InvariantBroken, match="same hash"):
        table.get("z" * 600)
    table.put("z" * 600, 2)
    with pytest.raises(InvariantBroken, match="same hash"):
        state.seal()


parts = st.one_of(st.integers(), st.text(max_size=4), st.binary(max_size=4), st.booleans(), st.floats(allow_nan=False))
keys = st.one_of(
    st.lists(st.integers()),
    st.lists(st.text(alphabet="\x00\x01\x02a\u07ff\u0800\uffff\U00010000")),
    st.lists(st.tuples(st.integers(), st.text(alphabet="\x00\x01a"))),
    st.lists(st.one_of(parts, st.tuples(parts), st.tuples(parts, parts))),
)


@settings(max_examples=60, deadline=None)
@given(keys=keys)
def test_natural_order_is_the_order_of_the_encodings(keys: list[Any]) -> None:
    if is_natural(keys):
        assert sorted(keys) == sorted(keys, key=encode_key)


@settings(max_examples=60, deadline=None)
@given(key=st.one_of(parts, st.tuples(parts, parts)), bound=st.one_of(parts, st.tuples(parts), st.tuples(parts, parts)))
def test_natural_comparison_with_a_bound_is_that_of_the_encodings(key: Any, bound: Any) -> None:
    if is_natural([key], bound):
        assert (key < bound) == (encode_key(key) < encode_key(bound))


EQUAL: list[tuple[Any, ...]] = [(1, 1.0, True), (0.0, False, 0), ((2.0, "a"), (2, "a")), (2.0**60, 2**60)]


@pytest.mark.parametrize("keys", EQUAL)
@pytest.mark.parametrize("restarted", [False, True])
def test_keys_that_python_holds_for_equal_share_one_row_whatever_restarts(
    keys: tuple[Any, ...], restarted: bool
) -> None:
    store = MemoryStore()
    state = TaskState(store, Codec())
    for epoch, key in enumerate(keys * 2):
        if restarted:
            state = TaskState(store, Codec())
        values, nested, timers = (
            state.values("op", "values"),
            state.nested("op", "nested"),
            state.timers("op", "timers"),
        )
        assert (values.get(key), nested.get(key, key)) == ((epoch, epoch) if epoch else (None, None))
        assert values.load(key) == nested.load(key, key) == (epoch or None)
        values.put(key, epoch + 1)
        nested.put(key, key, epoch + 1)
        timers.add(7, key)
        state.seal()
        state.complete(Stamp("lineage", epoch))
        assert state.row_count() == 3
    assert list(values.scan()) == list(nested.scan(keys[-1])) == [(keys[-1], len(keys) * 2)]
    assert nested.namespaces() == [keys[0]]
    assert timers.due(7) == [(7, keys[0], "")]
    values.delete(keys[0])
    nested.delete(keys[1], keys[0])
    state.seal()
    state.complete(Stamp("lineage", 99))
    assert state.row_count() == 0

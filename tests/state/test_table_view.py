"""What the two views of a value table show, and what they cost; their results are held against a model beside this."""

from __future__ import annotations

import pytest

from rayflow.core.errors import KeyNotUsable, StateKindChanged
from rayflow.serde.codec import Codec
from rayflow.state.base import Stamp
from rayflow.state.task_state import TaskState
from rayflow.state.value_table import ValueTable
from tests.state.stores import CountingStore, checkpoint


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def state(store: CountingStore) -> TaskState:
    return TaskState(store, Codec())


def test_what_the_open_epoch_changes_is_seen_by_its_task_and_by_others_once_it_is_complete(state: TaskState) -> None:
    table, completed = state.values("op", "v"), state.completed("op", "v")
    table.put("a", 1)
    assert (table.get("a"), completed.get("a"), list(completed.scan())) == (1, None, [])
    state.seal()
    table.put("a", 2)
    assert (table.get("a"), completed.get("a", "none")) == (2, "none")
    applying = state.completing(Stamp("lineage", 1))
    next(applying)  # the checkpoint is complete, the store is behind
    assert (table.get("a"), completed.get("a"), list(completed.scan())) == (2, 1, [("a", 1)])
    assert list(applying) == []
    assert (table.get("a"), completed.get("a"), list(completed.scan())) == (2, 1, [("a", 1)])


def test_a_batch_is_looked_up_in_one_read(state: TaskState, store: CountingStore) -> None:
    table = state.values("op", "v")
    for key in range(100):
        table.put(key, [key])
    checkpoint(state, 1)
    again = TaskState(store, Codec(), cache_bytes=0)
    table = again.values("op", "v")
    table.put(3, ["new"])
    table.delete(4)
    expected = [["new"] if key == 3 else [key] if key < 100 and key != 4 else None for key in range(200)]
    store.reads = 0
    assert table.get_many(list(range(200))) == expected
    assert store.reads == 1
    assert again.completed("op", "v").get_many([3, 4, 100, 3.0]) == [[3], [4], None, [3]]
    assert store.reads == 2


def test_a_scan_reads_no_more_than_it_gives(state: TaskState, store: CountingStore) -> None:
    table = state.values("op", "v")
    for key in range(1_000):
        table.put(key, key)
    checkpoint(state, 1)
    table.get("whether there are long rows")
    list(table.scan(limit=1))
    for view in (table, state.completed("op", "v")):
        store.rows_read = 0
        assert list(view.scan(500, limit=3)) == [(500, 500), (501, 501), (502, 502)]
        assert list(view.scan(500, 502)) == [(500, 500), (501, 501), (502, 502)]
        assert list(view.scan(998)) == [(998, 998), (999, 999)]
        assert store.rows_read <= 3 * 4


def test_long_keys_are_in_their_place(state: TaskState) -> None:
    table: ValueTable = state.values("op", "v")
    keys = ["a", "b" * 600, "b" * 601, "c", "d" * 600, "e"]
    for key in reversed(keys):
        table.put(key, [key])
    for _ in range(2):
        assert [key for key, _ in table.scan()] == keys
        assert [key for key, _ in table.scan("b" * 600, "d", 2)] == ["b" * 600, "b" * 601]
        checkpoint(state, 1)
    view = state.completed("op", "v")
    assert [key for key, _ in view.scan()] == keys
    assert [key for key, _ in view.scan("b" * 601)] == keys[2:]
    assert view.get_many(keys) == [[key] for key in keys]


def test_what_is_no_key_and_no_value_table_is_refused(state: TaskState) -> None:
    for view in (state.values("op", "v"), state.completed("op", "v")):
        with pytest.raises(KeyNotUsable):
            view.get(float("nan"))
        with pytest.raises(KeyNotUsable):
            list(view.scan(float("nan")))
    state.ordered("op", "o")
    with pytest.raises(StateKindChanged):
        state.completed("op", "o")

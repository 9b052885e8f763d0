"""Scans of the open epoch: what is deleted while they run, and what is deleted before it is sealed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rayflow.serde.codec import Codec
from rayflow.state.base import Stamp
from rayflow.state.lmdb_store import LmdbStore
from rayflow.state.nested_table import NestedTable
from rayflow.state.task_state import TaskState
from rayflow.state.value_table import ValueTable

Table = ValueTable | NestedTable
KEYS = ("a", "b", "c")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[TaskState]:
    made = TaskState(LmdbStore(tmp_path / "state"), Codec())
    yield made
    made.close()


@pytest.fixture(params=["values", "nested", "nested, in the store too", "nested, dropped"])
def space(request: pytest.FixtureRequest, state: TaskState) -> Space:
    if request.param == "values":
        return Space(state, state.values("op", "values"), ())
    table = state.nested("op", "nested")
    if request.param == "nested":
        return Space(state, table, (7,))
    space = Space(state, table, (7,))
    table.put(7, "z", "of an earlier epoch")
    space.checkpoint()
    if request.param == "nested, dropped":
        table.drop(7)  # from here on nothing below is looked at
    else:
        table.delete(7, "z")
    return space


class Space:
    """A table, or one namespace of a nested one."""

    def __init__(self, state: TaskState, table: Table, namespace: tuple[int, ...]) -> None:
        def bound(name: str) -> Callable[..., Any]:
            method = getattr(table, name)
            return lambda *args: method(*namespace, *args)

        self.put, self.delete, self.scan, self.get = map(bound, ("put", "delete", "scan", "get"))
        self.load = bound("load")
        self._state = state
        self._epoch = 0

    def checkpoint(self) -> None:
        self._epoch += 1
        self._state.seal()
        self._state.complete(Stamp("lineage", self._epoch))


def test_a_pending_row_that_is_deleted_while_a_scan_runs_is_left_out(space: Space) -> None:
    for key in KEYS:
        space.put(key, key.upper())
    scan = space.scan()
    assert next(scan) == ("a", "A")
    space.delete("b")
    assert list(scan) == [("c", "C")]


def test_a_stored_row_that_is_deleted_while_a_scan_runs_is_left_out(space: Space) -> None:
    for key in KEYS:
        space.put(key, key.upper())
    space.checkpoint()
    scan = space.scan()
    assert next(scan) == ("a", "A")
    space.delete("b")
    assert list(scan) == [("c", "C")]


@pytest.mark.parametrize("how", ["never read", "read", "changed and deleted"])
def test_a_cached_row_that_is_deleted_is_gone_before_the_seal_as_after(space: Space, how: str) -> None:
    for key in KEYS:
        space.put(key, key.upper())
    space.checkpoint()
    if how == "read":
        assert dict(space.scan()) == {"a": "A", "b": "B", "c": "C"}
        assert space.get("b") == "B"
    if how == "changed and deleted":
        assert space.load("b") == "B"
    space.delete("b")
    for _ in range(2):
        assert list(space.scan()) == [("a", "A"), ("c", "C")]
        assert space.get("b") is None
        assert space.load("b") is None
        space.checkpoint()

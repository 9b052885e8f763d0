"""A task's state against dicts, through seals, checkpoints and crashes, on both stores."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from rayflow.serde.keys import encode_key
from tests.state.epochs import LONG, EpochMachine, OnLmdb, OnMemory, is_long, keys

ends = st.integers(-2, 12)
owners = st.sampled_from(["ann", "bob", 7, ("k", 1), LONG, LONG + "z"])
times = st.integers(-2, 15)
tags = st.sampled_from(["", "gap"])
numbers = st.integers(0, 1_000)


def in_order(rows: list[tuple[Any, Any]], *namespace: Any) -> list[tuple[Any, Any]]:
    """The order that a scan promises: long keys last, in an order of their own (here: any, so they are sorted)."""
    return sorted(rows, key=lambda row: (is_long(*namespace, row[0]), encode_key(row[0])))


def some_of(rows: dict[Any, Any], first: Any, last: Any, limit: int | None) -> list[tuple[Any, Any]]:
    """Those rows with first <= key <= last in order of their keys, the first `limit`."""
    chosen = [
        (key, value)
        for key, value in rows.items()
        if (first is None or encode_key(first) <= encode_key(key))
        and (last is None or encode_key(key) <= encode_key(last))
    ]
    return sorted(chosen, key=lambda row: encode_key(row[0]))[:limit]


class Model:
    """What the tables should hold."""

    def __init__(self) -> None:
        self.values: dict[Any, list[int]] = {}
        self.windows: dict[tuple[int, Any], list[int]] = {}
        self.maps: dict[tuple[Any, Any], list[int]] = {}
        self.timers: set[tuple[int, Any, str]] = set()

    def __len__(self) -> int:
        return len(self.values) + len(self.windows) + len(self.maps) + len(self.timers)


class TaskStateMachine(EpochMachine):
    def make_model(self) -> Model:
        return Model()

    def open_tables(self) -> None:
        self.values = self.state.values("op", "values")
        self.windows = self.state.nested("op", "windows")
        self.maps = self.state.nested("op", "maps")
        self.timers = self.state.timers("op", "timers")

    # values

    @rule(key=keys, number=numbers)
    def hot_loop(self, key: Any, number: int) -> None:
        row = self.values.rows.get(key)
        if row is None:
            row = self.values.load(key)
            if row is None:
                row = self.values.rows[key] = []
        row.append(number)
        assert row == [*self.model.values.setdefault(key, []), number]
        self.model.values[key].append(number)

    @rule(key=keys, number=numbers)
    def put_value(self, key: Any, number: int) -> None:
        self.values.put(key, [number])
        self.model.values[key] = [number]

    @rule(key=keys)
    def delete_value(self, key: Any) -> None:
        self.values.delete(key)
        self.model.values.pop(key, None)
        assert self.values.load(key) is None

    @rule(chosen=st.lists(keys, max_size=6))
    def load_values(self, chosen: list[Any]) -> None:
        self.values.prefetch(chosen, share=0)
        for key in chosen:
            assert self.values.get(key) == self.model.values.get(key)

    @rule(key=keys)
    def get_value(self, key: Any) -> None:
        assert self.values.get(key) == self.model.values.get(key)
        assert self.values.get(key, 5) == self.model.values.get(key, 5)

    @rule(first=st.none() | keys, last=st.none() | keys, limit=st.none() | st.integers(0, 5))
    def scan_values(self, first: Any, last: Any, limit: int | None) -> None:
        assert list(self.values.scan(first, last, limit)) == some_of(self.model.values, first, last, limit)

    @rule(chosen=st.lists(keys, max_size=6))
    def get_many_values(self, chosen: list[Any]) -> None:
        assert self.values.get_many(chosen) == list(map(self.model.values.get, chosen))

    @rule()
    def delete_values_while_scanning(self) -> None:
        for at, (key, _) in enumerate(self.values.scan()):
            if at % 2:
                self.delete_value(key)

    @rule(
        first=st.none() | keys,
        last=st.none() | keys,
        limit=st.none() | st.integers(0, 5),
        chosen=st.lists(keys, max_size=6),
    )
    def see_the_last_completed_epoch(self, first: Any, last: Any, limit: int | None, chosen: list[Any]) -> None:
        view = self.state.completed("op", "values")
        assert list(view.scan(first, last, limit)) == some_of(self.durable.values, first, last, limit)
        assert view.get_many(chosen) == list(map(self.durable.values.get, chosen))
        assert [view.get(key, 5) for key in chosen] == [self.durable.values.get(key, 5) for key in chosen]

    def check_completed(self, model: Model) -> None:
        assert list(self.state.completed("op", "values").scan()) == some_of(model.values, None, None, None)

    # nested

    def nested_hot_loop(self, table: Any, model: dict[Any, list[int]], space: Any, key: Any, number: int) -> None:
        rows = table.rows(space)
        row = rows.get(key)
        if row is None:
            row = table.load(space, key)
            if row is None:
                row = rows[key] = []
        row.append(number)
        model.setdefault((space, key), []).append(number)
        assert table.get(space, key) == model[space, key]

    @rule(end=ends, key=keys, number=numbers)
    def add_to_window(self, end: int, key: Any, number: int) -> None:
        self.nested_hot_loop(self.windows, self.model.windows, end, key, number)

    @rule(owner=owners, key=keys, number=numbers)
    def add_to_map(self, owner: Any, key: Any, number: int) -> None:
        self.nested_hot_loop(self.maps, self.model.maps, owner, key, number)

    @rule(owner=owners, key=keys, number=numbers)
    def put_in_map(self, owner: Any, key: Any, number: int) -> None:
        self.maps.put(owner, key, [number])
        self.model.maps[owner, key] = [number]

    @rule(owner=owners, key=keys)
    def delete_from_map(self, owner: Any, key: Any) -> None:
        self.maps.delete(owner, key)
        self.model.maps.pop((owner, key), None)
        assert self.maps.load(owner, key) is None

    @rule(end=ends, key=keys)
    def delete_from_window(self, end: int, key: Any) -> None:
        self.windows.delete(end, key)
        self.model.windows.pop((end, key), None)

    @rule(owner=owners, key=keys)
    def get_from_map(self, owner: Any, key: Any) -> None:
        assert self.maps.get(owner, key) == self.model.maps.get((owner, key))

    @rule(owner=owners)
    def drop_map(self, owner: Any) -> None:
        self.maps.drop(owner)
        self.model.maps = {at: value for at, value in self.model.maps.items() if at[0] != owner}
        assert list(self.maps.scan(owner)) == []

    @rule(upto=ends)
    def fire_windows(self, upto: int) -> None:
        due = self.windows.namespaces(upto)
        assert due == sorted({end for end, _ in self.model.windows if end <= upto})
        for end in due:
            rows = list(self.windows.scan(end))
            mine = [(key, value) for (at, key), value in self.model.windows.items() if at == end]
            assert in_order(rows, end) == in_order(mine, end)
            self.windows.drop(end)
        self.model.windows = {at: value for at, value in self.model.windows.items() if at[0] > upto}

    @rule(owner=owners, start=st.none() | keys, stop=st.none() | keys)
    def scan_map(self, owner: Any, start: Any, stop: Any) -> None:
        rows = list(self.maps.scan(owner, start, stop))
        mine = [
            (key, value)
            for (at, key), value in self.model.maps.items()
            if at == owner
            and (start is None or encode_key(start) <= encode_key(key))
            and (stop is None or encode_key(key) < encode_key(stop))
        ]
        assert in_order(rows, owner) == in_order(mine, owner)
        short = [key for key, _ in rows if not is_long(owner, key)]
        assert short == sorted(short, key=encode_key)

    @rule(owner=owners, first=st.none() | keys, last=st.none() | keys)
    def range_of_map(self, owner: Any, first: Any, last: Any) -> None:
        rows = self.maps.range(owner, first, last)
        mine = [
            (key, value)
            for (at, key), value in self.model.maps.items()
            if at == owner
            and (first is None or encode_key(first) <= encode_key(key))
            and (last is None or encode_key(key) <= encode_key(last))
        ]
        assert in_order(rows, owner) == in_order(mine, owner)
        short = [key for key, _ in rows if not is_long(owner, key)]
        assert short == sorted(short, key=encode_key)

    @rule(owner=owners, start=st.sampled_from([-40, 0, 40]), number=numbers)
    def fill_map(self, owner: Any, start: int, number: int) -> None:
        """With more rows than are sorted at each look."""
        for key in range(start + 70, start, -1):
            self.put_in_map(owner, key, number)
        self.range_of_map(owner, start + 3, 30)

    @rule(owner=owners)
    def delete_while_scanning(self, owner: Any) -> None:
        for key, _ in self.maps.scan(owner):
            self.maps.delete(owner, key)
            del self.model.maps[owner, key]
        assert not [at for at in self.model.maps if at[0] == owner]

    @rule(upto=st.none() | ends)
    def list_namespaces(self, upto: int | None) -> None:
        live = {end for end, _ in self.model.windows if upto is None or end <= upto}
        assert self.windows.namespaces(upto) == sorted(live, key=encode_key)
        assert self.maps.namespaces() == sorted({owner for owner, _ in self.model.maps}, key=encode_key)

    # timers

    @rule(time=times, key=keys, tag=tags)
    def add_timer(self, time: int, key: Any, tag: str) -> None:
        self.timers.add(time, key, tag)
        self.model.timers.add((time, key, tag))

    @rule(time=times, key=keys, tag=tags)
    def remove_timer(self, time: int, key: Any, tag: str) -> None:
        self.timers.remove(time, key, tag)
        self.model.timers.discard((time, key, tag))

    @rule(upto=times)
    def fire_timers(self, upto: int) -> None:
        due = {timer for timer in self.model.timers if timer[0] <= upto}
        assert self.timers.due(upto) == sorted(due, key=lambda timer: (timer[0], encode_key(timer[1]), timer[2]))
        self.model.timers -= due

    @invariant()
    def bounds_hold(self) -> None:
        last = max((time for time, _, _ in self.model.timers), default=None)
        assert self.timers.last_time == last
        assert self.state.pending_rows >= 0
        assert self.state.pending_bytes >= 0

    def empty_tables(self) -> None:
        for key in list(self.model.values):
            self.values.delete(key)
        for space in self.windows.namespaces():
            self.windows.drop(space)
        for space in self.maps.namespaces():
            self.maps.drop(space)
        self.timers.due(100)
        assert self.timers.last_time is None


class TablesOnMemory(OnMemory, TaskStateMachine):
    pass


class TablesOnLmdb(OnLmdb, TaskStateMachine):
    pass


TestOnMemory = TablesOnMemory.TestCase
TestOnMemory.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestOnLmdb = TablesOnLmdb.TestCase
TestOnLmdb.settings = settings(max_examples=20, stateful_step_count=40, deadline=None)

"""An ordered table against lists, through seals, checkpoints, crashes and lost machines, on both stores."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from rayflow.serde.keys import encode_key
from rayflow.state.time_keys import FIRST, LAST, LONGEST
from tests.state.epochs import LONG, EpochMachine, OnLmdb, OnMemory

keys = st.sampled_from(["a", ("t", 1), LONG])
times = st.integers(-2, 7)
bounds = times | st.sampled_from([FIRST, LAST, -(1 << 63), 1 << 63])
limits = st.none() | st.integers(0, 4)
rows = st.tuples(keys, times)


class Model:
    """Per key (time, value) in order of time, then arrival."""

    def __init__(self) -> None:
        self.rows: dict[Any, list[tuple[int, Any]]] = {}

    def __len__(self) -> int:
        return 2 * sum(map(len, self.rows.values()))

    def put(self, key: Any, time: int, value: Any) -> None:
        own = self.rows.setdefault(key, [])
        own.append((time, value))
        own.sort(key=lambda row: row[0])

    def before(self, time: int) -> list[tuple[int, Any, Any]]:
        early = [(at, key, value) for key, own in self.rows.items() for at, value in own if at < time]
        return sorted(early, key=lambda row: (row[0], len(encode_key(row[1])) > LONGEST, encode_key(row[1])))

    def drop(self, time: int) -> None:
        self.rows = {key: [row for row in own if row[0] >= time] for key, own in self.rows.items()}


class OrderedMachine(EpochMachine):
    def make_model(self) -> Model:
        return Model()

    def open_tables(self) -> None:
        self.table = self.state.ordered("op", "rows")

    def empty_tables(self) -> None:
        self.table.drop(LAST + 1)

    @rule(chosen=st.lists(rows, max_size=5), number=st.integers(0, 1_000))
    def put(self, chosen: list[tuple[Any, int]], number: int) -> None:
        values = [[number, place] for place, _ in enumerate(chosen)]
        self.table.put([key for key, _ in chosen], [time for _, time in chosen], values)
        for (key, time), value in zip(chosen, values, strict=True):
            self.model.put(key, time, value)

    @rule(key=keys, time=times, count=st.sampled_from([20, 40]))
    def put_many(self, key: Any, time: int, count: int) -> None:
        """More than are read whole."""
        self.put([(key, time + place % 3) for place in range(count)], count)

    @rule(key=keys, first=bounds, last=bounds, newest_first=st.booleans(), limit=limits)
    def range(self, key: Any, first: int, last: int, newest_first: bool, limit: int | None) -> None:
        found = self.table.range(key, first, last, newest_first=newest_first, limit=limit)
        mine = [row for row in self.model.rows.get(key, []) if first <= row[0] <= last]
        assert list(zip(found.times, found.values, strict=True)) == (mine[::-1] if newest_first else mine)[:limit]
        positions = list(zip(found.times, found.sequences, strict=True))
        assert positions == sorted(set(positions), reverse=newest_first)

    @rule(chosen=st.lists(st.tuples(keys, times, times), max_size=6))
    def prefetch(self, chosen: list[tuple[Any, int, int]]) -> None:
        self.table.prefetch(*([row[column] for row in chosen] for column in range(3)))
        for key, first, last in chosen:
            self.range(key, first, last, False, None)

    @rule(data=st.data(), key=keys)
    def delete(self, data: st.DataObject, key: Any) -> None:
        own = self.table.range(key, FIRST, LAST)
        if own.times:
            at = data.draw(st.integers(0, len(own) - 1))
            self.table.delete(key, own.times[at], own.sequences[at])
            del self.model.rows[key][at]

    @rule(key=keys, time=times)
    def delete_what_is_not_there(self, key: Any, time: int) -> None:
        self.table.delete(key, time, 77)

    @rule(data=st.data(), key=keys, number=st.integers(0, 1_000))
    def replace(self, data: st.DataObject, key: Any, number: int) -> None:
        own = self.table.range(key, FIRST, LAST)
        if own.times:
            at = data.draw(st.integers(0, len(own) - 1))
            self.table.replace(key, own.times[at], own.sequences[at], [number])
            self.model.rows[key][at] = (own.times[at], [number])

    @rule()
    def newest(self) -> None:
        every = [time for own in self.model.rows.values() for time, _ in own]
        assert self.table.newest() == max(every, default=None)

    @rule(time=times)
    def drop(self, time: int) -> None:
        self.table.drop(time)
        self.model.drop(time)

    @rule(time=times)
    def take(self, time: int) -> None:
        taken, mine = self.table.take(time), self.model.before(time)
        assert [(row[0], row[2]) for row in taken if len(encode_key(row[1])) <= LONGEST] == [
            (row[0], row[2]) for row in mine if len(encode_key(row[1])) <= LONGEST
        ]
        assert sorted(taken, key=repr) == sorted(mine, key=repr)
        assert [row[0] for row in taken] == [row[0] for row in mine]
        self.model.drop(time)

    @invariant()
    def bounds_hold(self) -> None:
        assert self.state.pending_rows >= 0
        assert self.state.pending_bytes >= 0


class OrderedOnMemory(OnMemory, OrderedMachine):
    pass


class OrderedOnLmdb(OnLmdb, OrderedMachine):
    pass


TestOnMemory = OrderedOnMemory.TestCase
TestOnMemory.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestOnLmdb = OrderedOnLmdb.TestCase
TestOnLmdb.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)

"""What every store of state promises, on each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayflow.core.errors import InvariantBroken
from rayflow.state.base import Delta, Stamp, Store
from rayflow.state.lmdb_store import LmdbStore
from rayflow.state.memory_store import MemoryStore

keys = st.binary(min_size=1, max_size=4)
values = st.binary(max_size=6)


@pytest.fixture(params=["lmdb", "memory"], scope="module")
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Store]:
    def new() -> Store:
        return LmdbStore(tmp_path_factory.mktemp("store")) if request.param == "lmdb" else MemoryStore()

    return new


@pytest.fixture
def store(make: Callable[[], Store]) -> Iterator[Store]:
    store = make()
    yield store
    store.close()


def delta(rows: dict[bytes, bytes | None]) -> Delta:
    ordered = sorted(rows)
    return Delta(ordered, [rows[key] for key in ordered])


def test_a_new_store_is_empty_and_has_no_stamp(store: Store) -> None:
    assert store.stamp is None
    assert store.count() == 0
    assert store.get(b"a") is None
    assert list(store.scan(b"", None)) == []
    assert list(store.rows()) == []
    assert store.last(b"", None) is None


def test_apply_writes_deletes_and_stamps(store: Store) -> None:
    store.apply(delta({b"a": b"1", b"b": b"", b"c": b"3"}), Stamp("one", 1))
    store.apply(delta({b"a": None, b"c": b"33", b"d": b"4", b"never": None}), Stamp("one", 2))
    assert list(store.scan(b"", None)) == [(b"b", b""), (b"c", b"33"), (b"d", b"4")]
    assert store.get_many([b"a", b"b", b"d"]) == [None, b"", b"4"]
    assert store.get_many([]) == []
    assert store.count() == 3
    assert store.stamp == Stamp("one", 2)
    assert store.size() > 0


def test_an_empty_delta_stamps_too(store: Store) -> None:
    store.apply(Delta([], []), Stamp("a lineage with spaces", 7))
    assert store.stamp == Stamp("a lineage with spaces", 7)
    assert store.count() == 0


def test_a_delta_that_is_applied_in_slices_is_seen_at_its_end_or_never(make: Callable[[], Store]) -> None:
    store = make()
    old, new = Stamp("one", 1), Stamp("one", 2)
    numbers = [b"%05d" % number for number in range(5_000)]
    store.apply(Delta(numbers, [b"old"] * 5_000), old)
    change = Delta([*numbers[2_000:], b"later"], [None, *[b"new"] * 3_000])
    kept = store.rows(chunk=100)
    given_up = store.applying(change, new)
    if isinstance(store, LmdbStore):
        for _ in range(8):
            next(given_up)
            assert store.get_many([b"02000", b"02001"]) == [b"old", b"old"]
            assert store.stamp == old
            with pytest.raises(InvariantBroken):
                store.rows()
        given_up.close()  # type: ignore[attr-defined]
        assert store.count() == 5_000
    for _ in store.applying(change, new):
        pass
    assert store.get_many([b"01999", b"02000", b"02001", b"later"]) == [b"old", None, b"new", b"new"]
    assert (store.stamp, store.count()) == (new, 5_000)
    assert [value for _, found in kept for value in found] == [b"old"] * 5_000
    store.close()


def test_replace_forgets_what_was_there(store: Store) -> None:
    store.apply(delta({b"old": b"1"}), Stamp("one", 5))
    store.replace([([b"a", b"b"], [b"1", b"2"]), ([b"c"], [b"3"])], Stamp("two", 1))
    assert list(store.scan(b"", None)) == [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]
    assert store.stamp == Stamp("two", 1)
    store.replace([], Stamp("three", 0))
    assert store.count() == 0


def test_a_replace_that_is_cut_off_leaves_no_stamp(store: Store) -> None:
    store.apply(delta({b"old": b"1"}), Stamp("one", 5))

    def rows() -> Iterator[tuple[list[bytes], list[bytes]]]:
        yield [b"a"], [b"1"]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        store.replace(rows(), Stamp("two", 1))
    assert store.stamp is None


def test_keys_may_have_511_bytes_and_values_many(store: Store) -> None:
    key, value = b"k" * 511, b"v" * 100_000
    store.apply(delta({key: value}), Stamp("one", 1))
    assert store.get(key) == value
    assert list(store.scan(key, None)) == [(key, value)]
    assert list(store.rows()) == [([key], [value])]


def test_scan_takes_start_and_leaves_stop(store: Store) -> None:
    rows = {b"%04d" % number: b"%d" % number for number in range(300)}
    store.apply(delta(rows), Stamp("one", 1))
    assert [key for key, _ in store.scan(b"0010", b"0250")] == [b"%04d" % number for number in range(10, 250)]
    assert [key for key, _ in store.scan(b"00105", b"0012")] == [b"0011"]
    assert list(store.scan(b"0299", None)) == [(b"0299", b"299")]
    assert list(store.scan(b"03", None)) == []
    assert list(store.scan(b"02", b"01")) == []


def test_scan_back_gives_the_rows_of_a_scan_from_the_last_to_the_first(store: Store) -> None:
    rows = {b"%04d" % number: b"%d" % number for number in range(300)}
    store.apply(delta(rows), Stamp("one", 1))
    for start, stop in [
        (b"", None),
        (b"0010", b"0250"),
        (b"00105", b"0012"),
        (b"0299", None),
        (b"03", None),
        (b"2", b"1"),
    ]:
        assert list(store.scan_back(start, stop)) == list(reversed(list(store.scan(start, stop))))


def test_scan_many_gives_the_first_rows_of_each_range(store: Store) -> None:
    rows = {b"%02d" % number: b"%d" % number for number in range(20)}
    store.apply(delta(rows), Stamp("one", 1))
    asked = [(b"03", b"06"), (b"18", b"99"), (b"03", b"03"), (b"00", b"10")]
    assert [[int(key) for key, _ in found] for found in store.scan_many(asked)] == [
        [3, 4, 5],
        [18, 19],
        [],
        [*range(10)],
    ]
    assert [[int(key) for key, _ in found] for found in store.scan_many(asked, 2)] == [[3, 4], [18, 19], [], [0, 1]]
    assert store.scan_many([]) == []


def test_last_finds_the_greatest_key_in_a_range(store: Store) -> None:
    store.apply(delta({b"b": b"", b"d": b"", b"f": b""}), Stamp("one", 1))
    assert store.last(b"", None) == b"f"
    assert store.last(b"", b"f") == b"d"
    assert store.last(b"", b"e") == b"d"
    assert store.last(b"b", b"c") == b"b"
    assert store.last(b"c", b"d") is None
    assert store.last(b"g", None) is None
    assert store.last(b"", b"z") == b"f"


def test_a_scan_cannot_go_on_after_a_change(store: Store) -> None:
    store.apply(delta({b"%04d" % number: b"" for number in range(100)}), Stamp("one", 1))
    for epoch, scanned in enumerate((store.scan, store.scan_back), 2):
        scan = scanned(b"", None)
        next(scan)
        store.apply(delta({b"0050": None}), Stamp("one", epoch))
        with pytest.raises(InvariantBroken, match="went on after"):
            list(scan)


def test_rows_come_in_runs_of_at_most_a_chunk(store: Store) -> None:
    store.apply(delta({b"%04d" % number: b"%d" % number for number in range(100)}), Stamp("one", 1))
    runs = list(store.rows(chunk=30))
    assert [len(keys) for keys, _ in runs] == [30, 30, 30, 10]
    assert [key for keys, _ in runs for key in keys] == [b"%04d" % number for number in range(100)]
    assert [value for _, values in runs for value in values] == [b"%d" % number for number in range(100)]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_rows_are_those_of_the_moment_of_the_call(make: Callable[[], Store], data: st.DataObject) -> None:
    store = make()
    changes = st.dictionaries(keys, st.one_of(st.none(), values), max_size=12)
    before = data.draw(st.dictionaries(keys, values, max_size=30))
    store.apply(delta(dict(before)), Stamp("one", 1))
    rows = store.rows(chunk=data.draw(st.integers(1, 8)))
    seen: list[tuple[bytes, bytes]] = []
    epoch = 1
    while True:
        for _ in range(data.draw(st.integers(0, 2))):
            epoch += 1
            store.apply(delta(data.draw(changes)), Stamp("one", epoch))
        run = next(rows, None)
        if run is None:
            break
        seen += zip(*run, strict=True)
    assert seen == sorted(before.items())
    store.close()


@settings(max_examples=40, deadline=None)
@given(
    deltas=st.lists(st.dictionaries(keys, st.one_of(st.none(), values), max_size=40), max_size=5),
    start=st.one_of(st.just(b""), keys),
    stop=st.one_of(st.none(), keys),
)
def test_a_store_is_a_sorted_dict(
    make: Callable[[], Store], deltas: list[dict[bytes, bytes | None]], start: bytes, stop: bytes | None
) -> None:
    store = make()
    model: dict[bytes, bytes] = {}
    for epoch, changes in enumerate(deltas, 1):
        store.apply(delta(changes), Stamp("one", epoch))
        for key, value in changes.items():
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
    asked = sorted({*model, start, b"\x00"} - {b""})
    chosen = [row for row in sorted(model.items()) if start <= row[0] and (stop is None or row[0] < stop)]
    assert store.get_many(asked) == [model.get(key) for key in asked]
    assert [store.get(key) for key in asked] == [model.get(key) for key in asked]
    assert list(store.scan(start, stop)) == chosen
    assert list(store.scan_back(start, stop)) == chosen[::-1]
    if stop is not None:
        assert store.scan_many([(start, stop)] * 2, limit=3) == [chosen[:3]] * 2
    assert store.last(start, stop) == (chosen[-1][0] if chosen else None)
    assert store.count() == len(model)
    store.close()


def test_closing_twice_is_closing_once(store: Store) -> None:
    store.close()
    store.close()


def test_a_closed_lmdb_store_opens_as_it_was(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    store.apply(delta({b"a": b"1"}), Stamp("one", 3))
    store.close()
    again = LmdbStore(tmp_path)
    assert again.stamp == Stamp("one", 3)
    assert again.get(b"a") == b"1"
    again.close()

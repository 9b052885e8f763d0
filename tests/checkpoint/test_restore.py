from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayflow.checkpoint.chain import Chain, deltas_after, merge_rows, restore_rows
from rayflow.checkpoint.layout import segment_name
from rayflow.checkpoint.object_store import ObjectStore
from rayflow.checkpoint.restore import prepare_store
from rayflow.checkpoint.sealed import TaskSealed
from rayflow.checkpoint.segment import encode_segment
from rayflow.core.errors import DamagedObject, ObjectMissing
from rayflow.core.ids import TaskId
from rayflow.state.base import Delta, Rows, Stamp
from tests.checkpoint.model import TASKS, CheckedStore, History, example_manifest

TASK = TASKS[0]


@pytest.fixture
def history() -> History:
    """Ten epochs, with a base at the fourth."""
    history = History(ObjectStore("memory:"))
    for _ in range(10):
        history.run_epoch()
        if history.epoch == 4:
            history.write_base(TASK)
    return history


def deltas_of(history: History, *epochs: int) -> int:
    """Bytes that the deltas of TASK take in the segments of these epochs."""
    return sum(
        len(msgspec.msgpack.encode((part.delta.keys, part.delta.values)))
        for epoch in epochs
        for part in history.sealed[epoch]
        if part.task == TASK
    )


def test_a_store_that_is_at_the_checkpoint_is_left_as_it_is(history: History) -> None:
    manifest = history.manifests[10]
    local = CheckedStore({b"any": b"row"}, Stamp(manifest.lineage, 10))
    report = prepare_store(local, ObjectStore("memory:"), manifest, TASK)
    assert (report.how, report.deltas, report.bytes) == ("local", 0, 0)
    assert local.held == {b"any": b"row"}


def test_a_store_that_is_behind_is_given_only_the_deltas_it_lacks(history: History) -> None:
    manifest = history.manifests[10]
    local = CheckedStore(history.expected[8][TASK], Stamp(manifest.lineage, 8))
    report = prepare_store(local, history.store, manifest, TASK)
    assert (report.how, report.deltas) == ("deltas", 2)
    assert report.bytes == deltas_of(history, 9, 10)
    assert report.rows == sum(
        len(part.delta) for epoch in (9, 10) for part in history.sealed[epoch] if part.task == TASK
    )
    assert (local.held, local.stamp) == (history.expected[10][TASK], Stamp(manifest.lineage, 10))


def test_an_empty_store_is_rebuilt_from_the_base_and_the_deltas_after_it(history: History) -> None:
    local = CheckedStore()
    report = prepare_store(local, history.store, history.manifests[10], TASK)
    assert (report.how, report.deltas, report.rows) == ("rebuilt", 6, len(local.held))
    assert report.bytes == history.bases[TASK].bytes + deltas_of(history, *range(5, 11))
    assert history.bases[TASK].bytes == sum(map(history.store.size, history.bases[TASK].parts)) > 0
    assert (local.held, local.stamp) == (history.expected[10][TASK], Stamp(history.lineage, 10))


def test_a_store_of_another_lineage_is_never_trusted(history: History) -> None:
    for stamp in (Stamp("other", 10), Stamp("other", 9), None):
        local = CheckedStore({b"left": b"over"}, stamp)
        assert prepare_store(local, history.store, history.manifests[10], TASK).how == "rebuilt"
        assert local.held == history.expected[10][TASK]


def test_a_store_that_is_ahead_of_the_checkpoint_is_rebuilt(history: History) -> None:
    local = CheckedStore(history.expected[10][TASK], Stamp(history.lineage, 10))
    assert prepare_store(local, history.store, history.manifests[7], TASK).how == "rebuilt"
    assert (local.held, local.stamp) == (history.expected[7][TASK], Stamp(history.lineage, 7))


def test_a_store_from_before_the_base_is_rebuilt_since_older_deltas_may_be_of_a_stage_that_had_its_name(
    history: History,
) -> None:
    manifest = history.manifests[10]
    for held, how in ((3, "rebuilt"), (4, "deltas"), (5, "deltas")):
        local = CheckedStore(history.expected[held][TASK], Stamp(history.lineage, held))
        assert prepare_store(local, history.store, manifest, TASK).how == how
        assert local.held == history.expected[10][TASK]


def test_a_task_that_the_checkpoint_does_not_know_begins_empty(history: History) -> None:
    for task in (TaskId("orders", 2), TaskId("new stage", 0)):
        local = CheckedStore({b"left": b"over"})
        assert prepare_store(local, history.store, history.manifests[10], task).how == "empty"
        assert (local.held, local.stamp) == ({}, Stamp(history.lineage, 10))


def test_a_task_that_joined_later_is_restored_from_its_own_deltas(history: History) -> None:
    manifest = history.manifests[10]
    late = TASKS[2]
    segments = dict(manifest.segments)
    for epoch in (1, 2, 3):
        holder = Chain(history.store, manifest).segment(epoch, late)
        assert holder is not None
        segments[epoch] = tuple(name for name in segments[epoch] if name != holder.name)
    chain = Chain(history.store, replace(manifest, segments=segments))
    held: dict[bytes, bytes | None] = {}
    for epoch in range(4, 11):
        delta = next(part.delta for part in history.sealed[epoch] if part.task == late)
        held.update(zip(delta.keys, delta.values, strict=True))
    rows = {key: value for keys, values in chain.rows(late) for key, value in zip(keys, values, strict=True)}
    assert rows == {key: value for key, value in held.items() if value is not None}


def test_a_delta_that_is_missing_in_between_is_damage(history: History) -> None:
    manifest = history.manifests[10]
    for epoch in (7, 10):
        holder = Chain(history.store, manifest).segment(epoch, TASK)
        assert holder is not None
        names = tuple(name for name in manifest.segments[epoch] if name != holder.name)
        holed = replace(manifest, segments={**manifest.segments, epoch: names})
        with pytest.raises(DamagedObject, match=f"epoch {epoch} lack task {TASK}"):
            prepare_store(CheckedStore(), history.store, holed, TASK)
        with pytest.raises(DamagedObject):
            prepare_store(CheckedStore({}, Stamp(history.lineage, 6)), history.store, holed, TASK)


def test_an_object_that_is_missing_is_named(history: History) -> None:
    manifest = history.manifests[10]
    for name in (manifest.segments[9][0], manifest.bases[TASK].parts[0]):
        data = history.store.get(name)
        history.store.delete([name])
        with pytest.raises(ObjectMissing, match=name):
            list(restore_rows(history.store, manifest, TASK))
        history.store.put(name, [data])


def test_deltas_reach_back_to_the_oldest_segment_and_to_a_base(history: History) -> None:
    for task in TASKS:
        history.write_base(task)
    manifest = history.run_epoch()
    assert list(manifest.segments) == [11]
    assert deltas_after(manifest, TASK, 10) == (11,)
    assert deltas_after(manifest, TASK, 11) == ()
    assert deltas_after(manifest, TASK, 9) is None
    assert deltas_after(manifest, TASK, 12) is None


def test_epochs_may_leave_numbers_out(history: History) -> None:
    manifest = history.manifests[10]
    segments = {epoch + 20 if epoch == 10 else epoch: names for epoch, names in manifest.segments.items()}
    later = replace(manifest, epoch=30, segments=segments)
    local = CheckedStore()
    prepare_store(local, history.store, later, TASK)
    assert (local.held, local.stamp) == (history.expected[10][TASK], Stamp(history.lineage, 30))
    assert deltas_after(later, TASK, 9) == (30,)
    assert deltas_after(later, TASK, 15) is None


class Counting(ObjectStore):
    """Keeps the names of the segments that are opened."""

    def __init__(self) -> None:
        super().__init__("memory:")
        self.opened: list[str] = []

    def size(self, name: str) -> int:
        self.opened.append(name)
        return super().size(name)


def test_a_worker_opens_no_segment_twice() -> None:
    store = Counting()
    history = History(store)
    for _ in range(5):
        history.run_epoch()
    chain = Chain(history.store, history.manifests[5])
    for task in TASKS:
        local = CheckedStore()
        prepare_store(local, history.store, history.manifests[5], task, chain)
        assert local.held == history.expected[5][task]
    assert len(store.opened) == len(set(store.opened)) <= 10


def test_a_task_is_found_without_opening_every_workers_segments() -> None:
    """It is looked for among all workers in the newest epoch, and after it has moved; else it is where it was."""
    workers, epochs = 12, 20
    tasks = [TaskId("orders", p) for p in range(workers)]
    store = Counting()
    segments: dict[int, tuple[str, ...]] = {}
    for epoch in range(1, epochs + 1):
        moved = epoch >= 15
        segments[epoch] = tuple(segment_name(epoch, 1, worker) for worker in range(workers))
        for worker, name in enumerate(segments[epoch]):
            task = tasks[worker - moved]
            store.put(name, encode_segment([TaskSealed(task, Delta([b"k"], [b"%d" % epoch]), {}, {})]))
    manifest = replace(example_manifest(), epoch=epochs, stages={"orders": workers}, segments=segments, bases={})
    chain = Chain(store, manifest)
    for task in tasks[3:5]:
        local = CheckedStore()
        prepare_store(local, store, manifest, task, chain)
        assert local.held == {b"k": b"20"}
    assert len(store.opened) < 3 * workers + 2 * epochs + 4


def test_merging_keeps_runs_that_did_not_change_as_they_are() -> None:
    runs: list[Rows] = [([b"a", b"b"], [b"1", b"2"]), ([], []), ([b"d"], [b"3"]), ([b"f"], [b"4"])]
    merged = list(merge_rows(runs, [Delta([b"d"], [None]), Delta([b"c", b"z"], [None, b"9"])]))
    assert merged == [([b"a", b"b"], [b"1", b"2"]), ([b"f"], [b"4"]), ([b"z"], [b"9"])]
    assert merged[0][0] is runs[0][0]


KEYS, VALUES = st.binary(min_size=1, max_size=2), st.none() | st.binary(max_size=2)


def cut(keys: list[bytes], length: int) -> list[list[bytes]]:
    return [keys[start : start + length] for start in range(0, len(keys), length)]


@given(st.dictionaries(KEYS, st.binary(max_size=2)), st.integers(1, 4), st.lists(st.dictionaries(KEYS, VALUES)))
def test_merged_rows_are_those_of_a_dict(
    base: dict[bytes, bytes], length: int, changes: list[dict[bytes, bytes | None]]
) -> None:
    rows: dict[bytes, bytes | None] = {**base}
    for change in changes:
        rows.update(change)
    runs: list[Rows] = [(keys, [base[key] for key in keys]) for keys in cut(sorted(base), length)]
    deltas = [Delta(sorted(change), [change[key] for key in sorted(change)]) for change in changes]
    merged = [row for keys, values in merge_rows(runs, deltas) for row in zip(keys, values, strict=True)]
    assert merged == sorted((key, value) for key, value in rows.items() if value is not None)


def test_a_restore_that_fails_leaves_no_stamp(history: History) -> None:
    manifest = history.manifests[10]
    name = manifest.bases[TASK].parts[-1]
    history.store.put(name, [history.store.get(name)[:-1]])
    local = CheckedStore({b"left": b"over"}, Stamp("other", 1))
    with pytest.raises(DamagedObject, match=name):
        prepare_store(local, history.store, manifest, TASK)
    assert local.stamp is None

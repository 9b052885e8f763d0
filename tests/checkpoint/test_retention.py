from __future__ import annotations

import pytest

from rayflow.checkpoint.inspect import verify
from rayflow.checkpoint.layout import (
    PUBLISHED,
    attempt_name,
    base_part_name,
    manifest_name,
    published_name,
    segment_name,
)
from rayflow.checkpoint.manifest import is_published, record_published
from rayflow.checkpoint.object_store import ObjectStore
from rayflow.checkpoint.retention import collect, garbage, kept_manifests
from rayflow.core.errors import DamagedObject
from rayflow.core.ids import TaskId
from tests.checkpoint.model import TASKS, History


@pytest.fixture
def history() -> History:
    """Eight epochs, one of them a savepoint, with bases of all tasks at the second and the sixth."""
    history = History(ObjectStore("memory:"), attempt=2)
    for epoch in range(1, 9):
        history.run_epoch(savepoint=epoch == 3)
        if epoch in (2, 6):
            for task in TASKS:
                history.write_base(task)
    return history


def epochs(history: History) -> list[int]:
    return [int(name[10:22]) for name in history.store.list("manifests/")]


def test_the_last_checkpoints_and_all_savepoints_stay(history: History) -> None:
    manifests = list(history.manifests.values())
    assert [m.epoch for m in kept_manifests(manifests, 2)] == [3, 7, 8]
    assert [m.epoch for m in kept_manifests(manifests, 0)] == [3, 8]
    assert [m.epoch for m in kept_manifests(manifests, 2, pinned=[5])] == [3, 5, 7, 8]
    assert kept_manifests([], 2) == []


def test_collecting_deletes_what_only_old_checkpoints_needed(history: History) -> None:
    before = set(history.store.list(""))
    collected = collect(history.store, 2)
    after = set(history.store.list(""))
    assert collected.kept == (3, 7, 8)
    assert epochs(history) == [3, 7, 8]
    assert set(collected.deleted) == before - after
    kept = [history.manifests[epoch] for epoch in collected.kept]
    assert after == {name for m in kept for name in [manifest_name(m.epoch), *m.objects()]}
    assert verify(history.store) == []


def test_collecting_twice_is_collecting_once(history: History) -> None:
    collect(history.store, 2)
    assert collect(history.store, 2).deleted == ()


def test_a_pinned_checkpoint_stays_whole(history: History) -> None:
    assert collect(history.store, 1, pinned=lambda: [5]).kept == (3, 5, 8)
    assert verify(history.store, 5) == []


def test_manifests_are_deleted_before_what_they_name(history: History) -> None:
    deleted = collect(history.store, 1).deleted
    kinds = [name.startswith("manifests/") for name in deleted]
    assert kinds == sorted(kinds, reverse=True)
    assert True in kinds
    assert False in kinds


def test_what_the_current_attempt_may_be_writing_stays_and_what_older_ones_left_goes(history: History) -> None:
    newest, task = history.manifests[8], TASKS[0]
    writing = [
        segment_name(9, 2, 0),
        segment_name(10, 2, 1),
        base_part_name(task, 8, 2, 0),
        attempt_name(2),
        segment_name(9, 3, 0),
        base_part_name(task, 8, 3, 0),
        attempt_name(3),
        manifest_name(9),
        base_part_name(TaskId("orders", 7), 8, 2, 0),
        "notes.txt",
    ]
    orphans = [
        segment_name(9, 1, 0),
        segment_name(8, 1, 0),
        base_part_name(task, 8, 1, 0),
        base_part_name(task, 5, 2, 0),
        segment_name(8, 2, 5),
        attempt_name(1),
    ]
    assert set(garbage([*writing, *orphans, *newest.objects()], [newest])) == set(orphans)


def test_the_note_that_an_epoch_is_published_goes_with_its_checkpoint(history: History) -> None:
    for epoch in (3, 5, 8):
        record_published(history.store, history.lineage, epoch)
        record_published(history.store, history.lineage, epoch)
    collect(history.store, 1)
    assert history.store.list(PUBLISHED) == [published_name(history.lineage, epoch) for epoch in (3, 8)]
    assert is_published(history.store, history.manifests[8])
    assert not is_published(history.store, history.manifests[7])


def test_without_a_checkpoint_nothing_is_garbage() -> None:
    assert garbage([segment_name(1, 1, 0)], []) == []
    store = ObjectStore("memory:")
    store.put(segment_name(1, 1, 0), [b"first, not yet committed"])
    assert collect(store, 3).deleted == ()


def test_nothing_is_deleted_while_a_manifest_cannot_be_read(history: History) -> None:
    history.store.put(manifest_name(3), [b"damaged: was it a savepoint?"])
    before = history.store.list("")
    with pytest.raises(DamagedObject, match=manifest_name(3)):
        collect(history.store, 1)
    assert history.store.list("") == before

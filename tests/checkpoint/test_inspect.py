from __future__ import annotations

from dataclasses import replace

import pytest

from rayflow.checkpoint.inspect import Damage, list_checkpoints, show, verify
from rayflow.checkpoint.layout import manifest_name
from rayflow.checkpoint.manifest import write_manifest
from rayflow.checkpoint.object_store import ObjectStore
from rayflow.core.errors import DamagedObject, ObjectMissing
from tests.checkpoint.model import TASKS, History


@pytest.fixture
def history() -> History:
    history = History(ObjectStore("memory:"))
    for _ in range(4):
        history.run_epoch()
        if history.epoch == 2:
            history.write_base(TASKS[0])
    return history


def flip(history: History, name: str, at: int) -> None:
    data = history.store.get(name)
    history.store.put(name, [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]])


def test_a_list_shows_damaged_checkpoints_too(history: History) -> None:
    flip(history, manifest_name(2), 200)
    infos = list_checkpoints(history.store)
    assert [(info.epoch, info.manifest is None) for info in infos] == [(1, False), (2, True), (3, False), (4, False)]
    assert infos[1].problem == f"{manifest_name(2)} fails its checksum"
    assert list_checkpoints(ObjectStore("memory:")) == []


def test_show_gives_sizes_and_what_each_task_is_restored_from(history: History) -> None:
    detail = show(history.store)
    assert detail.manifest == history.manifests[4]
    assert detail.bytes == sum(history.store.size(name) for name in history.manifests[4].objects())
    with_base, without = detail.tasks[0], detail.tasks[1]
    assert (with_base.task, with_base.base_epoch, with_base.deltas) == (TASKS[0], 2, 2)
    assert (without.task, without.base_epoch, without.base_bytes, without.deltas) == (TASKS[1], None, 0, 4)
    assert (without.staged, without.progress) == ({"sink": 1}, {"epoch": 4})
    assert show(history.store, 2).manifest.epoch == 2


def test_showing_what_is_not_there_says_so(history: History) -> None:
    with pytest.raises(ObjectMissing, match="no checkpoint of epoch 9"):
        show(history.store, 9)
    with pytest.raises(ObjectMissing, match="no checkpoint"):
        show(ObjectStore("memory:"))
    with pytest.raises(ObjectMissing, match="no checkpoint of epoch 9"):
        verify(history.store, 9)
    flip(history, manifest_name(4), 100)
    with pytest.raises(DamagedObject):
        show(history.store)


def test_verify_reads_each_object_once_and_tells_how_far_it_is(history: History) -> None:
    steps: list[tuple[int, int, str]] = []
    assert verify(history.store, None, lambda done, total, name: steps.append((done, total, name))) == []
    names = {name for manifest in history.manifests.values() for name in manifest.objects()}
    assert [done for done, _, _ in steps] == list(range(len(names)))
    assert {name for _, _, name in steps} == names
    assert {total for _, total, _ in steps} == {len(names)}


def test_verify_names_what_is_damaged_or_missing_and_which_checkpoints_need_it(history: History) -> None:
    segment, missing = history.manifests[1].segments[1][0], history.manifests[3].segments[3][1]
    part = history.bases[TASKS[0]].parts[0]
    flip(history, segment, 3)
    flip(history, part, 25)
    flip(history, manifest_name(4), 100)
    history.store.delete([missing])
    findings = {finding.name: finding for finding in verify(history.store)}
    assert set(findings) == {segment, part, missing, manifest_name(4)}
    assert findings[segment] == Damage(segment, f"{segment} does not begin as a segment", (1, 2, 3))
    assert findings[part].epochs == (3,)
    assert findings[manifest_name(4)].epochs == (4,)
    assert [finding.name for finding in verify(history.store, 2)] == [segment]


def test_a_checkpoint_that_is_deleted_while_it_is_verified_is_left_out(history: History) -> None:
    def retention(done: int, total: int, name: str) -> None:
        history.store.delete([manifest_name(2), *history.manifests[2].segments[2]])

    assert verify(history.store, 2, retention) == []


def test_a_checkpoint_that_names_something_else_than_its_objects_is_damaged(history: History) -> None:
    manifest = replace(history.manifests[4], epoch=5, outputs=("notes.txt",))
    history.store.put("notes.txt", [b"whatever"])
    write_manifest(history.store, manifest)
    assert [finding.name for finding in verify(history.store)] == ["notes.txt"]

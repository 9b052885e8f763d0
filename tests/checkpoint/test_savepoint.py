from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rayflow.checkpoint.chain import Chain
from rayflow.checkpoint.claim import Claim
from rayflow.checkpoint.inspect import list_checkpoints, show, verify
from rayflow.checkpoint.layout import SegmentObject, parse_name, segment_name
from rayflow.checkpoint.manifest import Manifest, manifest_epochs, read_manifest, read_savepoint
from rayflow.checkpoint.object_store import ObjectStore
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.restore import prepare_store
from rayflow.checkpoint.savepoint import start_from_savepoint, write_savepoint
from rayflow.checkpoint.savepoint_place import written_after
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import CheckpointStoreFailed, DamagedObject, InvalidSetting, ObjectExists, ObjectMissing
from rayflow.core.ids import TaskId
from tests.checkpoint.model import TASKS, CheckedStore, History

NEW_LINEAGE = "ef" * 16


class Breaking(ObjectStore):
    """Stops working after so many writes."""

    def __init__(self, writes: int) -> None:
        super().__init__("memory:")
        self.writes = writes

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        self._count()
        super().put(name, parts)

    def create(self, name: str, data: bytes) -> None:
        self._count()
        super().create(name, data)

    def _count(self) -> None:
        self.writes -= 1
        if self.writes < 0:
            raise CheckpointStoreFailed("broken")


@pytest.fixture
def history() -> History:
    history = History(ObjectStore("memory:"))
    for _ in range(6):
        history.run_epoch()
        if history.epoch == 3:
            history.write_base(TASKS[0])
    return history


def start(savepoint: CheckpointStore, target: CheckpointStore, attempt: int = 1) -> Manifest:
    return start_from_savepoint(savepoint, target, Claim(attempt, (0, 4)), job="clone", lineage=NEW_LINEAGE, created=5)


def assert_restores(store: CheckpointStore, manifest: Manifest, rows: dict[TaskId, dict[bytes, bytes]]) -> None:
    for task, expected in rows.items():
        local = CheckedStore()
        prepare_store(local, store, manifest, task)
        assert local.held == expected


def test_a_savepoint_is_whole_without_the_job_it_came_from(history: History, tmp_path: Path) -> None:
    target = open_store(f"file:{tmp_path}/savepoint")
    saved = write_savepoint(history.store, history.manifests[5], target)
    history.store.delete(history.store.list(""))
    assert saved == read_savepoint(target)
    assert saved == replace(history.manifests[5], savepoint=True, outputs=(), published=5)
    assert verify(target) == []
    assert_restores(target, saved, history.expected[5])
    assert [info.name for info in list_checkpoints(target)] == ["savepoint.json"]
    assert show(target).manifest == show(target, 5).manifest == saved


def test_a_savepoint_exists_only_once_all_of_it_is_there(history: History) -> None:
    manifest = history.manifests[6]
    needed = len(manifest.objects()) - len(manifest.outputs) + 2
    for writes in range(needed):
        target = Breaking(writes)
        with pytest.raises(CheckpointStoreFailed):
            write_savepoint(history.store, manifest, target)
        with pytest.raises(ObjectMissing):
            read_savepoint(target)
        target.writes = needed
        write_savepoint(history.store, manifest, target)
        assert verify(target) == []


def test_a_savepoint_is_never_overwritten(history: History) -> None:
    target = ObjectStore("memory:")
    write_savepoint(history.store, history.manifests[5], target)
    with pytest.raises(ObjectExists, match="already contains a savepoint"):
        write_savepoint(history.store, history.manifests[6], target)
    assert read_savepoint(target).epoch == 5


def other_job() -> History:
    """Its objects have the names of those of `history`, and other contents."""
    other = History(ObjectStore("memory:"), random=random.Random(8), lineage="cd" * 16)
    for _ in range(6):
        other.run_epoch()
    return other


def test_two_jobs_that_write_to_one_uri_at_the_same_time_do_not_mix(history: History) -> None:
    other, target = other_job(), ObjectStore("memory:")
    refused: list[ObjectExists] = []

    def between() -> None:
        if not refused:
            with pytest.raises(ObjectExists, match="claimed for another savepoint") as caught:
                write_savepoint(other.store, other.manifests[6], target)
            refused.append(caught.value)

    saved = write_savepoint(history.store, history.manifests[6], target, before_each=between)
    assert "delete claimed-by.json there" in str(refused[0])
    assert read_savepoint(target) == saved
    assert all(target.get(name) == history.store.get(name) for name in saved.objects())


def test_jobs_with_the_same_history_in_two_stores_do_not_share_a_savepoint(history: History, tmp_path: Path) -> None:
    """A folder that was copied, with both copies running: their next objects have the same names."""
    first, second = open_store(f"file:{tmp_path}/first"), open_store(f"file:{tmp_path}/second")
    for name in history.store.list(""):
        first.put(name, [history.store.get(name)])
        second.put(name, [history.store.get(name)])
    target = Breaking(3)
    with pytest.raises(CheckpointStoreFailed):
        write_savepoint(first, history.manifests[5], target)
    target.writes = 1000
    with pytest.raises(ObjectExists, match="claimed"):
        write_savepoint(second, history.manifests[5], target)


def test_two_copies_of_one_history_at_the_same_time_end_in_one_whole_savepoint(history: History) -> None:
    for epoch, ends_well in ((6, True), (5, False)):
        target, other = ObjectStore("memory:"), []

        def between(target: ObjectStore = target, other: list[Manifest] = other, epoch: int = epoch) -> None:
            if not other:
                other.append(history.manifests[epoch])
                write_savepoint(history.store, history.manifests[epoch], target)

        if ends_well:
            write_savepoint(history.store, history.manifests[6], target, before_each=between)
        else:
            with pytest.raises(ObjectExists, match="already contains a savepoint"):
                write_savepoint(history.store, history.manifests[6], target, before_each=between)
        assert read_savepoint(target).epoch == epoch
        assert verify(target) == []


def test_a_copy_that_was_cut_off_is_completed_by_a_later_checkpoint(history: History) -> None:
    target = Breaking(3)
    with pytest.raises(CheckpointStoreFailed):
        write_savepoint(history.store, history.manifests[5], target)
    target.writes = 1000
    assert write_savepoint(history.store, history.manifests[6], target) == read_savepoint(target)
    assert verify(target) == []


def test_writing_the_same_savepoint_again_changes_nothing(history: History) -> None:
    target = ObjectStore("memory:")
    saved = write_savepoint(history.store, history.manifests[5], target)
    assert write_savepoint(history.store, history.manifests[5], target) == saved == read_savepoint(target)


def test_a_repeated_request_finds_what_the_first_one_has_written(history: History, tmp_path: Path) -> None:
    uri, own = f"file:{tmp_path / 'saved'}", history.store.uri
    assert written_after(0, uri, own, "words") is None
    saved = write_savepoint(history.store, history.manifests[6], open_store(uri))
    assert written_after(5, uri, own, saved.job) == 6
    assert written_after(6, uri, own, saved.job) is None  # it was there before
    assert written_after(5, uri, own, "another") is None
    assert written_after(5, uri, f"file:{tmp_path / 'elsewhere'}", saved.job) is None


def test_a_savepoint_is_refused_within_and_around_the_jobs_own_store(history: History, tmp_path: Path) -> None:
    """Retention would delete its objects."""
    job = open_store(f"file:{tmp_path}/job/checkpoints")
    for name in history.store.list(""):
        job.put(name, [history.store.get(name)])
    (tmp_path / "link").symlink_to(tmp_path / "job")
    before = job.list("")
    for place in ("job/checkpoints", "job/checkpoints/savepoint", "job", "link/checkpoints", "link/../job/checkpoints"):
        with pytest.raises(InvalidSetting, match="overlaps a job's checkpoint store"):
            write_savepoint(job, history.manifests[6], open_store(f"file://{tmp_path}/{place}"))
    assert job.list("") == before
    write_savepoint(job, history.manifests[6], open_store(f"file:{tmp_path}/job/checkpoints-saved"))


def test_a_savepoint_is_refused_in_the_store_of_another_job(history: History) -> None:
    other = other_job()
    with pytest.raises(InvalidSetting, match="overlaps a job's checkpoint store"):
        write_savepoint(history.store, history.manifests[6], other.store)


def test_damage_is_not_copied_into_a_savepoint(history: History) -> None:
    manifest = history.manifests[6]
    for name in (manifest.segments[2][1], manifest.bases[TASKS[0]].parts[0]):
        data = history.store.get(name)
        middle = len(data) // 2
        history.store.put(name, [data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]])
        target = ObjectStore("memory:")
        with pytest.raises(DamagedObject, match=name):
            write_savepoint(history.store, manifest, target)
        assert target.list("savepoint.json") == []
        history.store.put(name, [data])


def test_a_job_starts_from_a_savepoint_under_a_new_lineage(history: History) -> None:
    savepoint, job = ObjectStore("memory:"), ObjectStore("memory:")
    saved = write_savepoint(history.store, history.manifests[6], savepoint)
    manifest = start(savepoint, job)
    assert manifest == read_manifest(job, 6)
    assert (manifest.job, manifest.lineage, manifest.attempt, manifest.created) == ("clone", NEW_LINEAGE, 1, 5)
    assert (manifest.epoch, manifest.published, manifest.savepoint) == (6, 6, False)
    assert (manifest.restored_from, manifest.states) == (savepoint.uri, saved.states)
    savepoint.delete(savepoint.list(""))
    assert verify(job) == []
    assert_restores(job, manifest, history.expected[6])
    chain = Chain(job, manifest)
    segment = chain.segment(6, TASKS[1])
    assert segment is not None
    assert segment.progress(TASKS[1]) == {"epoch": 6}


def test_a_start_keeps_which_slot_wrote_which_segment(history: History) -> None:
    """What has to be published of a segment is published under its slot, which the manifest lists to be fenced."""
    savepoint, job = ObjectStore("memory:"), history.store
    names = {
        epoch: tuple(segment_name(epoch, 1, slot) for slot, _ in zip((3, 5), names, strict=False))
        for epoch, names in history.manifests[6].segments.items()
    }
    for epoch, originals in history.manifests[6].segments.items():
        for original, name in zip(originals, names[epoch], strict=True):
            job.put(name, [job.get(original)])
    write_savepoint(job, replace(history.manifests[6], segments=names, workers=(3, 5)), savepoint)
    manifest = start(savepoint, ObjectStore("memory:"))
    for segments in manifest.segments.values():
        slots = [kind.worker for kind in map(parse_name, segments) if isinstance(kind, SegmentObject)]
        assert slots == [3, 5][: len(segments)]


def test_starting_again_from_an_older_savepoint_makes_it_the_newest_checkpoint(history: History) -> None:
    savepoint, job = ObjectStore("memory:"), history.store
    write_savepoint(job, history.manifests[4], savepoint)
    before = set(job.list(""))
    contents = {name: job.get(name) for name in before}
    manifest = start(savepoint, job, attempt=2)
    assert manifest.epoch == 7
    assert manifest_epochs(job)[-1] == 7
    assert list(manifest.segments) == [1, 2, 3, 7]
    assert_restores(job, manifest, history.expected[4])
    assert {name: job.get(name) for name in before} == contents
    assert verify(job) == []
    history.attempt, history.epoch, history.lineage = 2, 7, NEW_LINEAGE
    history.segments, history.bases = dict(manifest.segments), dict(manifest.bases)
    history.sealed[7] = history.sealed[4]
    history.rows = {task: dict(rows) for task, rows in history.expected[4].items()}
    later = history.run_epoch()
    assert_restores(job, later, history.expected[8])


def test_a_start_that_is_cut_off_leaves_the_job_as_it_was(history: History) -> None:
    savepoint = ObjectStore("memory:")
    needed = len(write_savepoint(history.store, history.manifests[6], savepoint).objects()) + 1
    for writes in range(needed):
        job = Breaking(writes)
        with pytest.raises(CheckpointStoreFailed):
            start(savepoint, job)
        assert manifest_epochs(job) == []
        job.writes = needed
        start(savepoint, job, attempt=2)
        assert verify(job) == []


def test_a_store_without_a_savepoint_says_so(history: History) -> None:
    with pytest.raises(ObjectMissing, match=r"savepoint\.json"):
        start(history.store, ObjectStore("memory:"))

"""Damaged checkpoints and state directories: refused by name, or rebuilt; never trusted."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from rayflow.checkpoint.layout import manifest_name
from rayflow.checkpoint.manifest import manifest_epochs, newest_manifest, read_manifest
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import DamagedObject, ObjectMissing, StateDirectoryMismatch
from tests.e2e.brokers import Broker
from tests.e2e.jobs import counts, own_counts, upper
from tests.e2e.running import run

WORDS = [("a", "x"), ("b", "y"), ("c", "x")]


@pytest.fixture
def checkpoints(tmp_path: Path) -> CheckpointStore:
    """Where the jobs of these tests keep their checkpoints."""
    return open_store(f"file:{tmp_path / 'checkpoints'}")


@pytest.fixture
def two_runs(embedded: Broker, state: Path, checkpoints: CheckpointStore) -> Broker:
    """A broker on which the counts job has run twice, to the end of three words each time."""
    embedded.create("in", 3)
    for _ in range(2):
        embedded.append("in", WORDS)
        run(counts(embedded), embedded, state, checkpoints=checkpoints.uri, retain=20)
    return embedded


def end_of_first_run(checkpoints: CheckpointStore) -> int:
    """The last epoch of the attempt that came first."""
    manifests = [read_manifest(checkpoints, epoch) for epoch in manifest_epochs(checkpoints)]
    return max(manifest.epoch for manifest in manifests if manifest.attempt == 1)


def damage(checkpoints: CheckpointStore, name: str) -> None:
    """Change one byte in the middle of an object."""
    path = Path(checkpoints.uri.removeprefix("file:")) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def lost_disk(state: Path) -> None:
    """The state is gone: only the checkpoints are left."""
    shutil.rmtree(state)


def test_a_damaged_manifest_is_refused_by_name_and_an_older_checkpoint_works_when_asked_for(
    two_runs: Broker, state: Path, checkpoints: CheckpointStore
) -> None:
    broker = two_runs
    older, newest = end_of_first_run(checkpoints), manifest_epochs(checkpoints)[-1]
    damage(checkpoints, manifest_name(newest))
    for _ in range(2):
        with pytest.raises(DamagedObject) as caught:
            run(counts(broker), broker, state, checkpoints=checkpoints.uri)
        assert caught.value.code == "RF-4001"
        assert manifest_name(newest) in caught.value.what
    run(counts(broker), broker, state, checkpoints=checkpoints.uri, from_checkpoint=older)
    # What came after the older checkpoint is done again: the second time x and y were counted.
    assert broker.by_key("out") == {"x": [1, 2, 3, 4, 3, 4], "y": [1, 2, 2]}
    broker.append("in", WORDS)
    run(counts(broker), broker, state, checkpoints=checkpoints.uri)
    assert broker.by_key("out") == {"x": [1, 2, 3, 4, 3, 4, 5, 6], "y": [1, 2, 2, 3]}


def test_a_damaged_segment_is_refused_by_name_and_an_older_checkpoint_works_when_asked_for(
    two_runs: Broker, state: Path, checkpoints: CheckpointStore
) -> None:
    broker = two_runs
    manifest = newest_manifest(checkpoints)
    assert manifest is not None
    older = end_of_first_run(checkpoints)
    (name,) = manifest.segments[manifest.epoch]
    damage(checkpoints, name)
    lost_disk(state)
    with pytest.raises(DamagedObject) as caught:
        run(counts(broker), broker, state, checkpoints=checkpoints.uri)
    assert caught.value.code == "RF-4001"
    assert name in caught.value.what
    run(counts(broker), broker, state, checkpoints=checkpoints.uri, from_checkpoint=older)
    assert broker.by_key("out") == {"x": [1, 2, 3, 4, 3, 4], "y": [1, 2, 2]}


def test_an_older_checkpoint_that_is_not_there_is_refused(
    two_runs: Broker, state: Path, checkpoints: CheckpointStore
) -> None:
    with pytest.raises(ObjectMissing) as caught:
        run(counts(two_runs), two_runs, state, checkpoints=checkpoints.uri, from_checkpoint=99)
    assert manifest_name(99) in caught.value.what


def test_the_checkpoints_of_another_job_are_refused(
    two_runs: Broker, tmp_path: Path, checkpoints: CheckpointStore
) -> None:
    with pytest.raises(StateDirectoryMismatch) as caught:
        run(upper(two_runs), two_runs, tmp_path / "other", checkpoints=checkpoints.uri)
    assert caught.value.code == "RF-4002"
    assert two_runs.name("counts") in caught.value.what
    assert not two_runs.exists("upper")
    assert two_runs.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}


def test_jobs_of_two_names_share_a_state_directory(embedded: Broker, state: Path) -> None:
    embedded.create("in", 3)
    embedded.append("in", WORDS)
    run(counts(embedded), embedded, state)
    run(own_counts(embedded), embedded, state)
    assert sorted(embedded.values("out")) == [1, 1, 1, 1, 1, 2]


def test_a_state_directory_that_is_a_file_is_refused(embedded: Broker, tmp_path: Path) -> None:
    embedded.create("in")
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirectoryMismatch):
        run(upper(embedded), embedded, tmp_path / "file")


def task_files(state: Path) -> list[Path]:
    """The LMDB files of all tasks."""
    return sorted(state.glob("jobs/*/tasks/*/data.mdb"))


def rebuilt(caplog: pytest.LogCaptureFixture) -> int:
    """How many tasks were restored from the checkpoint."""
    return sum("how=rebuilt" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("how", ["cut short", "empty", "garbage", "torn page", "gone"])
def test_a_corrupted_store_is_rebuilt_from_the_checkpoints(
    how: str, two_runs: Broker, state: Path, checkpoints: CheckpointStore, caplog: pytest.LogCaptureFixture
) -> None:
    broker = two_runs
    files = task_files(state)
    assert len(files) == 3
    for file in files:
        data = file.read_bytes()
        match how:
            case "cut short":
                file.write_bytes(data[: len(data) // 2])
            case "empty":
                file.write_bytes(b"")
            case "garbage":
                file.write_bytes(b"\xff" * len(data))
            case "torn page":
                file.write_bytes(data[:8192] + bytes(len(data) - 8192))
            case "gone":
                file.unlink()
    broker.append("in", WORDS)
    with caplog.at_level(logging.INFO):
        run(counts(broker), broker, state, checkpoints=checkpoints.uri)
    assert rebuilt(caplog) == 3
    assert broker.by_key("out") == {"x": [1, 2, 3, 4, 5, 6], "y": [1, 2, 3]}


def test_a_store_of_another_lineage_is_rebuilt_and_not_trusted(
    embedded: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = embedded
    broker.create("in", 3)
    broker.append("in", WORDS)
    run(counts(broker), broker, tmp_path / "one")
    broker.append("in", WORDS)
    run(counts(broker), broker, tmp_path / "two", new_lineage=True)
    tasks = Path("jobs", broker.name("counts"), "tasks")
    shutil.rmtree(tmp_path / "two" / tasks)
    shutil.copytree(tmp_path / "one" / tasks, tmp_path / "two" / tasks)
    broker.append("in", WORDS)
    with caplog.at_level(logging.INFO):
        run(counts(broker), broker, tmp_path / "two")
    assert rebuilt(caplog) == 3
    assert broker.by_key("out")["x"] == [1, 2, 1, 2, 3, 4, 5, 6]


def test_a_store_that_fell_behind_gets_only_the_deltas_that_it_lacks(
    two_runs: Broker, state: Path, tmp_path: Path, checkpoints: CheckpointStore, caplog: pytest.LogCaptureFixture
) -> None:
    broker = two_runs
    shutil.copytree(state, tmp_path / "copy")
    broker.append("in", WORDS)
    run(counts(broker), broker, state, checkpoints=checkpoints.uri)
    broker.append("in", WORDS)
    with caplog.at_level(logging.INFO):
        run(counts(broker), broker, tmp_path / "copy", checkpoints=checkpoints.uri)
    assert sum("how=deltas" in record.getMessage() for record in caplog.records) == 3
    assert broker.by_key("out") == {"x": [1, 2, 3, 4, 5, 6, 7, 8], "y": [1, 2, 3, 4]}

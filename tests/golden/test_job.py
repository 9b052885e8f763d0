"""A job goes on, exactly, from what earlier versions have left: log, state directory, checkpoints, savepoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from rayflow.checkpoint.chain import restore_rows
from rayflow.checkpoint.manifest import newest_manifest
from rayflow.checkpoint.open import open_store
from rayflow.state.lmdb_store import LmdbStore
from tests.e2e.running import run
from tests.golden.archive import archives, opened, run_first_parts, unpack
from tests.golden.job import (
    CLOCK,
    HOUR,
    PARTITIONS,
    PARTS,
    RECORDS,
    expected_totals,
    expected_windows,
    feed,
    golden_job,
    output,
    part,
)

FROM_STATE, FROM_CHECKPOINTS, FROM_SAVEPOINT = "state directory", "checkpoints", "savepoint"


@pytest.fixture(params=archives(), ids=lambda path: path.name)
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What a version has left."""
    unpack(request.param, tmp_path)
    return tmp_path


def go_on(folder: Path, state: str = "state", **options: Any) -> dict[str, Any]:
    """Run the last part to its end, two hours later; all that the job has written."""
    with opened(folder / "log") as broker:
        feed(broker, PARTS - 1)
        progress = run(golden_job(), broker, folder / state, clock=lambda: CLOCK + 2 * HOUR, **options)
        assert progress.records_in == RECORDS
        return output(broker)


@cache
def today() -> dict[str, Any]:
    """What today's code writes when it runs all parts."""
    with TemporaryDirectory() as folder:
        run_first_parts(Path(folder))
        return go_on(Path(folder))


def _lose_the_bases(folder: Path) -> None:
    """So that nothing can be restored: the state directories are used as they are."""
    shutil.rmtree(folder / "state" / "jobs" / "golden" / "checkpoints" / "bases")


def _lose_the_state_directories(folder: Path) -> None:
    shutil.rmtree(folder / "state" / "jobs" / "golden" / "tasks")


def _lose_the_state(folder: Path) -> None:
    shutil.rmtree(folder / "state")


@pytest.mark.parametrize(
    ("lose", "options"),
    [
        pytest.param(_lose_the_bases, {}, id=FROM_STATE),
        pytest.param(_lose_the_state_directories, {}, id=FROM_CHECKPOINTS),
        pytest.param(_lose_the_state, {"from_savepoint": "savepoint"}, id=FROM_SAVEPOINT),
    ],
)
def test_a_job_goes_on_with_what_an_earlier_version_has_left(
    lose: Callable[[Path], None], options: dict[str, str], left: Path
) -> None:
    lose(left)
    found = go_on(left, **{name: f"file:{left / place}" for name, place in options.items()})
    assert found["totals"] == expected_totals()
    assert found["windows"] == expected_windows()
    assert found == today()


def test_what_an_earlier_version_has_left_is_open_in_every_way(left: Path) -> None:
    """So that the other tests do not pass because there was nothing to go on with."""
    with opened(left / "log") as broker:
        before = output(broker)
        assert [order["id"] for order in sorted(broker.values("orders"), key=lambda order: order["id"])] == list(
            range((PARTS - 1) * RECORDS)
        )
    last = max(order.ts for number in range(PARTS - 1) for order in part(number))
    assert all(window["window_end"] < last for windows in before["windows"].values() for window in windows)
    assert before["reminders"] == {}  # their timers wait for the wall clock
    assert any(not sessions[-1]["ended"] for sessions in before["sessions"].values())
    after = go_on(left)
    assert after["reminders"].keys() == {order.user for order in part(0) + part(1)}
    assert all(
        len(after[topic][key]) >= len(before[topic][key]) for topic in ("windows", "hops") for key in before[topic]
    )


def test_the_state_directories_hold_what_the_checkpoint_holds(left: Path) -> None:
    job = left / "state" / "jobs" / "golden"
    checkpoints = open_store(f"file:{job / 'checkpoints'}")
    manifest = newest_manifest(checkpoints)
    assert manifest is not None
    assert manifest.bases
    assert set(manifest.stages.values()) == {PARTITIONS}
    assert len(manifest.stages) == 2
    for task in manifest.tasks():
        store = LmdbStore(job / "tasks" / f"{task.stage}-{task.partition}")
        held = dict(store.scan(b"", None))
        assert store.stamp is not None
        assert (store.stamp.lineage.partition(".")[0], store.stamp.epoch) == (manifest.lineage, manifest.epoch)
        store.close()
        runs = restore_rows(checkpoints, manifest, task)
        assert held == {key: value for keys, values in runs for key, value in zip(keys, values, strict=True)}
        assert held

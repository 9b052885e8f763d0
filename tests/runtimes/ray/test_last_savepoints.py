"""The coordinator's loop at the end of a job, without Ray: savepoints that are asked for while others are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayflow.checkpoint import savepoint as writing
from rayflow.checkpoint.manifest import Manifest, read_savepoint
from rayflow.checkpoint.open import open_store
from rayflow.core.errors import InvalidSetting
from rayflow.engine.events import EndRequested
from rayflow.runtimes.machine.journal import Journal
from rayflow.runtimes.ray.coordinator_loop import CoordinatorLoop
from tests.checkpoint.model import History
from tests.runtimes.ray.test_requests import spec


class Hosted:
    """An attempt that is told of events."""

    started = True

    def __init__(self) -> None:
        self.told: list[object] = []

    def tell(self, event: object) -> None:
        self.told.append(event)


@pytest.fixture
def loop(tmp_path: Path) -> CoordinatorLoop:
    return CoordinatorLoop(spec(tmp_path), None, Journal())


@pytest.fixture
def history(tmp_path: Path) -> History:
    history = History(open_store(f"file:{tmp_path / 'own'}"))
    history.run_epoch()
    return history


def test_an_attempt_is_told_of_a_drain_after_a_stop(loop: CoordinatorLoop) -> None:
    hosted = Hosted()
    loop.steering.hosted = hosted  # type: ignore[assignment]
    loop.steering.stop(drain=False, savepoint=None)
    loop.steering.stop(drain=True, savepoint=None)
    assert hosted.told == [EndRequested("stop"), EndRequested("drain")]


def test_a_savepoint_that_is_asked_for_while_another_is_written_is_written_too(
    loop: CoordinatorLoop, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = f"file:{tmp_path / 'one'}", f"file:{tmp_path / 'two'}"
    encode = writing.encode_manifest

    def asked_meanwhile(manifest: Manifest) -> bytes:
        loop.call(lambda: loop.steering.stop(drain=False, savepoint=two))
        return encode(manifest)

    monkeypatch.setattr(writing, "encode_manifest", asked_meanwhile)
    loop.steering.stop(drain=False, savepoint=one)
    loop._write_last(history.store)
    assert loop.status.savepoints == [one, two]
    assert read_savepoint(open_store(two)).epoch == read_savepoint(open_store(one)).epoch


def test_one_that_cannot_be_written_fails_the_job_after_the_others(
    loop: CoordinatorLoop, history: History, tmp_path: Path
) -> None:
    two = f"file:{tmp_path / 'two'}"
    loop.steering.stop(drain=False, savepoint="nothing:at/all")
    loop.steering.stop(drain=False, savepoint=two)
    with pytest.raises(InvalidSetting):
        loop._write_last(history.store)
    assert loop.status.savepoints == [two]

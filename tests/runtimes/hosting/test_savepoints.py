"""Savepoints are copied while the job's checkpoints go on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import rayflow as rf
from rayflow.checkpoint.layout import SAVEPOINT
from rayflow.checkpoint.manifest import manifest_epochs, read_savepoint
from rayflow.checkpoint.object_store import ObjectStore
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import (
    CheckpointStoreFailed,
    InvalidSetting,
    ObjectExists,
    RayflowError,
)
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting import savepoints as module
from rayflow.runtimes.hosting.last_savepoints import LastSavepoints, write_last
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.savepoints import Savepoint, Savepoints
from rayflow.runtimes.local.attempt import LocalAttempt
from rayflow.runtimes.machine.background import Thread
from rayflow.runtimes.machine.connectors import OpenConnectors
from rayflow.runtimes.machine.ports import machine_ports
from rayflow.state.memory_store import MemoryStore
from tests.checkpoint.model import TASKS, History
from tests.e2e.brokers import Broker


class Target(ObjectStore):
    """Where a savepoint goes; its first object waits for `go_on`."""

    def __init__(self) -> None:
        super().__init__("memory:")
        self.reached, self.go_on = threading.Event(), threading.Event()

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        self.reached.set()
        assert self.go_on.wait(60)
        super().put(name, parts)


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Target:
    target = Target()
    monkeypatch.setattr(module, "open_store", lambda uri: target)
    return target


@pytest.fixture
def history() -> History:
    history = History(ObjectStore("memory:"))
    for _ in range(3):
        history.run_epoch()
    history.write_base(TASKS[0])
    history.run_epoch()
    return history


def savepoints(store: CheckpointStore) -> Savepoints:
    return Savepoints(store, Thread(), deque())


def test_a_savepoint_is_pinned_until_it_is_done(history: History, target: Target) -> None:
    copying, savepoint = savepoints(history.store), Savepoint("there:")
    copying.ask(savepoint)
    assert copying.pinned == set()
    copying.begin(history.manifests[4])
    assert target.reached.wait(60)
    assert copying.pinned == {4}
    assert not copying.step()
    target.go_on.set()
    while not copying.step():
        pass
    assert (savepoint.done, savepoint.epoch, savepoint.error) == (True, 4, None)
    assert copying.pinned == set()
    assert read_savepoint(target).epoch == 4
    copying.close()


def test_one_that_is_in_flight_when_the_attempt_ends_is_answered_with_an_error(
    history: History, target: Target
) -> None:
    """At once, also when the store hangs; what the copy does later changes nothing."""
    copying, savepoint, second = savepoints(history.store), Savepoint("there:"), Savepoint("there too:")
    copying.ask(savepoint)
    copying.ask(second)
    copying.begin(history.manifests[4])
    assert target.reached.wait(60)
    copying.close()
    assert not target.go_on.is_set()
    target.go_on.set()
    thread = copying._background._thread  # type: ignore[attr-defined]
    thread.join(60)
    assert not thread.is_alive()
    for each in (savepoint, second):
        assert each.done
        assert each.epoch is None
        assert each.error is not None
        assert "the attempt ended" in each.error.what
    assert len(target.list("")) == 2  # the claim, and the object that was being written
    assert not target.list(SAVEPOINT)


def test_what_goes_wrong_is_kept_for_who_asked(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(uri: str) -> CheckpointStore:
        raise CheckpointStoreFailed("no such store")

    monkeypatch.setattr(module, "open_store", refuse)
    copying, savepoint = savepoints(history.store), Savepoint("nothing:at/all")
    copying.ask(savepoint)
    copying.begin(history.manifests[4])
    while not copying.step():
        pass
    assert savepoint.done
    assert isinstance(savepoint.error, CheckpointStoreFailed)
    copying.close()


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("file:/tmp/" + "a" * 300, CheckpointStoreFailed),
        ("file:/tmp/\0", InvalidSetting),
        ("file:", InvalidSetting),
    ],
    ids=["too long", "a null", "empty"],
)
def test_a_bad_uri_fails_its_own_request_alone(history: History, uri: str, error: type[Exception]) -> None:
    copying, savepoint = savepoints(history.store), Savepoint(uri)
    copying.ask(savepoint)
    copying.begin(history.manifests[4])
    while not savepoint.done:
        copying.step()
    assert type(savepoint.error) is error
    copying.close()


def test_what_nobody_expected_fails_the_request_alone_and_is_logged(
    history: History, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(uri: str) -> CheckpointStore:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(module, "open_store", fail)
    copying, savepoint = savepoints(history.store), Savepoint("there:")
    copying.ask(savepoint)
    copying.begin(history.manifests[4])
    while not savepoint.done:
        copying.step()
    assert savepoint.error is not None
    assert "ZeroDivisionError: odd" in savepoint.error.what
    assert any(record.exc_info for record in caplog.records)
    copying.close()


def test_none_is_written_into_the_folders_of_a_run(history: History, tmp_path: Path) -> None:
    options = RunOptions(state=tmp_path)
    copying = Savepoints(history.store, Thread(), deque(), options.folders)
    asked = [Savepoint(f"file:{tmp_path / place}") for place in ("jobs/other", "log", ".", "log/savepoint")]
    fine = Savepoint(f"file:{tmp_path / 'savepoints'}")
    for savepoint in (*asked, fine):
        copying.ask(savepoint)
    copying.begin(history.manifests[4])
    while not fine.done:
        copying.step()
    assert [type(savepoint.error) for savepoint in asked] == [InvalidSetting] * 4
    assert fine.epoch == 4
    assert [path.name for path in tmp_path.iterdir()] == ["savepoints"]
    copying.close()


def test_one_that_was_not_begun_is_copied_in_the_next_attempt(history: History, target: Target) -> None:
    target.go_on.set()
    asked: deque[Savepoint] = deque()
    savepoint = Savepoint("there:")
    first = Savepoints(history.store, Thread(), asked)
    first.ask(savepoint)
    first.close()
    assert not savepoint.done
    second = Savepoints(history.store, Thread(), asked)
    second.begin(history.manifests[4])
    while not second.step():
        pass
    assert savepoint.epoch == 4
    second.close()


def test_the_last_savepoint_is_of_the_newest_checkpoint_if_there_is_one(history: History, tmp_path: Path) -> None:
    uri = f"file:{tmp_path / 'savepoint'}"
    none, first, second = Savepoint(uri), Savepoint(uri), Savepoint(uri)
    write_last(open_store(f"file:{tmp_path / 'checkpoints'}"), none)
    assert "no checkpoint" in str(none.error)
    assert not (tmp_path / "savepoint").exists()
    write_last(history.store, first)
    assert first.epoch == read_savepoint(open_store(uri)).epoch == 4
    write_last(history.store, second)  # it is that very savepoint
    assert (second.done, second.epoch, second.error) == (True, 4, None)
    history.run_epoch()
    third = Savepoint(uri)
    write_last(history.store, third)
    assert (third.done, third.epoch) == (True, None)
    assert isinstance(third.error, ObjectExists)
    assert read_savepoint(open_store(uri)).epoch == 4


def test_whoever_asked_for_a_last_savepoint_is_told_of_their_own(history: History, tmp_path: Path) -> None:
    good, bad = f"file:{tmp_path / 'good'}", "nothing:at/all"
    last = LastSavepoints([bad])
    last.ask(good)
    last.ask(bad)
    assert last.uris == [bad, good]
    while (savepoint := last.next()) is not None:
        write_last(history.store, savepoint)
    assert last.written == [good]
    last.answer(good, "job", None)
    with pytest.raises(InvalidSetting):
        last.answer(bad, "job", None)
    with pytest.raises(InvalidSetting):
        last.check()
    with pytest.raises(RayflowError, match="the job ended before"):
        last.answer("file:/never-asked-for", "job", None)


Running = tuple[LocalAttempt, Callable[[], None], CheckpointStore]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A job that counts and keeps one checkpoint, what gives it one record more, and its store."""
    url = f"embedded:{tmp_path / 'log'}"
    broker = Broker(url, tag="")
    broker.create("words")
    job = rf.Job("counting")
    job.stream("words", key=str, value=str).group_by_key().count(emit="record").to("counts")
    options = RunOptions(broker=url, state=tmp_path, checkpoint_interval=1, retain=1)
    connectors = OpenConnectors.of_run(options)
    store = open_store(options.checkpoint_store("counting"))
    attempt = LocalAttempt(
        plan_of(job),
        options,
        machine_ports(store, connectors),
        lambda task: MemoryStore(),
        ends={},
        savepoints=deque(),
        on_epoch=lambda times: None,
    )
    yield attempt, lambda: broker.append("words", [("a", "b")]), store
    attempt.close()
    connectors.close()
    broker.close()


def test_checkpoints_go_on_and_leave_what_is_copied(running: Running, target: Target) -> None:
    attempt, append, store = running
    coordinator = attempt.coordinator
    attempt.start()

    def until_epoch(epoch: int) -> None:
        append()
        while coordinator.manifest is None or coordinator.manifest.epoch < epoch:
            attempt.step()

    until_epoch(1)
    savepoint = Savepoint("there:")
    append()
    coordinator.savepoint(savepoint)
    while not target.reached.is_set():
        attempt.step()
    assert coordinator.manifest is not None
    (begun,) = coordinator._savepoints.pinned
    for epoch in range(begun + 1, begun + 5):
        until_epoch(epoch)
    while coordinator.collecting:
        attempt.step()
    kept = manifest_epochs(store)
    assert begun in kept
    assert len(kept) < 5
    target.go_on.set()
    while not savepoint.done:
        attempt.step()
    assert savepoint.error is None
    assert savepoint.epoch == begun
    assert read_savepoint(target).epoch == begun

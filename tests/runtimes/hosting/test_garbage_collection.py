"""Garbage collection at the end of an attempt: it delays no recovery, and deletes no object of the next attempt."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable, Sequence

import pytest

from rayflow.checkpoint.manifest import manifest_epochs
from rayflow.checkpoint.object_store import ObjectStore
from rayflow.core.errors import DiskFull
from rayflow.core.ids import Epoch
from rayflow.runtimes.hosting.garbage_collection import PATIENCE, GarbageCollection
from rayflow.runtimes.machine.background import Thread
from tests.checkpoint.model import History


class Slow(ObjectStore):
    """A store whose listing waits for `go_on`, and whose deletion waits for `closing`."""

    def __init__(self) -> None:
        super().__init__("memory:")
        self.listing, self.go_on = threading.Event(), threading.Event()
        self.deleting, self.closing = threading.Event(), threading.Event()
        self.go_on.set()
        self.happened: list[str] = []

    def list(self, prefix: str) -> builtins.list[str]:
        self.listing.set()
        assert self.go_on.wait(60)
        return super().list(prefix)

    def delete(self, names: Sequence[str]) -> None:
        self.deleting.set()
        assert self.closing.wait(60)
        super().delete(names)
        self.happened.append("deleted")


class Closing(Thread):
    """A background that sets `closing` when its owner closes it, and `go_on` at the third `wait`."""

    def __init__(self, closing: threading.Event, go_on: threading.Event) -> None:
        super().__init__()
        self._closing = closing
        self.go_on = go_on
        self.waits = 0

    def close(self) -> None:
        self._closing.set()
        super().close()

    def wait(self, timeout: float) -> None:
        self.waits += 1
        if self.waits == 3:
            self.go_on.set()
        super().wait(0.0 if self.waits < 3 else 60.0)

    def ended(self) -> bool:
        """Wait for the thread."""
        assert self._thread is not None
        self._thread.join(60)
        return not self._thread.is_alive()


@pytest.fixture
def store() -> Slow:
    """A store with four checkpoints."""
    store = Slow()
    history = History(store)
    for _ in range(4):
        history.run_epoch()
    return store


def collecting(store: Slow) -> tuple[GarbageCollection, Closing]:
    background = Closing(store.closing, store.go_on)
    garbage = GarbageCollection("job", store, 1, background, lambda: ())
    garbage.collect()
    return garbage, background


def test_a_collection_that_hangs_over_a_listing_is_abandoned_and_deletes_nothing_later(store: Slow) -> None:
    before = store.list("")
    store.listing.clear()
    store.go_on.clear()
    garbage, background = collecting(store)
    assert store.listing.wait(60)
    garbage.close()
    assert not store.go_on.is_set()
    store.go_on.set()
    assert background.ended()
    assert store.list("") == before
    assert store.happened == []


def test_a_collection_that_deletes_is_waited_for(store: Slow) -> None:
    before = store.list("")
    garbage, background = collecting(store)
    assert store.deleting.wait(60)
    garbage.close()
    store.happened.append("closed")
    assert background.ended()
    assert store.happened == ["deleted", "deleted", "closed"]
    assert set(store.list("")) < set(before)


def test_the_end_of_a_job_waits_for_a_collection_that_lists(store: Slow) -> None:
    before = store.list("")
    store.closing.set()
    store.go_on.clear()
    garbage, _ = collecting(store)
    garbage.finish()
    garbage.close()
    assert store.happened == ["deleted", "deleted"]
    assert set(store.list("")) < set(before)


def test_the_end_of_a_job_does_not_wait_for_ever(store: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    before = store.list("")
    store.go_on.clear()
    garbage, background = collecting(store)
    waited: list[float] = []
    monkeypatch.setattr(background, "wait", waited.append)
    garbage.finish()
    garbage.close()
    assert sum(waited) == pytest.approx(PATIENCE, abs=0.1)
    assert not store.go_on.is_set()
    store.go_on.set()
    assert background.ended()
    assert store.list("") == before


def test_a_job_that_has_ended_does_not_fail_because_nothing_can_be_deleted(
    store: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(names: Sequence[str]) -> None:
        raise DiskFull("the quota is used up")  # some file systems need space to delete

    monkeypatch.setattr(store, "delete", full)
    garbage, _ = collecting(store)
    garbage.finish()
    garbage.close()
    assert "the quota is used up" in caplog.text


class Growing(ObjectStore):
    """A store where things happen while it is listed: `meanwhile`, one after the other, before each answer."""

    def __init__(self) -> None:
        super().__init__("memory:")
        self.meanwhile: builtins.list[Callable[[], object]] = []

    def list(self, prefix: str) -> builtins.list[str]:
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return super().list(prefix)


def test_a_checkpoint_whose_copy_begins_while_the_store_is_listed_stays_whole() -> None:
    store = Growing()
    history = History(store)
    history.run_epoch()
    copied: list[Epoch] = []

    def copy_the_next() -> None:
        history.run_epoch()
        copied.append(history.epoch)

    store.meanwhile = [copy_the_next, history.run_epoch]
    background = Thread()
    garbage = GarbageCollection("job", store, 1, background, lambda: set(copied))
    garbage.collect()
    while garbage.running:
        background.wait(60)
        garbage.step()
    assert copied == [2]
    assert manifest_epochs(store) == [2, 3]
    garbage.close()

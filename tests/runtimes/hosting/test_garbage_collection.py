"""Garbage collection at the end of an attempt: it delays no recovery, and deletes no object of the next attempt."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Sequence

import pytest

from rayflow.checkpoint.object_store import ObjectStore
from rayflow.runtimes.hosting.garbage_collection import GarbageCollection
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
    """A background that sets `closing` when its owner waits for it."""

    def __init__(self, closing: threading.Event) -> None:
        super().__init__()
        self._closing = closing

    def close(self) -> None:
        self._closing.set()
        super().close()

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
    background = Closing(store.closing)
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

"""Reading checkpoints while another attempt commits newer ones and deletes those before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import pytest

from rayflow.checkpoint import manifest
from rayflow.checkpoint.attempts import claim_attempt, newest_attempt
from rayflow.checkpoint.inspect import list_checkpoints, show
from rayflow.checkpoint.layout import manifest_name
from rayflow.checkpoint.manifest import manifest_epochs, newest_committer, newest_manifest
from rayflow.checkpoint.object_store import ObjectStore
from rayflow.checkpoint.retention import collect
from rayflow.checkpoint.superseded import starting_from
from rayflow.core.errors import Fenced, ObjectMissing
from rayflow.core.ids import Epoch
from tests.checkpoint.model import History


class SlowStore(ObjectStore):
    """A store in which something happens before some of the reads."""

    def __init__(self) -> None:
        super().__init__("memory:")
        self.before: Callable[[str], None] = lambda name: None
        self.reads = 0

    def get(self, name: str) -> bytes:
        self.reads += 1
        self.before(name)
        return super().get(name)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        self.before(name)
        return super().get_range(name, start, length)


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def history(store: SlowStore) -> History:
    history = History(store)
    for _ in range(3):
        history.run_epoch()
    return history


def overtaken(history: History, at: Sequence[str]) -> Callable[[str], None]:
    """Two epochs are committed, and all before the last one deleted, whenever an object of `at` is read first."""
    waiting = set(at)

    def before(name: str) -> None:
        if name in waiting:
            waiting.remove(name)
            history.run_epoch()
            history.run_epoch()
            collect(history.store, keep=1)

    return before


def test_the_newest_manifest_is_looked_for_again_as_often_as_a_newer_one_replaces_it(
    store: SlowStore, history: History
) -> None:
    store.before = overtaken(history, [manifest_name(3), manifest_name(5)])
    assert newest_manifest(store) == history.manifests[7]


def test_who_committed_the_newest_checkpoint_is_found_while_it_is_replaced(store: SlowStore, history: History) -> None:
    history.attempt = 6
    store.before = overtaken(history, [manifest_name(3)])
    assert newest_committer(store) == 6
    assert newest_committer(ObjectStore("memory:")) == 0


def test_an_attempt_is_claimed_while_the_newest_checkpoint_is_replaced(store: SlowStore, history: History) -> None:
    store.before = overtaken(history, [manifest_name(3)])
    assert claim_attempt(store, [0], "aa").attempt == 2
    assert newest_attempt(store) == 2


def test_a_newest_manifest_that_disappears_without_a_newer_one_is_missing(store: SlowStore, history: History) -> None:
    store.before = lambda name: store.delete([name])
    with pytest.raises(ObjectMissing, match=manifest_name(3)):
        newest_manifest(store)
    assert store.reads == 1


def test_a_manifest_that_is_listed_and_missing_is_read_once(store: SlowStore, history: History) -> None:
    def missing(name: str) -> None:
        raise ObjectMissing(name)

    store.before = missing
    with pytest.raises(ObjectMissing):
        newest_manifest(store)
    assert store.reads == 1


@pytest.mark.parametrize("which", ["manifest", "first object", "last object"])
def test_the_newest_checkpoint_is_shown_whole_while_it_is_replaced(
    store: SlowStore, history: History, which: str
) -> None:
    newest = history.manifests[3]
    read = {"manifest": manifest_name(3), "first object": newest.segments[3][0], "last object": newest.outputs[-1]}
    store.before = overtaken(history, [read[which]])
    assert show(store).manifest == history.manifests[5]


def test_a_checkpoint_that_is_deleted_while_it_is_shown_does_not_exist(store: SlowStore, history: History) -> None:
    store.before = overtaken(history, [history.manifests[3].segments[3][0]])
    with pytest.raises(ObjectMissing, match="no checkpoint of epoch 3"):
        show(store, 3)


def test_a_checkpoint_that_is_deleted_while_others_are_listed_is_left_out(store: SlowStore, history: History) -> None:
    store.before = overtaken(history, [manifest_name(2)])
    assert [(info.epoch, info.problem) for info in list_checkpoints(store)] == [(1, None)]
    assert manifest_epochs(store) == [5]


def test_an_attempt_is_fenced_when_the_checkpoint_that_it_starts_from_was_replaced(
    store: SlowStore, history: History
) -> None:
    store.before = overtaken(history, [manifest_name(3)])
    with pytest.raises(Fenced, match="committed epoch 5 and deleted checkpoint 3"), starting_from(store, 3):
        store.get(manifest_name(3))


def test_a_checkpoint_that_lacks_an_object_stays_an_error_of_its_own(store: SlowStore, history: History) -> None:
    lost = history.manifests[3].segments[3][0]
    store.delete([lost])
    with pytest.raises(ObjectMissing, match=lost), starting_from(store, 3):
        store.get(lost)


def test_a_lost_object_is_reported_however_fast_the_job_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is missing in every checkpoint, and each one is replaced before it has been read again."""
    epochs = count(1)
    tried: list[Epoch] = []
    monkeypatch.setattr(manifest, "manifest_epochs", lambda store: [next(epochs)])

    def read(listed: Sequence[Epoch]) -> None:
        tried.extend(listed)
        raise ObjectMissing("segments/lost is missing")

    with pytest.raises(ObjectMissing):
        manifest.read_current(ObjectStore("memory:"), read)
    assert tried == list(range(1, manifest.READS + 1))

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from rayflow.checkpoint.attempts import claim_attempt, newest_attempt, read_claim
from rayflow.checkpoint.claim import Claim
from rayflow.checkpoint.inspect import verify
from rayflow.checkpoint.layout import ATTEMPTS, attempt_name
from rayflow.checkpoint.manifest import newest_manifest
from rayflow.checkpoint.object_store import ObjectStore
from rayflow.checkpoint.restore import prepare_store
from rayflow.checkpoint.retention import collect
from rayflow.checkpoint.rewind import rewind_to
from rayflow.core.errors import DamagedObject, ObjectMissing
from rayflow.state.base import Stamp
from tests.checkpoint.model import TASKS, CheckedStore, History

NEW_LINEAGE = "ef" * 16


@pytest.fixture
def history() -> History:
    """Six epochs, with a base of the first task at the second."""
    history = History(ObjectStore("memory:"), attempt=4)
    for _ in range(6):
        history.run_epoch()
        if history.epoch == 2:
            history.write_base(TASKS[0])
    return history


def test_the_rewound_checkpoint_is_the_newest_and_restores_to_its_rows(history: History) -> None:
    manifest = rewind_to(history.store, 4, Claim(5, (0, 1)), lineage=NEW_LINEAGE, created=9)
    assert newest_manifest(history.store) == manifest
    assert (manifest.epoch, manifest.published, manifest.attempt, manifest.workers) == (7, 7, 5, (0, 1))
    for task in TASKS:
        for local in (CheckedStore(), CheckedStore(history.expected[6][task], Stamp(history.lineage, 6))):
            prepare_store(local, history.store, manifest, task)
            assert (local.held, local.stamp) == (history.expected[4][task], Stamp(NEW_LINEAGE, 7))


def test_what_the_rewound_checkpoint_needs_outlives_the_one_it_was_made_from(history: History) -> None:
    manifest = rewind_to(history.store, 4, Claim(5, (0, 1)), lineage=NEW_LINEAGE, created=9)
    assert collect(history.store, 1).kept == (7,)
    assert verify(history.store) == []
    for task in TASKS:
        local = CheckedStore()
        prepare_store(local, history.store, manifest, task)
        assert local.held == history.expected[4][task]


def test_rewinding_to_a_checkpoint_that_is_gone_says_so(history: History) -> None:
    collect(history.store, 1)
    with pytest.raises(ObjectMissing):
        rewind_to(history.store, 4, Claim(5, (0, 1)), lineage=NEW_LINEAGE, created=9)


def test_no_two_claim_the_same_attempt() -> None:
    store = ObjectStore("memory:")
    with ThreadPoolExecutor(8) as pool:
        claimed = [claim.attempt for claim in pool.map(lambda _: claim_attempt(store), range(16))]
    assert sorted(claimed) == list(range(1, 17))


def test_an_attempt_is_never_claimed_again_after_retention_removed_its_claim(history: History) -> None:
    history.store.create(attempt_name(3), b"")
    history.store.create(attempt_name(4), b"")
    collect(history.store, 1)
    assert history.store.list(ATTEMPTS) == [attempt_name(4)]
    history.store.delete([attempt_name(4)])
    assert newest_attempt(history.store) == 4
    assert claim_attempt(history.store).attempt == 5


def test_a_claim_names_the_slots_of_all_attempts_since_the_last_commit(history: History) -> None:
    assert newest_manifest(history.store).workers == (0, 1)  # type: ignore[union-attr]
    assert claim_attempt(history.store, [2], "x") == Claim(5, (0, 1, 2), "x")
    assert claim_attempt(history.store, [3]) == Claim(6, (0, 1, 2, 3), "")
    rewind_to(history.store, 6, claim_attempt(history.store), lineage=NEW_LINEAGE, created=9)
    assert claim_attempt(history.store, [0]).slots == (0, 1, 2, 3)


def test_all_who_try_to_begin_in_one_store_begin_the_same_lineage() -> None:
    store = ObjectStore("memory:")
    assert claim_attempt(store, [0]).lineage == ""
    assert claim_attempt(store, [0], "a").lineage == "a"
    assert claim_attempt(store, [0], "b").lineage == "a"


def test_a_damaged_claim_is_refused_by_its_name() -> None:
    store = ObjectStore("memory:")
    store.put(attempt_name(1), [b"{"])
    with pytest.raises(DamagedObject, match=attempt_name(1)):
        read_claim(store, 1)

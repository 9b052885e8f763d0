"""Random histories: whatever happened, a checkpoint that was kept restores to exactly the rows of the model."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from rayflow.checkpoint.chain import restore_rows
from rayflow.checkpoint.inspect import verify
from rayflow.checkpoint.layout import manifest_name
from rayflow.checkpoint.manifest import read_manifest
from rayflow.checkpoint.object_store import ObjectStore
from rayflow.checkpoint.restore import prepare_store
from rayflow.checkpoint.retention import collect
from rayflow.core.errors import DamagedObject
from rayflow.core.ids import Epoch
from rayflow.state.base import Stamp
from tests.checkpoint.model import TASKS, CheckedStore, History

steps = st.lists(
    st.one_of(
        st.builds(lambda changes: ("epoch", changes), st.integers(0, 8)),
        st.builds(lambda task: ("base", task), st.integers(0, len(TASKS) - 1)),
        st.builds(lambda keep: ("collect", keep), st.integers(1, 4)),
        st.just(("savepoint", 4)),
        st.just(("attempt", 0)),
    ),
    min_size=1,
    max_size=25,
)


def run(seed: int, script: list[tuple[str, int]]) -> tuple[History, list[Epoch]]:
    """Run a script; gives the history and the epochs whose checkpoints are kept."""
    history = History(ObjectStore("memory:"), random.Random(seed))
    history.run_epoch()
    kept = {1}
    for action, number in script:
        if action in ("epoch", "savepoint"):
            kept.add(history.run_epoch(changes=number, savepoint=action == "savepoint").epoch)
        elif action == "base":
            history.write_base(TASKS[number])
        elif action == "collect":
            kept = set(collect(history.store, number).kept)
        else:
            history.attempt += 1
            newest = history.manifests[history.epoch]  # a base that no manifest names dies with its attempt
            history.bases, history.segments = dict(newest.bases), dict(newest.segments)
    return history, sorted(kept)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), steps, st.data())
def test_every_kept_checkpoint_restores_to_the_rows_of_the_model(
    seed: int, script: list[tuple[str, int]], data: st.DataObject
) -> None:
    history, kept = run(seed, script)
    assert verify(history.store) == []
    for epoch in kept:
        manifest = read_manifest(history.store, epoch)
        assert manifest == history.manifests[epoch]
        older = data.draw(st.integers(1, epoch))
        for task in TASKS:
            expected = history.expected[epoch][task]
            from_nothing = CheckedStore()
            from_older = CheckedStore(history.expected[older][task], Stamp(history.lineage, older))
            stamped = CheckedStore(expected, Stamp(history.lineage, epoch))
            for local in (from_nothing, from_older, stamped):
                prepare_store(local, history.store, manifest, task)
                assert local.held == expected
                assert local.stamp == Stamp(history.lineage, epoch)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), steps, st.data())
def test_a_flipped_byte_is_found_by_verify_and_never_restored(
    seed: int, script: list[tuple[str, int]], data: st.DataObject
) -> None:
    history, kept = run(seed, script)
    epoch = data.draw(st.sampled_from(kept))
    manifest = history.manifests[epoch]
    name = data.draw(st.sampled_from([manifest_name(epoch), *manifest.objects()]))
    content = bytearray(history.store.get(name))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    history.store.put(name, [bytes(content)])

    assert name in {finding.name for finding in verify(history.store, epoch)}
    found = 0
    for task in TASKS:
        try:
            runs = list(restore_rows(history.store, read_manifest(history.store, epoch), task))
        except DamagedObject as error:
            found += name in str(error)
            continue
        rows = {key: value for keys, values in runs for key, value in zip(keys, values, strict=True)}
        assert rows == history.expected[epoch][task]
    if name.startswith(("manifests/", "bases/")):
        assert found

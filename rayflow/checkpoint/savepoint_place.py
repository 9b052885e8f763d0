"""Checks, without writing anything, whether a place can take a savepoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rayflow.checkpoint.layout import ATTEMPTS, MANIFESTS, SAVEPOINT
from rayflow.checkpoint.manifest import read_savepoint
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.place import overlap
from rayflow.checkpoint.savepoint_claim import check_claim
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import InvalidSetting, ObjectExists
from rayflow.core.ids import Epoch


def check_place(uri: str, source: str, job: str, folders: Sequence[Path] = ()) -> None:
    """Raise what makes a savepoint at `uri` fail, as far as it shows before it is written.

    `source`: URI of the job's own checkpoint store. `folders`: where none may be written (`RunOptions.folders`).
    Raises InvalidSetting for a URI that cannot be used, ObjectExists when there is another savepoint or the claim of
    one, and what the store raises when it cannot be read.
    """
    check_outside(uri, folders)
    target = open_store(uri)
    check_no_job(target, source)
    if target.list(SAVEPOINT):
        raise ObjectExists(f"{uri} already contains a savepoint", advice="Choose another URI")
    check_claim(target, source, job)


def written_after(epoch: Epoch, uri: str, source: str, job: str) -> Epoch | None:
    """The epoch of the job's own savepoint at `uri`, if it is later than `epoch`; else None.

    So a request that is repeated, because its first answer was lost, finds what it has written. Raises what the store
    raises, DamagedObject.
    """
    target = open_store(uri)
    if not target.list(SAVEPOINT):
        return None
    try:
        check_claim(target, source, job)
    except ObjectExists:
        return None
    found = read_savepoint(target).epoch
    return found if found > epoch else None


def check_outside(uri: str, folders: Sequence[Path]) -> None:
    """Raise InvalidSetting when `uri` lies within or around one of `folders`."""
    for folder in folders:
        if overlap(uri, f"file:{folder}"):
            raise InvalidSetting(
                f"{uri} overlaps {folder}, which belongs to a run", advice="Choose a URI outside of it"
            )


def check_no_job(target: CheckpointStore, source: str) -> None:
    """Raise InvalidSetting when `target` is a job's checkpoint store, or lies within or around that of `source`."""
    if overlap(source, target.uri) or target.list(ATTEMPTS) or target.list(MANIFESTS):
        raise InvalidSetting(
            f"{target.uri} overlaps a job's checkpoint store, where retention deletes objects",
            advice="Choose a URI outside of it",
        )

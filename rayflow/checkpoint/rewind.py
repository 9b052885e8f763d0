"""Resumes from an older checkpoint of the job's own store, when the user requests it."""

from __future__ import annotations

from dataclasses import replace

from rayflow.checkpoint.claim import Claim
from rayflow.checkpoint.manifest import Manifest, manifest_epochs, newest_manifest, read_manifest, write_manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import DamagedObject
from rayflow.core.ids import Epoch


def origin_of_checkpoint(epoch: Epoch) -> str:
    """The value of `Manifest.restored_from` for a lineage that began with an older checkpoint.

    >>> origin_of_checkpoint(12)
    'checkpoint 12'
    """
    return f"checkpoint {epoch}"


def lineage_origin(store: CheckpointStore) -> str | None:
    """The origin of the newest checkpoint's lineage. Also None if its manifest is damaged: then the user's request to
    go back to an older one was not carried out before."""
    try:
        newest = newest_manifest(store)
    except DamagedObject:
        return None
    return None if newest is None else newest.restored_from


def rewind_to(store: CheckpointStore, epoch: Epoch, claim: Claim, *, lineage: str, created: int) -> Manifest:
    """Make the checkpoint of `epoch` the newest one again, under a new lineage. Returns its manifest.

    Output that was published after it stays published, and the job publishes it again when it gets there. Its own
    staged output counts as published. `claim` must be new: the manifest names its slots, which are not fenced yet, for
    the next start. `lineage`: hex of a new UUID; `created`: ms since the Unix epoch.

    Raises ObjectMissing if there is no such checkpoint, DamagedObject.
    """
    old = read_manifest(store, epoch)
    newest = manifest_epochs(store)[-1] + 1
    segments = {newest if e == max(old.segments) else e: names for e, names in old.segments.items()}
    manifest = replace(
        old,
        lineage=lineage,
        epoch=newest,
        attempt=claim.attempt,
        created=created,
        workers=claim.slots,
        segments=segments,
        outputs=(),
        published=newest,
        savepoint=False,
        restored_from=origin_of_checkpoint(epoch),
    )
    write_manifest(store, manifest)
    return manifest

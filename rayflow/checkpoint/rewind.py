"""Going on from an older checkpoint of the job's own store, when the user asks for it."""

from __future__ import annotations

from dataclasses import replace

from rayflow.checkpoint.claim import Claim
from rayflow.checkpoint.manifest import Manifest, manifest_epochs, read_manifest, write_manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.ids import Epoch


def rewind_to(store: CheckpointStore, epoch: Epoch, claim: Claim, *, lineage: str, created: int) -> Manifest:
    """Make the checkpoint of `epoch` the newest one again, under a new lineage, and give its manifest.

    What was published after it stays published, and will be published again as the job gets there. Its own staged
    output counts as published. `claim` must be new: its slots, which nobody has fenced yet, are named for whoever
    starts from here. `lineage`: hex of a new UUID; `created`: ms since the Unix epoch.

    Raises ObjectMissing when there is no such checkpoint, DamagedObject.
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
        restored_from=f"checkpoint {epoch}",
    )
    write_manifest(store, manifest)
    return manifest

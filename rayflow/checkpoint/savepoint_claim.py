"""The claim of a savepoint's store: it keeps the savepoints of two jobs from overwriting each other's objects."""

from __future__ import annotations

import json

from rayflow.checkpoint.layout import SAVEPOINT_CLAIM
from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.place import place_of
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import ObjectExists

FORMAT = 1


def claim_savepoint(target: CheckpointStore, source: CheckpointStore, manifest: Manifest) -> None:
    """Claim `target` for savepoints of the history that `manifest` belongs to: its job, its lineage, in `source`.

    Objects are named alike in every store: by epoch, attempt and worker. Within one store a name stands for the same
    bytes forever, so all checkpoints of one history may be copied into one target, also at the same time: no copy
    changes what another has written, and one of them becomes the savepoint. The epoch is therefore no part of the
    claim, and a copy that was cut off is completed by one of a later checkpoint. The claim stays for good: were it
    deleted with the copy complete, a second job that had looked before could still claim the store.

    Raises ObjectExists when `target` is claimed for another history.
    """
    claim = encode_claim(manifest.job, manifest.lineage, "/".join(place_of(source.uri)))
    try:
        target.create(SAVEPOINT_CLAIM, claim)
    except ObjectExists as error:
        found = target.get(SAVEPOINT_CLAIM)
        if found != claim:  # else ours: of an earlier copy, or the store's answer was lost
            raise _claimed(target, found) from error


def check_claim(target: CheckpointStore, source: str, job: str) -> None:
    """Raise ObjectExists when `target` is claimed by another job or for another store than `source`, a URI.

    The lineage is not compared: a job that has not committed yet does not know its own.
    """
    if not target.list(SAVEPOINT_CLAIM):
        return
    found = target.get(SAVEPOINT_CLAIM)
    try:
        document = json.loads(found)
        owner = document["job"], document["source"]
    except (ValueError, KeyError, TypeError):
        owner = "", ""
    if owner != (job, "/".join(place_of(source))):
        raise _claimed(target, found)


def _claimed(target: CheckpointStore, found: bytes) -> ObjectExists:
    return ObjectExists(
        f"{target.uri} is claimed for another savepoint: {found.decode(errors='replace').strip()}",
        advice="Choose another URI. If nobody writes that savepoint any more (its writer crashed), delete "
        f"{SAVEPOINT_CLAIM} there and repeat the command",
    )


def encode_claim(job: str, lineage: str, source: str) -> bytes:
    """The claim as it is stored. `source`: the place of the store that the objects are copied from."""
    document = {"format": FORMAT, "job": job, "lineage": lineage, "source": source}
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"

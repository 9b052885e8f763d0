"""Chooses where a run starts: from its own last checkpoint, a savepoint, or an older checkpoint."""

from __future__ import annotations

import uuid

from rayflow.checkpoint.attempts import claim_attempt
from rayflow.checkpoint.manifest import newest_manifest
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.rewind import lineage_origin, origin_of_checkpoint, rewind_to
from rayflow.checkpoint.savepoint import start_from_savepoint
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.clock import Clock
from rayflow.core.logging import get_logger
from rayflow.runtimes.hosting.options import RunOptions

log = get_logger("rayflow.start")


def choose_start(store: CheckpointStore, options: RunOptions, job: str, clock: Clock) -> None:
    """Make the requested starting point the newest checkpoint. A repeated request has no further effect.

    Raises ObjectMissing if it does not exist, DamagedObject, CheckpointStoreFailed.
    """
    if options.from_savepoint is not None:
        newest = newest_manifest(store)
        savepoint = open_store(options.from_savepoint)
        if newest is not None and newest.restored_from == savepoint.uri:
            log.info("this job already started from that savepoint: resuming from its own last checkpoint")
            return
        start_from_savepoint(savepoint, store, claim_attempt(store), job=job, lineage=uuid.uuid4().hex, created=clock())
    elif options.from_checkpoint is not None:
        if lineage_origin(store) == origin_of_checkpoint(options.from_checkpoint):
            log.info("this job already went back to that checkpoint: resuming from its last one")
            return
        rewind_to(store, options.from_checkpoint, claim_attempt(store), lineage=uuid.uuid4().hex, created=clock())

"""Chooses where a run starts: from its own last checkpoint, a savepoint, or an older checkpoint."""

from __future__ import annotations

import uuid
from dataclasses import replace

from rayflow.checkpoint.attempts import claim_attempt
from rayflow.checkpoint.manifest import Manifest, newest_manifest, read_manifest, read_savepoint
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.rewind import lineage_origin, origin_of_checkpoint, rewind_to
from rayflow.checkpoint.savepoint import start_from_savepoint
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.logging import get_logger
from rayflow.engine.recovery import check_states, check_systems
from rayflow.engine.regrouping import earlier_partitions, progress_for
from rayflow.engine.topology import check_sources, resolve
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.segments import positions_of, read_progress
from rayflow.runtimes.hosting.sources import Sources

log = get_logger("rayflow.start")


def choose_start(plan: JobPlan, options: RunOptions, ports: Ports) -> None:
    """Make the requested starting point the newest checkpoint. A repeated request has no further effect.

    First everything is checked that would keep the job from starting there: a refused request leaves the job's own
    newest checkpoint, and its attempts, as they are. Raises ObjectMissing if the starting point does not exist,
    DamagedObject, CheckpointStoreFailed, and what a start from it raises (`engine.recovery`, `engine.topology`,
    `Sources.start`).
    """
    store, lineage, created = ports.checkpoints, uuid.uuid4().hex, ports.clock()
    if options.from_savepoint is not None:
        newest = newest_manifest(store)
        savepoint = open_store(options.from_savepoint)
        if newest is not None and newest.restored_from == savepoint.uri:
            log.info("this job already started from that savepoint: resuming from its own last checkpoint")
            return
        saved = read_savepoint(savepoint)
        _check(plan, replace(saved, job=plan.name, outputs=(), systems={}), savepoint, options, ports)
        start_from_savepoint(savepoint, store, claim_attempt(store), job=plan.name, lineage=lineage, created=created)
    elif options.from_checkpoint is not None:
        if lineage_origin(store) == origin_of_checkpoint(options.from_checkpoint):
            log.info("this job already went back to that checkpoint: resuming from its last one")
            return
        old = read_manifest(store, options.from_checkpoint)
        _check(plan, replace(old, outputs=()), store, options, ports)
        rewind_to(store, options.from_checkpoint, claim_attempt(store), lineage=lineage, created=created)


def _check(plan: JobPlan, manifest: Manifest, store: CheckpointStore, options: RunOptions, ports: Ports) -> None:
    """Raise what a start of the job from `manifest`, whose objects are in `store`, refuses."""
    sources = Sources(plan, ports)
    systems, partitions = sources.systems(), sources.partitions()
    check_systems(manifest, systems)
    check_sources(manifest, partitions)
    check_states(plan, manifest, drop_state=options.drop_state)
    earlier = earlier_partitions(plan, manifest)
    topology = resolve(plan, partitions, earlier, allow_new_partitions=options.allow_new_partitions)
    progress = progress_for(plan, topology.stages, manifest, read_progress(store, manifest, ports.together))
    sources.place(topology.sources)
    try:
        sources.start(positions_of(progress), topology.tasks(), systems)
    finally:
        sources.close()

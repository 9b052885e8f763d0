"""Savepoints: one checkpoint with everything it needs, in a store of its own, and a job's start from one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from rayflow.checkpoint.bases import BaseRef
from rayflow.checkpoint.claim import Claim
from rayflow.checkpoint.integrity import check_object
from rayflow.checkpoint.layout import (
    SAVEPOINT,
    SegmentObject,
    base_part_name,
    parse_name,
    segment_name,
)
from rayflow.checkpoint.manifest import Manifest, encode_manifest, manifest_epochs, read_savepoint, write_manifest
from rayflow.checkpoint.savepoint_claim import claim_savepoint
from rayflow.checkpoint.savepoint_place import check_no_job
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import DamagedObject, ObjectExists
from rayflow.core.ids import Attempt, TaskId, WorkerId


def write_savepoint(
    source: CheckpointStore,
    manifest: Manifest,
    target: CheckpointStore,
    *,
    before_each: Callable[[], None] = lambda: None,
) -> Manifest:
    """Copy the checkpoint of `manifest` from `source` into `target`, checking every object on the way.

    The savepoint is there once this returns; cut off before, `target` holds a claim and objects but no savepoint, and
    a call with a checkpoint of the same history completes it. A savepoint that is there already, and is this very one,
    is left as it is. Pin the epoch while it runs (`collect(pinned=)`), so that retention leaves its objects.
    `before_each` is called before each object; what it raises cuts the copy off.

    Raises InvalidSetting when `target` is a job's checkpoint store, or lies within or around `source`; ObjectExists
    when it holds another savepoint, or is claimed for one; DamagedObject, ObjectMissing, what the stores raise.
    """
    check_no_job(target, source.uri)
    saved = replace(manifest, outputs=(), published=manifest.epoch, savepoint=True)
    encoded = encode_manifest(saved)
    if target.list(SAVEPOINT):
        _check_same(target, encoded)
        return saved
    claim_savepoint(target, source, manifest)
    _copy(source, target, {name: name for name in saved.objects()}, before_each)
    before_each()
    try:
        target.create(SAVEPOINT, encoded)
    except ObjectExists:
        _check_same(target, encoded)  # ours, if the store did it but its answer was lost
    return saved


def _check_same(target: CheckpointStore, encoded: bytes) -> None:
    if target.get(SAVEPOINT) != encoded:
        raise ObjectExists(f"{target.uri} already contains a savepoint", advice="Choose another URI")


def start_from_savepoint(
    savepoint: CheckpointStore,
    target: CheckpointStore,
    claim: Claim,
    *,
    job: str,
    lineage: str,
    created: int,
) -> Manifest:
    """Make the savepoint the newest checkpoint in a job's own store, under a new lineage, and give its manifest.

    Objects are copied under names of the attempt of `claim`, which must be new, so they meet none that are there; its
    slots, which nobody has fenced yet, are named for whoever starts from here. The epoch is the savepoint's, or the
    next free one when the job's store has that epoch already. All output of a savepoint counts as published. The
    manifest comes last: cut off before, the store is as it was.

    Args:
        lineage: hex of a new UUID. created: ms since the Unix epoch.

    Raises ObjectMissing when there is no savepoint, DamagedObject, FormatTooNew, and what the stores raise.
    """
    saved, attempt = read_savepoint(savepoint), claim.attempt
    epoch = max(saved.epoch, *(present + 1 for present in manifest_epochs(target)), 0)
    names: dict[str, str] = {}
    segments = {}
    for saved_epoch, originals in saved.segments.items():
        renamed = [segment_name(saved_epoch, attempt, _slot_of(original)) for original in originals]
        names.update(zip(originals, renamed, strict=True))
        segments[epoch if saved_epoch == saved.epoch else saved_epoch] = tuple(renamed)
    bases = {task: _renamed_base(task, base, attempt, names) for task, base in saved.bases.items()}
    _copy(savepoint, target, names)
    manifest = replace(
        saved,
        job=job,
        lineage=lineage,
        epoch=epoch,
        attempt=attempt,
        created=created,
        workers=tuple(sorted({*claim.slots, *saved.workers})),
        segments=segments,
        bases=bases,
        outputs=(),
        systems={},  # whoever starts from a savepoint says where its topics are now
        published=epoch,
        savepoint=False,
        restored_from=savepoint.uri,
    )
    write_manifest(target, manifest)
    return manifest


def _slot_of(segment: str) -> WorkerId:
    """The slot that wrote a segment: what is to be published of it is published under that slot."""
    kind = parse_name(segment)
    if not isinstance(kind, SegmentObject):
        raise DamagedObject(f"{segment} is named as a segment, and is none")
    return kind.worker


def _renamed_base(task: TaskId, base: BaseRef, attempt: Attempt, names: dict[str, str]) -> BaseRef:
    parts = tuple(base_part_name(task, base.epoch, attempt, index) for index in range(len(base.parts)))
    names.update(zip(base.parts, parts, strict=True))
    return replace(base, parts=parts)


def _copy(
    source: CheckpointStore,
    target: CheckpointStore,
    names: Mapping[str, str],
    before_each: Callable[[], None] = lambda: None,
) -> None:
    for original, name in names.items():
        before_each()
        data = source.get(original)
        check_object(original, data)
        target.put(name, [data])

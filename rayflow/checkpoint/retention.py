"""Decides which checkpoints stay, and deletes the objects that none of them needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from rayflow.checkpoint.layout import (
    AttemptObject,
    BasePartObject,
    ManifestObject,
    PublishedObject,
    SegmentObject,
    manifest_name,
    parse_name,
    published_name,
    task_folder,
)
from rayflow.checkpoint.manifest import Manifest, manifest_epochs, read_manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.ids import Epoch


@dataclass(frozen=True, slots=True)
class Collected:
    """What was deleted, and the epochs of the checkpoints that remain, ascending."""

    deleted: tuple[str, ...]
    kept: tuple[Epoch, ...]


def kept_manifests(manifests: Sequence[Manifest], keep: int, pinned: Collection[Epoch] = ()) -> list[Manifest]:
    """The newest `keep` checkpoints (at least one), all savepoints and those `pinned`, ascending by epoch."""
    by_epoch = sorted(manifests, key=lambda manifest: manifest.epoch)
    wanted = {*pinned, *(manifest.epoch for manifest in by_epoch[-max(keep, 1) :])}
    return [manifest for manifest in by_epoch if manifest.savepoint or manifest.epoch in wanted]


def garbage(names: Sequence[str], kept: Sequence[Manifest]) -> list[str]:
    """Those of `names` that no checkpoint of `kept` needs and that no attempt may be about to use, manifests first.

    Objects that the newest checkpoint's attempt may still be writing stay: its segments of later epochs, and its bases
    until the checkpoint names a newer one. An older attempt cannot commit any more, because the epoch that it would
    have to commit first exists, so its objects are garbage. Objects of a newer attempt stay, and so does any unknown
    name.
    """
    if not kept:
        return []
    newest = max(kept, key=lambda manifest: manifest.epoch)
    needed: set[str] = set()
    needed.update(*(manifest.objects() for manifest in kept))
    needed.update(manifest_name(manifest.epoch) for manifest in kept)
    needed.update(published_name(manifest.lineage, manifest.epoch) for manifest in kept)
    base_epochs = {task_folder(task): base.epoch for task, base in newest.bases.items()}

    def is_over(name: str) -> bool:
        match parse_name(name):
            case ManifestObject(epoch) | PublishedObject(_, epoch):
                return epoch < newest.epoch
            case AttemptObject(attempt):
                return attempt < newest.attempt
            case SegmentObject(epoch, attempt, _):
                return attempt < newest.attempt or (attempt == newest.attempt and epoch <= newest.epoch)
            case BasePartObject(folder, epoch, attempt, _):
                superseded = attempt == newest.attempt and epoch < base_epochs.get(folder, 0)
                return attempt < newest.attempt or superseded
        return False

    found = [name for name in names if name not in needed and is_over(name)]
    return sorted(found, key=lambda name: not isinstance(parse_name(name), ManifestObject))


def collect(
    store: CheckpointStore,
    keep: int,
    pinned: Callable[[], Collection[Epoch]] = tuple,
    *,
    before_deleting: Callable[[], None] = lambda: None,
) -> Collected:
    """Delete what the last `keep` checkpoints, all savepoints and those `pinned` (for example being copied) do not
    need.

    The current coordinator calls it after it has committed a checkpoint. It deletes manifests first, so that an
    interrupted call leaves no checkpoint with missing parts. If a manifest cannot be read, it deletes nothing, because
    this may be the manifest of a savepoint: raises DamagedObject, and the errors of the store. `pinned` is
    called when all manifests are read: a checkpoint whose copy begins later is the newest of them, or newer.
    `before_deleting` is called once, between reading and deleting; if it raises, nothing is deleted.
    """
    # Names first, so that they do not include what is committed while the manifests are read.
    names = store.list("")
    manifests = [read_manifest(store, epoch) for epoch in manifest_epochs(store)]
    kept = kept_manifests(manifests, keep, pinned())
    dead = garbage(names, kept)
    manifest_count = sum(isinstance(parse_name(name), ManifestObject) for name in dead)
    before_deleting()
    store.delete(dead[:manifest_count])
    store.delete(dead[manifest_count:])
    return Collected(tuple(dead), tuple(manifest.epoch for manifest in kept))

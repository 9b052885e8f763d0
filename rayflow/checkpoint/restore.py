"""Brings a task's store to a checkpoint in the cheapest way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rayflow.checkpoint.chain import Chain, deltas_after
from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.ids import Epoch, TaskId
from rayflow.state.base import Rows, Stamp, Store


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """The result of a restore.

    Attributes:
        how: "local" (the store was at the checkpoint already), "deltas" (applied the missing deltas), "rebuilt" (base,
            if any, and deltas), or "empty" (the checkpoint does not contain the task).
        deltas: number of deltas read.
        rows: rows written.
        bytes: bytes read from the checkpoint store, without footers.
    """

    task: TaskId
    how: Literal["local", "deltas", "rebuilt", "empty"]
    deltas: int = 0
    rows: int = 0
    bytes: int = 0


def prepare_store(
    state_store: Store,
    checkpoint_store: CheckpointStore,
    manifest: Manifest,
    task: TaskId,
    chain: Chain | None = None,
) -> RestoreReport:
    """Bring `state_store` to the manifest's epoch, and report how.

    A store that is stamped with the manifest's lineage is trusted; any other is replaced. If the process dies at any
    point, the store is at a completed checkpoint, or has no stamp. Pass the same `chain` for all tasks of a worker, so
    that every segment is opened once.

    Raises DamagedObject, ObjectMissing, FormatTooNew, CheckpointStoreFailed, DiskFull.
    """
    stamp = Stamp(manifest.lineage, manifest.epoch)
    if state_store.stamp == stamp:
        return RestoreReport(task, "local")
    chain = Chain(checkpoint_store, manifest) if chain is None else chain
    if not chain.knows(task):
        state_store.replace((), stamp)
        return RestoreReport(task, "empty")
    epochs = _epochs_to_apply(state_store.stamp, chain, task)
    if epochs is None:
        return _rebuild(state_store, chain, task, stamp)
    rows = 0
    for epoch, delta in chain.deltas(task, epochs, known=True):
        state_store.apply(delta, Stamp(manifest.lineage, epoch))
        rows += len(delta)
    return RestoreReport(task, "deltas", len(epochs), rows, chain.delta_bytes(task, epochs))


def _epochs_to_apply(held: Stamp | None, chain: Chain, task: TaskId) -> tuple[Epoch, ...] | None:
    """The deltas to apply to the store's contents; None if it must be rebuilt.

    Rows that the segments have under the task's name from before its base may belong to another task: an upgrade can
    give the name to another stage, and a later one can give it back.
    """
    if held is None or held.lineage != chain.manifest.lineage:
        return None
    base = chain.manifest.bases.get(task)
    if base is not None and base.epoch > held.epoch:
        return None
    return deltas_after(chain.manifest, task, held.epoch)


def _rebuild(state_store: Store, chain: Chain, task: TaskId, stamp: Stamp) -> RestoreReport:
    rows = 0

    def counted() -> Iterator[Rows]:
        nonlocal rows
        for run in chain.rows(task):
            rows += len(run[0])
            yield run

    state_store.replace(counted(), stamp)
    pieces = chain.pieces(task)
    size = chain.delta_bytes(task, pieces.epochs) + (0 if pieces.base is None else pieces.base.bytes)
    return RestoreReport(task, "rebuilt", len(pieces.epochs), rows, size)

"""The chain of a checkpoint: per task a base, if there is one, then the deltas up to the checkpoint's epoch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from rayflow.checkpoint.base import BaseRef, read_base
from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.segment import SegmentReader
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import DamagedObject
from rayflow.core.ids import Epoch, TaskId
from rayflow.state.base import Delta, Rows

_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class RestorePieces:
    """What one task is restored from: the rows of `base` (None: none), then the deltas of `epochs` in order."""

    base: BaseRef | None
    epochs: tuple[Epoch, ...]


class Chain:
    """Reads what a manifest names. Segments are opened once and kept, so use one chain for all tasks of a worker.

    Of an epoch's segments, one for each worker, only those are opened that it takes to find a task: it is mostly where
    it was in the epoch before.

    Every method raises DamagedObject, ObjectMissing, FormatTooNew and what the store raises.
    """

    def __init__(self, store: CheckpointStore, manifest: Manifest) -> None:
        self.store = store
        self.manifest = manifest
        self._opened: dict[str, SegmentReader] = {}
        self._places: dict[TaskId, int] = {}

    def knows(self, task: TaskId) -> bool:
        """Whether the checkpoint holds `task`."""
        return task.partition < self.manifest.stages.get(task.stage, 0)

    def segment(self, epoch: Epoch, task: TaskId) -> SegmentReader | None:
        """The segment of `epoch` that holds `task`; None when the task was not there yet."""
        names = self.manifest.segments[epoch]
        place = self._places.get(task)
        if place is None and epoch != self.manifest.epoch:  # all tasks are in the newest: it is opened once for all
            self.segment(self.manifest.epoch, task)
            place = self._places.get(task)
        likely = () if place is None or place >= len(names) else (place,)
        for place in (*likely, *range(len(names))):
            segment = self._open(names[place])
            if segment.blobs(task) is not None:
                self._places[task] = place
                return segment
        return None

    def _open(self, name: str) -> SegmentReader:
        if name not in self._opened:
            self._opened[name] = SegmentReader(self.store, name)
        return self._opened[name]

    def deltas(self, task: TaskId, epochs: Iterable[Epoch], *, known: bool) -> Iterator[tuple[Epoch, Delta]]:
        """The deltas of `task` at `epochs`, ascending.

        A task that joined the job later has none in the first epochs, unless it is `known` to be older; one that is
        missing afterwards is damage.
        """
        for epoch in epochs:
            segment = self.segment(epoch, task)
            if segment is not None:
                known = True
                yield epoch, segment.delta(task)
            elif known or epoch == self.manifest.epoch:
                raise DamagedObject(f"The segments of epoch {epoch} lack task {task}")

    def delta_bytes(self, task: TaskId, epochs: Iterable[Epoch]) -> int:
        """Size of the deltas of `task` at `epochs`, bytes."""
        found = (segment.blobs(task) for epoch in epochs if (segment := self.segment(epoch, task)) is not None)
        return sum(blobs.delta.length for blobs in found if blobs is not None)

    def pieces(self, task: TaskId) -> RestorePieces:
        """What a restore of `task` from nothing reads."""
        base = self.manifest.bases.get(task)
        after = 0 if base is None else base.epoch
        return RestorePieces(base, tuple(epoch for epoch in sorted(self.manifest.segments) if epoch > after))

    def rows(self, task: TaskId) -> Iterator[Rows]:
        """The rows of `task` at the checkpoint: base and deltas merged, in runs in ascending order over all.

        None for a task that the checkpoint does not hold.
        Holds the deltas in memory; they are at most about as large as the base.
        """
        if not self.knows(task):
            return iter(())
        pieces = self.pieces(task)
        deltas = (delta for _, delta in self.deltas(task, pieces.epochs, known=pieces.base is not None))
        return merge_rows(() if pieces.base is None else read_base(self.store, pieces.base), deltas)


def restore_rows(store: CheckpointStore, manifest: Manifest, task: TaskId) -> Iterator[Rows]:
    """The rows of one task at a checkpoint, in runs in ascending order. See `Chain.rows`."""
    return Chain(store, manifest).rows(task)


def deltas_after(manifest: Manifest, task: TaskId, epoch: Epoch) -> tuple[Epoch, ...] | None:
    """The epochs whose deltas take a store of the manifest's lineage from `epoch` to the manifest's.

    None when some are gone, or when the store is ahead of the manifest.
    """
    if epoch > manifest.epoch:
        return None
    base = manifest.bases.get(task)
    reachable = epoch in manifest.segments or epoch + 1 in manifest.segments or (base and base.epoch == epoch)
    return tuple(e for e in sorted(manifest.segments) if e > epoch) if reachable else None


def merge_rows(base: Iterable[Rows], deltas: Iterable[Delta]) -> Iterator[Rows]:
    """`base` with `deltas` applied in order; base and result are runs in ascending order over all.

    >>> base = [([b"a", b"c"], [b"1", b"2"])]
    >>> list(merge_rows(base, [Delta([b"a", b"b"], [None, b"3"])]))
    [([b'b', b'c'], [b'3', b'2'])]
    """
    changes: dict[bytes, bytes | None] = {}
    for delta in deltas:
        changes.update(zip(delta.keys, delta.values, strict=True))
    changed = sorted(changes)
    first = 0
    for keys, values in base:
        if not keys:
            continue
        stop = bisect_right(changed, keys[-1], lo=first)
        if stop == first:
            yield keys, values
            continue
        rows: dict[bytes, bytes | None] = dict(zip(keys, values, strict=True))
        some = changed[first:stop]
        rows.update(zip(some, map(changes.__getitem__, some), strict=True))
        yield from _runs(sorted(rows), rows)
        first = stop
    yield from _runs(changed[first:] if first else changed, changes)


def _runs(keys: list[bytes], rows: dict[bytes, bytes | None]) -> Iterator[Rows]:
    """The rows at `keys`, but for those that are deleted."""
    for start in range(0, len(keys), _CHUNK):
        run = keys[start : start + _CHUNK]
        values: list[bytes | None] = list(map(rows.__getitem__, run))
        if None in values:
            run = [key for key, value in zip(run, values, strict=True) if value is not None]
            values = [value for value in values if value is not None]
        if run:
            yield run, cast("list[bytes]", values)

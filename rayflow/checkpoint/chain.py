"""The chain of a checkpoint: for each task a base, if there is one, and the deltas up to the checkpoint's epoch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import compress, islice
from operator import eq, ne
from typing import cast

from rayflow.checkpoint.bases import BaseRef, read_base
from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.segment import SegmentReader
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import DamagedObject
from rayflow.core.ids import Epoch, TaskId
from rayflow.state.base import Delta, Rows

_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class RestorePieces:
    """The pieces from which one task is restored: the rows of `base` (None: none), then the deltas of `epochs` in
    order."""

    base: BaseRef | None
    epochs: tuple[Epoch, ...]


class Chain:
    """Reads the objects that a manifest names. It opens each segment once, so use one chain for all tasks of a worker.

    An epoch has one segment per worker. It opens only those that it needs to find a task: usually a task is in the
    segment of the same worker as in the epoch before.

    Every method raises DamagedObject, ObjectMissing, FormatTooNew, and the errors of the store.
    """

    def __init__(self, store: CheckpointStore, manifest: Manifest) -> None:
        self.store = store
        self.manifest = manifest
        self._opened: dict[str, SegmentReader] = {}
        self._places: dict[TaskId, int] = {}

    def knows(self, task: TaskId) -> bool:
        """Whether the checkpoint contains `task`."""
        return task.partition < self.manifest.stages.get(task.stage, 0)

    def segment(self, epoch: Epoch, task: TaskId) -> SegmentReader | None:
        """The segment of `epoch` that contains `task`; None if the task did not exist yet."""
        names = self.manifest.segments[epoch]
        place = self._places.get(task)
        if place is None and epoch != self.manifest.epoch:  # all tasks are in the newest, which is opened once for all
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

        A task that was added to the job later has none in the first epochs, unless it is `known` to be older. A delta
        that is missing after those is damage.
        """
        for epoch in epochs:
            segment = self.segment(epoch, task)
            if segment is not None:
                known = True
                yield epoch, segment.delta(task)
            elif known or epoch == self.manifest.epoch:
                raise DamagedObject(f"The segments of epoch {epoch} lack task {task}")

    def delta_bytes(self, task: TaskId, epochs: Iterable[Epoch]) -> int:
        """Size of the deltas of `task` at `epochs`, in bytes."""
        found = (segment.blobs(task) for epoch in epochs if (segment := self.segment(epoch, task)) is not None)
        return sum(blobs.delta.length for blobs in found if blobs is not None)

    def pieces(self, task: TaskId) -> RestorePieces:
        """What a full restore of `task` reads."""
        base = self.manifest.bases.get(task)
        after = 0 if base is None else base.epoch
        return RestorePieces(base, tuple(epoch for epoch in sorted(self.manifest.segments) if epoch > after))

    def rows(self, task: TaskId) -> Iterator[Rows]:
        """The rows of `task` at the checkpoint: base and deltas merged, in runs in ascending order over all.

        Empty for a task that the checkpoint does not contain. The deltas are in memory; they are at most about as large
        as the base.
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
    """The epochs whose deltas bring a store of the manifest's lineage from `epoch` to the manifest's epoch.

    None if some of them are deleted, or if the store is ahead of the manifest.
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
    keys: list[bytes] = []
    values: list[bytes | None] = []
    for delta in deltas:
        keys += delta.keys
        values += delta.values
    changed, contents = _newest(keys, values)
    first = 0
    for base_keys, base_values in base:
        if not base_keys:
            continue
        stop = bisect_right(changed, base_keys[-1], lo=first)
        if stop == first:
            yield base_keys, base_values
            continue
        yield from _runs(*_newest(base_keys + changed[first:stop], [*base_values, *contents[first:stop]]))
        first = stop
    yield from _runs(changed[first:], contents[first:])


def _newest(keys: list[bytes], values: list[bytes | None]) -> tuple[list[bytes], list[bytes | None]]:
    """Each key once, in ascending order, with the last of its values.

    >>> _newest([b"b", b"c", b"a", b"b"], [b"1", b"2", b"3", None])
    ([b'a', b'b', b'c'], [b'3', None, b'2'])
    """
    # A list sort calls the key function once per element, in order, and is stable: values follow their keys, no dict.
    values = sorted(values, key=partial(next, iter(keys)))
    keys = sorted(keys)
    if any(map(eq, keys, islice(keys, 1, None))):
        last = [*map(ne, keys, islice(keys, 1, None)), True]
        keys, values = list(compress(keys, last)), list(compress(values, last))
    return keys, values


def _runs(keys: list[bytes], values: list[bytes | None]) -> Iterator[Rows]:
    """The rows at `keys`, except the deleted ones."""
    for start in range(0, len(keys), _CHUNK):
        some, data = keys[start : start + _CHUNK], values[start : start + _CHUNK]
        if None in data:
            kept = [value is not None for value in data]
            some, data = list(compress(some, kept)), list(compress(data, kept))
        if some:
            yield some, cast("list[bytes]", data)

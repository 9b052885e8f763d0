"""Segments: the parts of a worker's tasks at one barrier, in one object.

Layout: 6 bytes of magic, blobs one after the other, the footer (MessagePack: the place of each task's blobs, with their
CRC-32), and a trailer of 20 bytes: the footer's length, the format's version, a CRC-32 over both, magic. A reader
fetches the end, and then only the blobs that it needs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import msgspec

from rayflow.checkpoint.sealed import TaskSealed
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.batch import EncodedBatch, Headers
from rayflow.core.errors import DamagedObject, FormatTooNew
from rayflow.core.ids import TaskId
from rayflow.state.base import Delta

FORMAT = 1
_MAGIC = b"RFSEG\n"
_TRAILER = struct.Struct("<QHI6s")
_VERSIONED = struct.Struct("<QH")
_TAIL = 64 << 10

_StagedBatch = tuple[
    str, list[bytes | None], list[bytes | None], list[int], list[Headers] | None, int | None
]  # topic, keys, values, timestamps, headers, partition


class Blob(msgspec.Struct, frozen=True, array_like=True):
    """A range of bytes in a segment. `count`: its rows or records."""

    offset: int
    length: int
    crc: int
    count: int


class TaskBlobs(msgspec.Struct, frozen=True, array_like=True):
    """The blobs of one task's parts."""

    stage: str
    partition: int
    delta: Blob
    progress: Blob
    staged: dict[str, Blob]


class SegmentEncoder:
    """Creates a segment: `add` every task's part, then `finish`."""

    def __init__(self) -> None:
        self._buffers = [_MAGIC]
        self._end = len(_MAGIC)
        self._tasks: list[TaskBlobs] = []

    def add(self, part: TaskSealed) -> TaskBlobs:
        """Encode a task's part. Returns its place. Raises TypeError for progress that MessagePack cannot encode."""
        staged = {
            sink: self._blob(list(map(_columns, batches)), sum(map(len, batches)))
            for sink, batches in part.staged.items()
        }
        blobs = TaskBlobs(
            part.task.stage,
            part.task.partition,
            self._blob((part.delta.keys, part.delta.values), len(part.delta)),
            self._blob(dict(part.progress), len(part.progress)),
            staged,
        )
        self._tasks.append(blobs)
        return blobs

    def finish(self) -> list[bytes]:
        """The segment, as the buffers to write one after the other."""
        footer = msgspec.msgpack.encode(self._tasks)
        crc = crc32(_VERSIONED.pack(len(footer), FORMAT), crc32(footer))
        return [*self._buffers, footer, _TRAILER.pack(len(footer), FORMAT, crc, _MAGIC)]

    def _blob(self, content: Any, count: int) -> Blob:
        data = msgspec.msgpack.encode(content)
        blob = Blob(self._end, len(data), crc32(data), count)
        self._buffers.append(data)
        self._end += len(data)
        return blob


def encode_segment(parts: Sequence[TaskSealed]) -> list[bytes]:
    """A segment with `parts`, as the buffers to write one after the other.

    Raises TypeError for progress that MessagePack cannot encode.
    """
    encoder = SegmentEncoder()
    for part in parts:
        encoder.add(part)
    return encoder.finish()


class SegmentReader:
    """Reads one segment: the footer at once, blobs when they are requested. Each is checked before use.

    Every method raises DamagedObject for bytes that differ from those written, and the errors of the store. Raises
    FormatTooNew for a segment of a newer version, ObjectMissing.

    >>> task = TaskId("orders", 0)
    >>> data = b"".join(encode_segment([TaskSealed(task, Delta([b"k"], [b"v"]), {}, {"position": 7})]))
    >>> segment = SegmentReader.of("example", data)
    >>> segment.tasks, segment.delta(task), segment.progress(task)
    ([TaskId(stage='orders', partition=0)], Delta(keys=[b'k'], values=[b'v']), {'position': 7})
    """

    def __init__(self, store: CheckpointStore, name: str) -> None:
        self._open(name, store.size(name), lambda start, length: store.get_range(name, start, length))

    @classmethod
    def of(cls, name: str, data: bytes) -> SegmentReader:
        """A segment in memory; `name` is for errors."""
        reader = cls.__new__(cls)
        reader._open(name, len(data), lambda start, length: data[start : start + length])
        return reader

    @property
    def tasks(self) -> list[TaskId]:
        """The tasks of the segment, in the order in which they were written."""
        return list(self._blobs)

    def blobs(self, task: TaskId) -> TaskBlobs | None:
        """The places and sizes of the parts of `task`; None if the segment does not contain it."""
        return self._blobs.get(task)

    def delta(self, task: TaskId) -> Delta:
        """The rows that changed. Raises KeyError for a task that is not in the segment."""
        keys, values = self._decode(self._blobs[task].delta, tuple[list[bytes], list[bytes | None]])
        return Delta(keys, values)

    def progress(self, task: TaskId) -> dict[str, Any]:
        """The task's positions, watermarks and so on, with tuples as lists. Raises KeyError for a task that is not in
        the segment."""
        progress: dict[str, Any] = self._decode(self._blobs[task].progress, dict[str, Any])
        return progress

    def staged(self, task: TaskId) -> dict[str, list[EncodedBatch]]:
        """The output to publish, by sink operator. Raises KeyError for a task that is not in the segment."""
        return {
            sink: [
                EncodedBatch(topic, keys, values, timestamps, headers, partition)
                for topic, keys, values, timestamps, headers, partition in self._decode(blob, list[_StagedBatch])
            ]
            for sink, blob in self._blobs[task].staged.items()
        }

    def verify(self) -> None:
        """Read and check every byte of the segment."""
        if self._read(0, len(_MAGIC)) != _MAGIC:
            raise self._damaged("does not begin as a segment")
        end = len(_MAGIC)
        for blob in self._all_blobs():
            if blob.offset != end:
                raise self._damaged("contains bytes that belong to no task")
            self._checked(blob)
            end += blob.length
        if end != self._footer_start:
            raise self._damaged("contains bytes that belong to no task")

    def _open(self, name: str, size: int, read: Callable[[int, int], bytes]) -> None:
        self.name, self.size, self._fetch = name, size, read
        self._tail_start = max(0, size - _TAIL)
        self._tail = read(self._tail_start, size - self._tail_start)
        if len(self._tail) < _TRAILER.size or not self._tail.endswith(_MAGIC):
            raise self._damaged("is truncated, or is not a segment")
        length, version, crc, _ = _TRAILER.unpack(self._tail[-_TRAILER.size :])
        self._footer_start = size - _TRAILER.size - length
        footer = self._read(self._footer_start, length) if self._footer_start >= len(_MAGIC) else b""
        if crc32(_VERSIONED.pack(length, version), crc32(footer)) != crc:
            raise self._damaged("fails its checksum")
        if version > FORMAT:
            raise FormatTooNew(f"{name} has format {version}; this rayflow reads up to {FORMAT}")
        index = msgspec.msgpack.decode(footer, type=list[TaskBlobs])
        self._blobs = {TaskId(task.stage, task.partition): task for task in index}

    def _all_blobs(self) -> list[Blob]:
        every = [blob for task in self._blobs.values() for blob in (task.delta, task.progress, *task.staged.values())]
        return sorted(every, key=lambda blob: blob.offset)

    def _decode(self, blob: Blob, kind: Any) -> Any:
        return msgspec.msgpack.decode(self._checked(blob), type=kind)

    def _checked(self, blob: Blob) -> bytes:
        data = self._read(blob.offset, blob.length)
        if len(data) != blob.length or crc32(data) != blob.crc:
            raise self._damaged("fails its checksum")
        return data

    def _read(self, start: int, length: int) -> bytes:
        if start >= self._tail_start:
            return self._tail[start - self._tail_start : start - self._tail_start + length]
        return self._fetch(start, length)

    def _damaged(self, how: str) -> DamagedObject:
        return DamagedObject(f"{self.name} {how}")


def _columns(batch: EncodedBatch) -> tuple[Any, ...]:
    return (batch.topic, batch.keys, batch.values, batch.timestamps, batch.headers, batch.partition)

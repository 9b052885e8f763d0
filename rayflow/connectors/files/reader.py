"""Reads files as partitions."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rayflow.connectors.base import Polled, Reader
from rayflow.connectors.files.splitting import Split, Splitter
from rayflow.core.batch import Batch, Origin
from rayflow.core.errors import DecodeFailed, SourceDataLost, UnknownTopic
from rayflow.core.ids import TopicPartition

_PAUSE = 0.02
"""Seconds between two checks of files that have not grown."""
_CHUNK = 1 << 20
_LONGEST = 64 << 20
"""The maximum size of a record in bytes."""


@dataclass(slots=True)
class _File:
    """A partition that is read, and the records found in it that were not delivered yet."""

    place: TopicPartition
    path: Path
    splitter: Splitter
    position: int
    frozen_end: int | None = None
    found: Split | None = None
    taken: int = 0
    stamp: int = 0


class FileReader(Reader):
    """Reads files that may still grow.

    A position is the byte offset of the next record. Keys are None. Timestamps are the file's time of last change (ms).

    A last line without a newline may be a record that is still being written, so it is not delivered. There is one
    exception: the first `ends` after an `assign` includes it if it looks complete (a bounded run ends at the end of the
    file), and then it is delivered as long as the file ends there. If such a file grows later in the middle of a
    record, or becomes shorter, the reader raises SourceDataLost.

    Args:
        find: the files of a topic; raises UnknownTopic.
        make_splitter: creates the splitter of one file.
    """

    def __init__(self, find: Callable[[str], list[Path]], make_splitter: Callable[[Path], Splitter]) -> None:
        self._find = find
        self._make_splitter = make_splitter
        self._files: deque[_File] = deque()
        self._paused = False

    def assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        topics = {topic: self._find(topic) for topic in {place.topic for place in positions}}
        files: deque[_File] = deque()
        for place, position in positions.items():
            paths = topics[place.topic]
            if not 0 <= place.partition < len(paths):
                raise UnknownTopic(
                    f"There is no such file, only {len(paths)}", topic=place.topic, partition=place.partition
                )
            path = paths[place.partition]
            file = _File(place, path, self._make_splitter(path), position or 0)
            if file.position > self._size(file) or file.position < 0:
                raise _shorter(file)
            files.append(file)
        self._files = files

    def poll(self, max_records: int, timeout: float) -> list[Polled]:
        limit = time.monotonic() + timeout
        while True:
            polled = [] if self._paused else self._look(max_records)
            left = limit - time.monotonic()
            if polled or left <= 0:
                return polled
            time.sleep(min(_PAUSE, left))

    def ends(self, timeout: float = 30.0) -> dict[TopicPartition, int]:
        found = {}
        for file in self._files:
            end = self._end(file)
            if file.frozen_end is None:
                file.frozen_end = end
            found[file.place] = end
        return found

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def close(self) -> None:
        self._files.clear()

    def _look(self, max_records: int) -> list[Polled]:
        polled: list[Polled] = []
        for file in self._files:
            if max_records > 0 and (one := self._take(file, max_records)) is not None:
                polled.append(one)
                max_records -= len(one.batch)
        # The next poll starts with another file, so that a long one does not starve the others.
        self._files.rotate(-1)
        return polled

    def _take(self, file: _File, max_records: int) -> Polled | None:
        if file.found is None:
            found = self._read(file)
            if found.end == file.position:
                return None
            file.found, file.taken = found, 0
        found = file.found
        first, last = file.taken, min(file.taken + max_records, len(found.values))
        if last == len(found.values):
            file.position, file.found = found.end, None
        else:
            file.position, file.taken = found.offsets[last], last
        values = found.values[first:last]
        offsets = found.offsets[first:last]
        count = len(values)
        batch = Batch.read(Origin(*file.place), [None] * count, list(values), [file.stamp] * count, offsets)
        return Polled(batch, file.position)

    def _read(self, file: _File) -> Split:
        """Records from the position on: about a chunk, and at least one if a complete one exists."""
        if self._size(file) < file.position:
            raise _shorter(file)
        chunk = _CHUNK
        while True:
            data, size = self._bytes(file, chunk)
            at_the_end = file.position + len(data) >= size
            tail = at_the_end and file.frozen_end == size
            found = file.splitter.split(data, file.position, tail)
            if found.end > file.position or (at_the_end and not (tail and data)):
                return found
            if at_the_end:
                raise _unreadable(file, "the file ends in the middle of a record")
            if chunk >= _LONGEST:
                raise _unreadable(file, f"a record is longer than {_LONGEST} bytes")
            chunk *= 4

    def _bytes(self, file: _File, count: int) -> tuple[bytes, int]:
        """At most `count` bytes from the position on, and the size of the file after reading them."""
        with _opened(file) as source:
            source.seek(max(file.position - 1, 0))
            before = source.read(1) if file.position else b"\n"
            data = source.read(count)
            status = os.fstat(source.fileno())
        file.stamp = status.st_mtime_ns // 1_000_000
        if data and before != b"\n" and not data.startswith((b"\n", b"\r")):
            raise SourceDataLost(
                f"No record starts at this position of {file.path}: it was rewritten, or its last record grew",
                topic=file.place.topic,
                partition=file.place.partition,
                offset=file.position,
                advice="End every record with a newline, and only append to the file",
            )
        return data, status.st_size

    def _end(self, file: _File) -> int:
        """Where reading ends: after the last newline, or after the text that follows it if it looks complete."""
        size = self._size(file)
        tail, chunk = b"", _CHUNK
        with _opened(file) as source:
            while len(tail) < size:
                start = max(size - chunk, 0)
                source.seek(start)
                tail = source.read(size - start)
                newline = tail.rfind(b"\n")
                if newline >= 0 or chunk >= _LONGEST:
                    tail = tail[newline + 1 :]
                    break
                chunk *= 4
        return size if not tail or file.splitter.is_record(tail) else size - len(tail)

    @staticmethod
    def _size(file: _File) -> int:
        with _opened(file) as source:
            return os.fstat(source.fileno()).st_size


@contextmanager
def _opened(file: _File) -> Iterator[BinaryIO]:
    try:
        source = file.path.open("rb")
    except OSError as error:
        raise UnknownTopic(
            f"{file.path} cannot be opened: {error.strerror}",
            topic=file.place.topic,
            partition=file.place.partition,
            advice="Restore it, or make it readable",
        ) from error
    with source:
        yield source


def _unreadable(file: _File, why: str) -> DecodeFailed:
    return DecodeFailed(
        f"{file.path} cannot be read: {why}",
        topic=file.place.topic,
        partition=file.place.partition,
        offset=file.position,
        advice="Correct the file",
    )


def _shorter(file: _File) -> SourceDataLost:
    return SourceDataLost(
        f"{file.path} is shorter than the job's position in it",
        topic=file.place.topic,
        partition=file.place.partition,
        offset=file.position,
        advice="Restore the file, or start a new job",
    )

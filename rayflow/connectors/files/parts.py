"""Records as JSON lines in part files."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from rayflow.connectors.base import Appender
from rayflow.connectors.files.durable import refused, sync_folder, write_synced
from rayflow.connectors.files.lines import lines
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import EncodeFailed, UnknownTopic

SUFFIX = ".jsonl"
_LARGE = 8 << 20


def lines_of(batches: Iterable[EncodedBatch], topic: str) -> bytes:
    """The values, one a line. Tombstones (None) are left out; keys, headers and timestamps are not written.

    Raises EncodeFailed for a value that is no line.

    >>> lines_of([EncodedBatch("t", [None, None], [b"1", None], [0, 0]), EncodedBatch("t", [None], [b"2"], [0])], "t")
    b'1\\n2\\n'
    """
    try:
        return lines([value for value in chain.from_iterable(batch.values for batch in batches) if value is not None])
    except EncodeFailed as error:
        raise EncodeFailed(error.what, topic=topic, advice=error.advice) from None


def folder_of(base: Path, topic: str) -> Path:
    """The directory of a topic to write. Raises UnknownTopic."""
    folder = base / topic
    if not folder.is_dir():
        raise UnknownTopic(f"There is no directory {folder}", topic=topic, advice="Create it: rayflow topics create")
    return folder


class LooseParts(Appender):
    """Writes part files with their own names: at each `flush`, and when enough records are collected."""

    def __init__(self, base: Path, slot: int = 0) -> None:
        self._base = base
        self._slot = slot
        self._waiting: dict[str, list[EncodedBatch]] = {}
        self._size = 0

    def append(self, batch: EncodedBatch) -> None:
        self._waiting.setdefault(batch.topic, []).append(batch)
        self._size += sum(map(len, filter(None, batch.values)))
        if self._size >= _LARGE:
            self.flush()

    def flush(self) -> None:
        waiting, self._waiting, self._size = self._waiting, {}, 0
        parts = [(folder_of(self._base, topic), lines_of(batches, topic)) for topic, batches in waiting.items()]
        for folder, data in parts:
            if data:
                name = f"part-{time.time_ns():020d}-{self._slot:05d}-{uuid.uuid4().hex[:8]}{SUFFIX}"
                hidden = folder / f".{name}"
                try:
                    write_synced(hidden, data)
                    hidden.replace(folder / name)
                    sync_folder(folder)
                except OSError as error:
                    hidden.unlink(missing_ok=True)
                    raise refused(error, folder) from error

    def close(self) -> None:
        self.flush()

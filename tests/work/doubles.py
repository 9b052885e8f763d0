"""Stand in for what a local run writes to, and count what it is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

import pytest

from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.store import CheckpointStore
from rayflow.runtimes.hosting import tasks
from rayflow.runtimes.local import runtime
from rayflow.serde.codec import Codec
from rayflow.state.base import Delta, Stamp
from rayflow.state.lmdb_store import LmdbStore


class Written(CheckpointStore):
    """A checkpoint store that passes everything on.

    Attributes:
        sizes: bytes written, by what an object is: segment, output, json (manifests), base, other.
    """

    def __init__(self, inner: CheckpointStore, sizes: Counter[str]) -> None:
        self.uri = inner.uri
        self._inner = inner
        self.sizes = sizes

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        self._inner.put(name, parts)
        self.sizes[_kind(name)] += sum(map(len, parts))

    def create(self, name: str, data: bytes) -> None:
        self._inner.create(name, data)
        self.sizes[_kind(name)] += len(data)

    def get(self, name: str) -> bytes:
        return self._inner.get(name)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        return self._inner.get_range(name, start, length)

    def size(self, name: str) -> int:
        return self._inner.size(name)

    def list(self, prefix: str) -> list[str]:
        return self._inner.list(prefix)

    def delete(self, names: Sequence[str]) -> None:
        self._inner.delete(names)


class Applied:
    """What the tasks' LMDB stores are given: rows by epoch, and their bytes."""

    def __init__(self) -> None:
        self.rows: Counter[int] = Counter()
        self.size = 0

    def add(self, delta: Delta, stamp: Stamp) -> None:
        """Count one task's delta."""
        self.rows[stamp.epoch] += len(delta)
        self.size += sum(map(len, delta.keys)) + sum(map(len, filter(None, delta.values)))


@contextmanager
def counted_stores() -> Iterator[tuple[Counter[str], Applied]]:
    """Count what local runs write while the block runs: to checkpoint stores, and to LMDB."""
    sizes: Counter[str] = Counter()
    applied = Applied()

    class Rows(LmdbStore):
        def applying(self, delta: Delta, stamp: Stamp) -> Iterator[None]:
            yield from super().applying(delta, stamp)
            applied.add(delta, stamp)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "open_store", lambda uri: Written(open_store(uri), sizes))
        patch.setattr(runtime, "LmdbStore", Rows)
        yield sizes, applied


class CountedCodec(Codec):
    """A codec that counts the values and the columns that it is given."""

    def __init__(self, passes: Counter[str]) -> None:
        super().__init__()
        self._passes = passes

    def encode(self, value: Any) -> bytes:
        self._passes["values encoded"] += 1
        return super().encode(value)

    def encode_all(self, values: Collection[Any]) -> list[bytes]:
        self._passes["values encoded"] += len(values)
        return Codec().encode_all(values)

    def decode(self, data: bytes) -> Any:
        self._passes["values decoded"] += 1
        return super().decode(data)

    def decode_all(self, data: Collection[bytes]) -> list[Any]:
        self._passes["values decoded"] += len(data)
        return Codec().decode_all(data)

    def encode_column(self, column: list[Any]) -> bytes:
        self._passes["columns encoded"] += 1
        return super().encode_column(column)

    def decode_column(self, data: bytes) -> list[Any]:
        self._passes["columns decoded"] += 1
        return super().decode_column(data)


@contextmanager
def counted_codec() -> Iterator[Counter[str]]:
    """Count what goes through the codec of local runs while the block runs."""
    passes: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "Codec", lambda: CountedCodec(passes))
        yield passes


def _kind(name: str) -> str:
    path = PurePath(name)
    return "base" if path.parts[0] == "bases" else path.suffix[1:] or "other"

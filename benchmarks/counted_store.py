"""A checkpoint store in memory that counts the requests which an object store would have had."""

from __future__ import annotations

import builtins
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import ObjectExists, ObjectMissing

PAGE = 1_000
"""Names that a service gives for one request to list, and takes for one to delete."""


class CountedStore(CheckpointStore):
    """Objects in memory, with the requests counted that a service would have had."""

    def __init__(self) -> None:
        self.uri = "counted:"
        self.requests: Counter[str] = Counter()
        self._objects: dict[str, bytes] = {}
        self._sorted: list[str] | None = []

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        self.requests["write"] += 1
        self._keep(name, b"".join(parts))

    def create(self, name: str, data: bytes) -> None:
        self.requests["write"] += 1
        if name in self._objects:
            raise ObjectExists(f"{name} is there already")
        self._keep(name, data)

    def get(self, name: str) -> bytes:
        self.requests["read"] += 1
        if name not in self._objects:
            raise ObjectMissing(f"there is no {name}")
        return self._objects[name]

    def get_range(self, name: str, start: int, length: int) -> bytes:
        return self.get(name)[start : start + length]

    def size(self, name: str) -> int:
        return len(self.get(name))

    def list(self, prefix: str) -> builtins.list[str]:
        if self._sorted is None:
            self._sorted = sorted(self._objects)
        end = bisect_left(self._sorted, prefix + "\U0010ffff") if prefix else len(self._sorted)
        found = self._sorted[bisect_left(self._sorted, prefix) : end]
        self.requests["list"] += 1 + len(found) // PAGE
        return found

    def delete(self, names: Sequence[str]) -> None:
        self.requests["delete"] += -(-len(names) // PAGE)
        for name in names:
            self._objects.pop(name, None)
        self._sorted = None

    def __len__(self) -> int:
        return len(self._objects)

    def bytes_of(self, name: str) -> int:
        """An object's size, not counted as a request."""
        return len(self._objects[name])

    def fill(self, names: Iterable[str]) -> None:
        """Objects of which only the name matters."""
        self._objects.update(dict.fromkeys(names, b""))
        self._sorted = None

    def _keep(self, name: str, data: bytes) -> None:
        self._objects[name] = data
        self._sorted = None

"""A model checkpoint store: writes become visible after some time, fail, or succeed without an answer."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

from rayflow.checkpoint.layout import is_object_name
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import CheckpointStoreFailed, ObjectExists, ObjectMissing
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.schedule import Schedule


class ModelStore(CheckpointStore):
    """Objects in memory. The contract's own methods act at once; processes write with `put_later` and `create_later`.

    Attributes:
        creating: the number of objects in flight that may still be created.
    """

    def __init__(self, schedule: Schedule, faults: Callable[[], Faults], uri: str = "model:") -> None:
        self.uri = uri
        self.objects: dict[str, bytes] = {}
        self.creating = 0
        self._schedule = schedule
        self.faults = faults

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        self.objects[self._checked(name)] = b"".join(parts)

    def create(self, name: str, data: bytes) -> None:
        if self._checked(name) in self.objects:
            raise ObjectExists(f"{self.uri} has an object {name} already")
        self.objects[name] = data

    def get(self, name: str) -> bytes:
        if self._checked(name) not in self.objects:
            raise ObjectMissing(f"{self.uri} has no object {name}")
        return self.objects[name]

    def get_range(self, name: str, start: int, length: int) -> bytes:
        return self.get(name)[start : start + length]

    def size(self, name: str) -> int:
        return len(self.get(name))

    def list(self, prefix: str) -> builtins.list[str]:
        return sorted(name for name in self.objects if name.startswith(prefix))

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self.objects.pop(self._checked(name), None)

    def _checked(self, name: str) -> str:
        if not is_object_name(name):
            raise CheckpointStoreFailed(f"{self.uri}: {name!r} is not a name for an object")
        return name

    def put_later(
        self, process: Any, name: str, parts: Sequence[bytes], then: Callable[[], None], fail: Callable[[], None]
    ) -> None:
        """Write in the background. The answer comes after the object is durable. If the process dies before, all of the
        object, half of it or nothing may exist."""
        random, faults = self._schedule.random, self.faults()
        fails = self._schedule.chance(faults.store_fails, "store write fails", name)
        lost = self._schedule.chance(faults.store_answer_lost, "store answer lost", name)

        def show() -> None:
            if not process.alive and random.random() < 0.5:
                if self._schedule.chance(faults.torn, "torn object", name):
                    data = b"".join(parts)
                    self.objects[name] = data[: random.randrange(len(data) + 1)]
                return
            if not fails:
                self.put(name, parts)
            self._schedule.after(random.randrange(50, 2000), fail if fails or lost else then)

        self._schedule.after(self._time(faults, name), show)

    def create_later(
        self, process: Any, name: str, data: bytes, then: Callable[[bool], None], fail: Callable[[], None]
    ) -> None:
        """Create in the background. It may take effect long after the process is dead."""
        random, faults = self._schedule.random, self.faults()
        fails = self._schedule.chance(faults.store_fails, "store write fails", name)
        lost = self._schedule.chance(faults.store_answer_lost, "store answer lost", name)
        repeated = lost and random.random() < 0.5

        self.creating += 1

        def show() -> None:
            self.creating -= 1
            created = name not in self.objects
            if not fails:
                self.objects.setdefault(name, data)
            answer = fail if fails or (lost and not repeated) else lambda: then(created and not repeated)
            self._schedule.after(random.randrange(50, 2000), answer)

        self._schedule.after(self._time(faults, name), show)

    def _time(self, faults: Faults, name: str) -> int:
        longest = 1_000_000 if self._schedule.chance(faults.store_slow, "store slow", name) else 5_000
        return self._schedule.random.randrange(500, longest)

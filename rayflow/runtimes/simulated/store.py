"""The checkpoint store of a simulated process: writes take time, and the process may die during a write."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence

from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import CheckpointStoreFailed, ObjectExists
from rayflow.runtimes.simulated.process import Process


class SimulatedStore(CheckpointStore):
    """Every write is a step of the process, and so is its answer. A read takes a short or a long time."""

    def __init__(self, process: Process, store: CheckpointStore) -> None:
        self.uri = store.uri
        self._process = process
        self._store = store

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        self._write(
            name, lambda then, fail: self._process.world.put(self._process, name, parts, lambda: then(True), fail)
        )

    def create(self, name: str, data: bytes) -> None:
        if not self._write(name, lambda then, fail: self._process.world.create(self._process, name, data, then, fail)):
            raise ObjectExists(f"{self.uri} has an object {name} already")

    def get(self, name: str) -> bytes:
        self._read(name)
        return self._store.get(name)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        return self._store.get_range(name, start, length)

    def size(self, name: str) -> int:
        return self._store.size(name)

    def list(self, prefix: str) -> builtins.list[str]:
        self._read(prefix)
        return self._store.list(prefix)

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self._process.pause(self._process.world.random.randrange(50, 1000))
            self._process.step("object deleted")
            self._process.world.delete(self._process, name)

    def _read(self, name: str) -> None:
        if time := self._process.world.read_time(name):
            self._process.pause(time)

    def _write(self, name: str, begin: Callable[[Callable[[bool], None], Callable[[], None]], None]) -> bool:
        """The store's answer. Raises CheckpointStoreFailed."""
        answers: builtins.list[bool | None] = []

        def start(resume: Callable[[], None]) -> None:
            def answered(answer: bool | None) -> None:
                answers.append(answer)
                resume()

            begin(answered, lambda: answered(None))

        self._process.park(start)
        self._process.step("manifest stored" if name.startswith("manifests/") else "object stored")
        (answer,) = answers
        if answer is None:
            raise CheckpointStoreFailed(f"{name} was not written")
        return answer

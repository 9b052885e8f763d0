"""Stops a job with a savepoint, and starts it from the savepoint, in a new checkpoint store or in its old one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rayflow.checkpoint.attempts import claim_attempt
from rayflow.checkpoint.layout import SAVEPOINT
from rayflow.checkpoint.manifest import newest_manifest
from rayflow.checkpoint.savepoint import start_from_savepoint, write_savepoint
from rayflow.testing.simulation.schedule import Schedule
from rayflow.testing.simulation.store import ModelStore


class CutOff(Exception):
    """The process that copies a savepoint died."""


class CutStore(ModelStore):
    """Another store, whose writer dies after this many objects."""

    def __init__(self, store: ModelStore, writes: int) -> None:
        self.uri = store.uri
        self.objects = store.objects
        self._writes = writes

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        self._die_in_time()
        super().put(name, parts)

    def create(self, name: str, data: bytes) -> None:
        self._die_in_time()
        super().create(name, data)

    def _die_in_time(self) -> None:
        self._writes -= 1
        if self._writes < 0:
            raise CutOff


class Moving:
    """Writes a savepoint of `source`, and starts from it in `target`. An interrupted copy is repeated, as by a user.

    `then` is called with `target` when the job can start there.
    """

    def __init__(
        self, schedule: Schedule, source: ModelStore, target: ModelStore, job: str, then: Callable[[ModelStore], None]
    ) -> None:
        self._schedule = schedule
        self._source = source
        self._target = target
        self._savepoint = ModelStore(schedule, source.faults, f"{target.uri}-savepoint")
        self._job = job
        self._then = then

    def begin(self) -> None:
        """Write the savepoint."""
        self._attempt(self._write, self._write_done)

    def _write(self, cut: Callable[[ModelStore], ModelStore]) -> None:
        manifest = newest_manifest(self._source)
        assert manifest is not None
        write_savepoint(self._source, manifest, cut(self._savepoint))

    def _write_done(self) -> None:
        assert self._savepoint.list(SAVEPOINT)
        self._attempt(self._start, lambda: self._then(self._target))

    def _start(self, cut: Callable[[ModelStore], ModelStore]) -> None:
        start_from_savepoint(
            self._savepoint,
            cut(self._target),
            claim_attempt(self._target),
            job=self._job,
            lineage=f"{self._schedule.random.getrandbits(64):016x}",
            created=self._schedule.now // 1000,
        )

    def _attempt(self, step: Callable[[Callable[[ModelStore], ModelStore]], None], then: Callable[[], None]) -> None:
        random = self._schedule.random
        writes = random.randrange(6) if self._schedule.chance(0.3, "savepoint to be cut off") else 1_000_000
        try:
            step(lambda store: CutStore(store, writes))
        except CutOff:
            self._schedule.happened["savepoint cut off"] += 1
            self._schedule.after(random.randrange(1000, 100_000), lambda: self._attempt(step, then))
        else:
            self._schedule.after(random.randrange(1000, 100_000), then)

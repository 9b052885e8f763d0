"""Savepoints of a running job: asked for by people, copied while its checkpoints go on."""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from dataclasses import dataclass
from functools import partial

from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.savepoint import write_savepoint
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import RayflowError
from rayflow.core.ids import Epoch
from rayflow.core.logging import get_logger
from rayflow.runtimes.hosting.ports import Background

log = get_logger("rayflow.coordinator")


@dataclass(slots=True)
class Savepoint:
    """A savepoint that somebody waits for. `epoch` or `error` says what came of it; `done` is set last."""

    uri: str
    epoch: Epoch | None = None
    error: RayflowError | None = None
    done: bool = False


class Savepoints:
    """Copies checkpoints of one attempt, one savepoint after the other, on a line of its own.

    A copy may take much longer than an epoch, so no checkpoint waits for it, and what it copies is pinned against
    garbage collection meanwhile.
    """

    def __init__(self, store: CheckpointStore, background: Background, asked: deque[Savepoint]) -> None:
        """`asked`: those that are to be copied of the next checkpoint; shared by the attempts of a job."""
        self._store = store
        self._background = background
        self._asked = asked
        self._copying: dict[int, tuple[Savepoint, Epoch]] = {}
        self._over = False

    def ask(self, savepoint: Savepoint) -> None:
        """Have the next checkpoint copied."""
        self._asked.append(savepoint)

    def begin(self, manifest: Manifest) -> None:
        """Copy this checkpoint, which has just been written, for all who have asked."""
        while self._asked:
            savepoint = self._asked.popleft()
            self._copying[id(savepoint)] = savepoint, manifest.epoch
            self._background.call(partial(self._copy, savepoint, manifest), self._answer)

    @property
    def pinned(self) -> Set[Epoch]:
        """The epochs of the checkpoints that are being copied. From any thread."""
        return {epoch for _, epoch in list(self._copying.values())}

    def step(self) -> bool:
        """Answer those who asked. True if one was done."""
        return self._background.collect()

    def close(self) -> None:
        """The attempt is over: what is not copied yet is given up, and whoever asked for it is told."""
        self._over = True
        self._background.close()
        for savepoint, _ in list(self._copying.values()):
            if savepoint.epoch is None and savepoint.error is None:
                savepoint.error = _cut_off()
            self._answer(savepoint)

    def _copy(self, savepoint: Savepoint, manifest: Manifest) -> Savepoint:
        try:
            write_savepoint(self._store, manifest, open_store(savepoint.uri), before_each=self._go_on)
        except RayflowError as error:
            savepoint.error = error
        else:
            savepoint.epoch = manifest.epoch
            log.info("savepoint written", job=manifest.job, epoch=manifest.epoch, uri=savepoint.uri)
        return savepoint

    def _go_on(self) -> None:
        if self._over:
            raise _cut_off()

    def _answer(self, savepoint: Savepoint) -> None:
        del self._copying[id(savepoint)]
        savepoint.done = True


def ended_before(job: str) -> RayflowError:
    """What whoever asked for a savepoint too late is told."""
    return RayflowError("the job ended before the savepoint was written", job=job)


def _cut_off() -> RayflowError:
    return RayflowError(
        "the attempt ended before the savepoint was written",
        advice="Ask again once the job runs: the same URI may be used, what was copied already stays",
    )

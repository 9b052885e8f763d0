"""Writes the requested savepoints of a running job, in parallel to its checkpoints."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.savepoint import write_savepoint
from rayflow.checkpoint.savepoint_place import check_outside
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import InvariantBroken, RayflowError
from rayflow.core.ids import Epoch
from rayflow.core.logging import get_logger
from rayflow.runtimes.hosting.ports import Background

log = get_logger("rayflow.coordinator")


@dataclass(slots=True)
class Savepoint:
    """A requested savepoint. `epoch` or `error` has the result; `done` is set last."""

    uri: str
    epoch: Epoch | None = None
    error: RayflowError | None = None
    done: bool = False


class Savepoints:
    """Copies checkpoints of one attempt, one savepoint at a time, on its own background thread.

    A copy may take much longer than an epoch, so no checkpoint waits for it. Its checkpoint is pinned against garbage
    collection meanwhile.
    """

    def __init__(
        self,
        store: CheckpointStore,
        background: Background,
        asked: deque[Savepoint],
        folders: Sequence[Path] = (),
    ) -> None:
        """`asked`: savepoints to write of the next checkpoint; shared by the attempts of a job. `folders`: where none
        may be written (`RunOptions.folders`)."""
        self._store = store
        self._folders = folders
        self._background = background
        self._asked = asked
        self._copying: dict[int, tuple[Savepoint, Epoch]] = {}
        self._over = False

    def ask(self, savepoint: Savepoint) -> None:
        """Request a copy of the next checkpoint."""
        self._asked.append(savepoint)

    def begin(self, manifest: Manifest) -> None:
        """Copy this checkpoint, which was just written, for all requests."""
        while self._asked:
            savepoint = self._asked.popleft()
            self._copying[id(savepoint)] = savepoint, manifest.epoch
            self._background.call(partial(self._copy, savepoint, manifest), self._answer)

    @property
    def pinned(self) -> Set[Epoch]:
        """The epochs of the checkpoints that are being copied. From any thread."""
        return {epoch for _, epoch in list(self._copying.values())}

    def step(self) -> bool:
        """Answer finished requests. True if there was one."""
        return self._background.collect()

    def close(self) -> None:
        """The attempt is over: give up unfinished copies, and fail their requests.

        It waits for no copy: a store that hangs must not keep the job from stopping. What such a copy says later is
        ignored; it ends before its next object, and without a savepoint unless that was the last one.
        """
        self.step()
        self._over = True
        self._background.abandon()
        for savepoint, epoch in list(self._copying.values()):
            self._answer((savepoint, epoch, _cut_off()))

    def _copy(self, savepoint: Savepoint, manifest: Manifest) -> tuple[Savepoint, Epoch, RayflowError | None]:
        """The outcome, which `_answer` writes down: a copy that was given up must change no request."""
        failure: RayflowError | None = None
        try:
            target = open_store(savepoint.uri)
            check_outside(savepoint.uri, self._folders)
            write_savepoint(self._store, manifest, target, before_each=self._go_on)
        except RayflowError as error:
            failure = error
        except Exception as error:
            # A request of one person must not end the job.
            log.exception("a savepoint has failed", job=manifest.job, epoch=manifest.epoch, uri=savepoint.uri)
            failure = InvariantBroken(
                f"the savepoint could not be written: {type(error).__name__}: {error}",
                advice="Check the URI. The job goes on; its log has the details",
            )
        else:
            log.info("savepoint written", job=manifest.job, epoch=manifest.epoch, uri=savepoint.uri)
        return savepoint, manifest.epoch, failure

    def _go_on(self) -> None:
        if self._over:
            raise _cut_off()

    def _answer(self, outcome: tuple[Savepoint, Epoch, RayflowError | None]) -> None:
        savepoint, epoch, error = outcome
        del self._copying[id(savepoint)]
        savepoint.error = error
        savepoint.epoch = epoch if error is None else None
        savepoint.done = True


def ended_before(job: str) -> RayflowError:
    """The error for a savepoint that was requested too late."""
    return RayflowError("the job ended before the savepoint was written", job=job)


def _cut_off() -> RayflowError:
    return RayflowError(
        "the attempt ended before the savepoint was written",
        advice="Repeat the command when the job runs; use the same URI, copied files are kept",
    )

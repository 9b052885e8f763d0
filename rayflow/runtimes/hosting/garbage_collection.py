"""Deletes old checkpoints, in parallel to the commits."""

from __future__ import annotations

from collections.abc import Callable, Collection

from rayflow.checkpoint.retention import collect
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import RayflowError
from rayflow.core.ids import Epoch
from rayflow.core.logging import get_logger
from rayflow.runtimes.hosting.ports import Background

log = get_logger("rayflow.coordinator")


PATIENCE = 10.0
"""The most seconds that the end of a job waits for a collection that lists or reads."""
SLICE = 0.05


class _Abandoned(Exception):
    """The attempt ended before anything was deleted."""


class GarbageCollection:
    """Deletes the objects that no kept checkpoint names, in its own background, because listing a large store can take
    longer than an epoch."""

    def __init__(
        self,
        job: str,
        store: CheckpointStore,
        retain: int,
        background: Background,
        pinned: Callable[[], Collection[Epoch]],
    ) -> None:
        """`pinned` returns the epochs whose checkpoints are being copied; it is called on the background's thread."""
        self._job = job
        self._store = store
        self._retain = retain
        self._background = background
        self._pinned = pinned
        self._again = False
        self._deleting = False
        self._closed = False

    def collect(self) -> None:
        """Collect in the background. Calls during a collection lead to one more collection after it."""
        self._again = self._background.waiting > 0
        if not self._again:
            self._background.call(self._run, lambda _: self.collect() if self._again else None)

    @property
    def running(self) -> bool:
        """Whether a collection is in flight."""
        return self._background.waiting > 0

    def step(self) -> bool:
        """Run the callbacks of a finished collection. True if there was one."""
        return self._background.collect()

    def finish(self) -> None:
        """Let running collections end, PATIENCE seconds at most: no attempt follows that would do their work. Without
        this, a job that runs often and briefly would keep all its checkpoints."""
        left = PATIENCE
        while self.running and left > 0:
            self._background.wait(SLICE)
            left -= SLICE
            self.step()

    def close(self) -> None:
        """The attempt is over: after this returns, nothing is deleted.

        A collection that still lists or reads is abandoned, because a store that hangs must not delay a recovery. When
        it continues, it deletes nothing: what it has read may be old by then. The next attempt may be copying a
        checkpoint that only that attempt has pinned, or the next run may start from an older checkpoint. For the same
        reason, a collection that already deletes is waited for.
        """
        self._closed = True
        if self._deleting:
            self._background.close()
        else:
            self._background.abandon()

    def _run(self) -> None:
        try:
            collect(self._store, self._retain, self._pinned, before_deleting=self._begin_deleting)
        except _Abandoned:
            pass
        except RayflowError as error:
            # The next collection will do it; a checkpoint that remains does no harm, even if a disk is full.
            log.warning("old checkpoints could not be deleted", job=self._job, reason=error.what, code=error.code)
        finally:
            self._deleting = False

    def _begin_deleting(self) -> None:
        self._deleting = True  # before `_closed` is read: either this sees `close`, or `close` sees this and waits
        if self._closed:
            raise _Abandoned

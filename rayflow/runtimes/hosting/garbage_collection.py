"""Deleting old checkpoints, beside the commits."""

from __future__ import annotations

from collections.abc import Callable, Collection

from rayflow.checkpoint.retention import collect
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import CheckpointStoreFailed, DamagedObject, ObjectMissing
from rayflow.core.ids import Epoch
from rayflow.core.logging import get_logger
from rayflow.runtimes.hosting.ports import Background

log = get_logger("rayflow.coordinator")


class GarbageCollection:
    """Deletes what no kept checkpoint names, on a line of its own: listing a large store can outlast an epoch."""

    def __init__(
        self,
        job: str,
        store: CheckpointStore,
        retain: int,
        background: Background,
        pinned: Callable[[], Collection[Epoch]],
    ) -> None:
        """`pinned` gives the epochs whose checkpoints are being copied; it is called on the background's thread."""
        self._job = job
        self._store = store
        self._retain = retain
        self._background = background
        self._pinned = pinned
        self._again = False

    def collect(self) -> None:
        """Collect in the background. While a collection runs, all further calls together bring one more."""
        self._again = self._background.waiting > 0
        if not self._again:
            self._background.call(self._run, lambda _: self.collect() if self._again else None)

    @property
    def running(self) -> bool:
        """Whether a collection is in flight."""
        return self._background.waiting > 0

    def step(self) -> bool:
        """Go on with what follows a collection. True if one was done."""
        return self._background.collect()

    def close(self) -> None:
        """Let the running collection finish."""
        self._background.close()

    def _run(self) -> None:
        try:
            collect(self._store, self._retain, self._pinned())
        except (DamagedObject, ObjectMissing, CheckpointStoreFailed) as error:
            # It can wait; a checkpoint that is there cannot harm.
            log.warning("old checkpoints could not be deleted", job=self._job, reason=error.what, code=error.code)

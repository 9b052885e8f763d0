"""Whether a run continues after one of its attempts was fenced."""

from __future__ import annotations

from contextlib import suppress

from rayflow.checkpoint.attempts import newest_attempt
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import RayflowError
from rayflow.core.ids import Attempt

MOST = 3
"""Attempts in a row that may be fenced before they complete an epoch."""


class Fencing:
    """Tells being replaced from being interrupted.

    Another process that starts the job claims a newer attempt: then this run is over. An older process, which was cut
    off in the middle of a commit, takes the publisher's slot back to find out what became of it, and then ends (see
    `connectors.kafka.publisher`): that costs this run a recovery.
    """

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store
        self._in_a_row = 0

    def completed(self) -> None:
        """An epoch is completed."""
        self._in_a_row = 0

    def continues(self, attempt: Attempt) -> bool:
        """Whether another attempt follows `attempt`, which was fenced."""
        self._in_a_row += 1
        newest: Attempt | None = None
        with suppress(RayflowError):
            newest = newest_attempt(self._store)
        return newest == attempt and self._in_a_row <= MOST

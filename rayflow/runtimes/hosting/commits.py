"""The coordinator's writes to the checkpoint store: claims, manifests, and notes of what is published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rayflow.checkpoint.attempts import claim_attempt
from rayflow.checkpoint.manifest import (
    Manifest,
    is_published,
    manifest_epochs,
    newest_committer,
    newest_manifest,
    record_published,
    write_manifest,
)
from rayflow.core.errors import ObjectExists
from rayflow.core.ids import Attempt
from rayflow.engine.events import (
    AttemptClaimed,
    CoordinatorEvent,
    ManifestConflict,
    ManifestRead,
    ManifestWritten,
    PublishedRecorded,
)
from rayflow.engine.orders import ClaimAttempt, RecordPublished
from rayflow.runtimes.hosting import steps
from rayflow.runtimes.hosting.ports import Background, Ports
from rayflow.runtimes.hosting.sources import Sources


class Commits:
    """Writes the manifest of each epoch, which is the commit point.

    Attributes:
        newest: the manifest read at the start, or written since.
    """

    def __init__(
        self,
        ports: Ports,
        sources: Sources,
        background: Background,
        tell: Callable[[CoordinatorEvent], None],
        on_commit: Sequence[Callable[[Manifest], None]],
    ) -> None:
        """`tell`: gives the coordinator an event. `on_commit`: called, in order, with each manifest that is written."""
        self.newest: Manifest | None = None
        self._store = ports.checkpoints
        self._sources = sources
        self._on_step = ports.on_step
        self._background = background
        self._tell = tell
        self._on_commit = on_commit

    def claim(self, order: ClaimAttempt) -> None:
        """Claim the next attempt."""
        self._tell(AttemptClaimed(claim_attempt(self._store, order.slots, order.lineage)))

    def read(self) -> None:
        """Read the newest manifest, and then count the partitions of the sources.

        Raises BrokerUnavailable, UnknownTopic, AuthenticationFailed, and the errors of the store.
        """
        self.newest = newest_manifest(self._store)
        published = self.newest is not None and is_published(self._store, self.newest)
        self._tell(ManifestRead(self.newest, self._sources.partitions(), published))

    def write(self, manifest: Manifest) -> None:
        """Write the manifest of an epoch, in the background."""
        self._background.call(partial(self._write, manifest), partial(self._written, manifest))

    def record_published(self, order: RecordPublished) -> None:
        """Note, in the background, that the output of an epoch is published."""
        note = partial(record_published, self._store, order.lineage, order.epoch)
        self._background.call(note, lambda _: self._tell(PublishedRecorded()))

    def _write(self, manifest: Manifest) -> Attempt:
        """The attempt whose manifest the epoch has then."""
        try:
            write_manifest(self._store, manifest)
        except ObjectExists:
            # Also this attempt's, if the store wrote it and its answer was lost.
            return newest_committer(self._store)
        newest = max(manifest_epochs(self._store), default=manifest.epoch)
        if newest > manifest.epoch:
            # Created again: a later attempt had committed this epoch and newer ones, and deleted this manifest.
            return newest_committer(self._store)
        return manifest.attempt

    def _written(self, manifest: Manifest, attempt: Attempt) -> None:
        if attempt != manifest.attempt:
            self._tell(ManifestConflict(manifest.epoch, attempt))
            return
        self.newest = manifest
        for call in self._on_commit:
            call(manifest)
        self._on_step(steps.MANIFEST_WRITTEN)
        self._tell(ManifestWritten(manifest.epoch))

"""The note that a run leaves when it ends: all its output is published, whatever becomes of the markers.

A manifest can only say that the epochs before its own are published. That its own is too is written beside it, as an
object whose name says everything: it is true for ever, so whoever writes it, and when, does not matter.
"""

from __future__ import annotations

from contextlib import suppress

from rayflow.checkpoint.layout import published_name
from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import ObjectExists
from rayflow.core.ids import Epoch


def record_published(store: CheckpointStore, lineage: str, epoch: Epoch) -> None:
    """Note that everything up to `epoch` of a lineage is published. Noting it twice is noting it once."""
    with suppress(ObjectExists):
        store.create(published_name(lineage, epoch), b"")


def is_published(store: CheckpointStore, manifest: Manifest) -> bool:
    """Whether it is known that the manifest's own epoch is published."""
    name = published_name(manifest.lineage, manifest.epoch)
    return manifest.published >= manifest.epoch or name in store.list(name)

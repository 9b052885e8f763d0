"""The record that a run leaves at its end: all its output is published, whatever happens to the markers.

A manifest can only say that the epochs before its own are published. That its own epoch is published is recorded beside
it, by an object whose name contains everything. The record stays true forever, so it does not matter who writes it, and
when.
"""

from __future__ import annotations

from contextlib import suppress

from rayflow.checkpoint.layout import published_name
from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import ObjectExists
from rayflow.core.ids import Epoch


def record_published(store: CheckpointStore, lineage: str, epoch: Epoch) -> None:
    """Record that everything up to `epoch` of a lineage is published. Recording it twice has no further effect."""
    with suppress(ObjectExists):
        store.create(published_name(lineage, epoch), b"")


def is_published(store: CheckpointStore, manifest: Manifest) -> bool:
    """Whether the manifest's own epoch is known to be published."""
    name = published_name(manifest.lineage, manifest.epoch)
    return manifest.published >= manifest.epoch or name in store.list(name)

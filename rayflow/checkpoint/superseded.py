"""Tells a checkpoint that another attempt has left behind from one that has lost objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rayflow.checkpoint.manifest import manifest_epochs
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import Fenced, ObjectMissing
from rayflow.core.ids import Epoch


@contextmanager
def starting_from(store: CheckpointStore, epoch: Epoch) -> Iterator[None]:
    """Reads the objects of checkpoint `epoch`, which an attempt starts from.

    Another attempt may commit newer epochs meanwhile; its garbage collection then deletes what is being read here.
    Raises Fenced instead of ObjectMissing if there is a newer checkpoint.
    """
    try:
        yield
    except ObjectMissing as error:
        newest = max(manifest_epochs(store), default=epoch)
        if newest <= epoch:
            raise
        raise Fenced(
            f"another attempt has committed epoch {newest} and deleted checkpoint {epoch}, which this one starts from"
        ) from error

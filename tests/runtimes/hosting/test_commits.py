"""What the coordinator reads at the start of an attempt."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.store import CheckpointStore
from rayflow.engine.events import CoordinatorEvent, ManifestRead
from rayflow.runtimes.hosting.commits import Commits
from tests.checkpoint.model import History


def test_partitions_are_counted_after_the_manifest_is_read(tmp_path: Path) -> None:
    """Otherwise the manifest may be of an attempt that has seen more of them."""
    store = open_store(f"file:{tmp_path}")
    history = History(store)
    seen = 2

    class Store:
        """Just before it is read, a later process of the job sees another partition, and commits."""

        def __getattr__(self, name: str) -> Any:
            nonlocal seen
            if seen == 2:
                seen = 3
                history.run_epoch()
            return getattr(store, name)

    told: list[CoordinatorEvent] = []
    ports = SimpleNamespace(checkpoints=cast("CheckpointStore", Store()), on_step=None)
    sources = SimpleNamespace(partitions=lambda: {"in": seen})
    Commits(cast("Any", ports), cast("Any", sources), cast("Any", None), told.append, ()).read()
    (event,) = told
    assert isinstance(event, ManifestRead)
    assert event.manifest is not None
    assert (event.manifest.epoch, event.sources) == (1, {"in": 3})

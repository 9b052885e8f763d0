"""What must hold when a simulation has come to its end."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rayflow.checkpoint.manifest import newest_manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.testing.simulation.feeder import Feeder
from rayflow.testing.simulation.inspection import check_checkpoint
from rayflow.testing.simulation.jobs import Shape
from rayflow.testing.simulation.kafka import ModelKafka
from rayflow.testing.simulation.oracle import Oracle, expect


def check_end(kafka: ModelKafka, store: CheckpointStore, shape: Shape, feeder: Feeder) -> None:
    """No transaction is open, the last checkpoint is exact, every epoch was published once, the output is exact.

    Raises AssertionError.
    """
    expect("open transactions", kafka.open_transactions(), [])
    manifest = newest_manifest(store)
    assert manifest is not None
    check_checkpoint(store, manifest, shape, feeder.entries)
    seen: dict[Any, int] = {}
    for place, epoch, _ in kafka.markers_set:
        if epoch < seen.get(place, 0):
            raise AssertionError(f"the marker of {place[1]}/{place[2]} went back to epoch {epoch}")
        seen[place] = epoch
    for (place, epoch, _), times in Counter(kafka.published).items():
        if times > 1:
            raise AssertionError(f"epoch {epoch} of {place[1]}/{place[2]} was published {times} times")
    oracle = Oracle(shape)
    for branch in shape.branches:
        written = [(p, entry.key, entry.value) for p, entry in kafka.committed(branch)]
        oracle.check(feeder.inputs, branch, written)

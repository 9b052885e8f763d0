"""The conditions that must hold at the end of a simulation."""

from __future__ import annotations

import json
from typing import Any

from rayflow.checkpoint.layout import AttemptObject, BasePartObject, ManifestObject, SegmentObject, parse_name
from rayflow.checkpoint.manifest import manifest_epochs, newest_manifest, read_manifest
from rayflow.checkpoint.retention import collect
from rayflow.core.ids import Attempt
from rayflow.testing.simulation.expecting import expect
from rayflow.testing.simulation.feeder import Feeder
from rayflow.testing.simulation.inspection import TABLES, Inspection, check_checkpoint
from rayflow.testing.simulation.jobs import LATE, Shape
from rayflow.testing.simulation.kafka import ModelKafka
from rayflow.testing.simulation.lateness import Lateness
from rayflow.testing.simulation.oracle import Oracle, Written
from rayflow.testing.simulation.repeats import Repeats
from rayflow.testing.simulation.store import ModelStore


def check_end(
    kafka: ModelKafka,
    store: ModelStore,
    shape: Shape,
    feeder: Feeder,
    repeats: Repeats,
    lateness: Lateness,
    retain: int,
) -> None:
    """Check that no transaction is open and no reader is blocked, the last checkpoint is exact, every epoch was
    published once, the output is exact, and nothing unneeded is left.

    Raises AssertionError.
    """
    expect("open transactions", kafka.open_transactions(), [])
    held_up = [place for place, log in kafka.logs.items() if kafka.stable(place) != len(log)]
    expect("partitions whose readers are held up", held_up, [])
    manifest = newest_manifest(store)
    assert manifest is not None
    _check_leftovers(check_checkpoint(store, manifest, shape, feeder, lateness), shape, feeder, kafka)
    if shape.delivery == "exactly_once":
        _check_published_once(kafka)
        oracle = Oracle(shape)
        for branch in shape.branches:
            if branch in LATE:
                oracle.check_windows(
                    lateness.of(branch), branch, _written(kafka, branch), _written(kafka, LATE[branch])
                )
            else:
                oracle.check(feeder.reaching(branch), branch, _written(kafka, branch))
    else:
        for branch in shape.branches:
            repeats.check(branch, kafka.committed(branch))
    _check_store(store, retain, manifest.attempt)


def _written(kafka: ModelKafka, topic: str) -> Written:
    return [(p, entry.key, entry.value) for p, entry in kafka.committed(topic)]


def _check_published_once(kafka: ModelKafka) -> None:
    """Check that markers never go back, and that epochs are published in order, once, and never by an old lineage."""
    marked: dict[Any, int] = {}
    for place, epoch, text in kafka.markers_set:
        at = (place, json.loads(text)["lineage"])
        if epoch < marked.get(at, 0):
            raise AssertionError(f"the marker of {place[1]}/{place[2]} went back to epoch {epoch}")
        marked[at] = epoch
    seen: dict[Any, list[tuple[str, int]]] = {}
    for place, epoch, text in kafka.published:
        lineage = json.loads(text)["lineage"]
        history = seen.setdefault(place, [])
        epochs = [at for one, at in history if one == lineage]
        if epochs and epoch <= epochs[-1]:
            raise AssertionError(f"epoch {epoch} of {place[1]}/{place[2]} was published twice")
        if epochs and history[-1][0] != lineage:
            raise AssertionError(f"epoch {epoch} of {place[1]}/{place[2]} was published by a lineage that was left")
        history.append((lineage, epoch))


def _check_leftovers(inspection: Inspection, shape: Shape, feeder: Feeder, kafka: ModelKafka) -> None:
    """Check that windows and event-time timers are gone after a drained run, and wall-clock timers fired or still
    wait."""
    for branch in shape.branches:
        if TABLES.get(branch) == "windows":
            expect(f"windows of {branch} that are left", inspection.table(branch), {})
    expect("timers that are left", inspection.timers("process", "timers"), set())
    if "states" in shape.branches:
        pairs = [(key, json.loads(value or b"null")) for _, key, value in _written(kafka, "states")]
        fired = {((key or b"").decode(), value["alarm"]) for key, value in pairs if "alarm" in value}
        waiting = inspection.timers("states", "timers.processing")
        expect("alarms that fired and still wait", fired & waiting, set())
        expect("alarms that fired or wait", fired | waiting, Oracle(shape).alarms(feeder.inputs))


def _check_store(store: ModelStore, retain: int, attempt: Attempt) -> None:
    """Check that after a last collection only the objects of kept checkpoints, and later claims of attempts, exist."""
    collect(store, retain)
    needed = {name for epoch in manifest_epochs(store) for name in read_manifest(store, epoch).objects()}
    manifests = 0
    for name in store.list(""):
        match parse_name(name):
            case ManifestObject():
                manifests += 1
            case AttemptObject(number) | SegmentObject(_, number, _) | BasePartObject(_, _, number, _):
                assert number >= attempt or name in needed, f"{name} is left"
    assert manifests <= retain, f"{manifests} manifests are left"

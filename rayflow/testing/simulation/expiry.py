"""Markers that the broker forgets, and the user who then looks into the topics."""

from __future__ import annotations

from rayflow.checkpoint.manifest import Manifest, newest_manifest
from rayflow.checkpoint.published import is_published
from rayflow.core.ids import SinkTask
from rayflow.engine.recovery import LostMarker, sink_tasks_of
from rayflow.testing.simulation.kafka import ModelKafka
from rayflow.testing.simulation.publisher import marker_place
from rayflow.testing.simulation.store import ModelStore

A_WEEK = 8 * 24 * 3600 * 1000
"""More than brokers keep the offsets of a group that nobody uses, ms."""


class Expiry:
    """Forgets the markers of one job."""

    def __init__(self, kafka: ModelKafka, store: ModelStore, job: str) -> None:
        self._asked: set[int] = set()
        self._kafka = kafka
        self._store = store
        self._group = f"{job}-markers"

    def allowed(self) -> bool:
        """Whether what the user must decide afterwards has an answer: the epoch in question is out, or it is not.

        Nothing may be on its way that would still change it: a week is long enough for everything to arrive.
        """
        if self._store.creating or self._kafka.open_transactions():
            return False
        manifest = newest_manifest(self._store)
        if manifest is None:
            return True
        return len({self._is_published(manifest, sink) for sink in sink_tasks_of(manifest)}) == 1

    def forget(self) -> None:
        """All markers are gone."""
        manifest = newest_manifest(self._store)
        if manifest is not None and manifest.outputs and not is_published(self._store, manifest):
            self._asked.add(manifest.epoch)
        for place in [place for place in self._kafka.offsets if place[0] == self._group]:
            del self._kafka.offsets[place]

    def may_ask(self) -> bool:
        """Whether the job may say that a marker is lost: only if that decides whether its newest epoch is out."""
        manifest = newest_manifest(self._store)
        return manifest is not None and manifest.epoch in self._asked

    def decide(self) -> LostMarker:
        """What the user finds in the topics."""
        manifest = newest_manifest(self._store)
        assert manifest is not None
        offsets = self._kafka.offsets
        lost = [sink for sink in sink_tasks_of(manifest) if (self._group, *marker_place(sink)) not in offsets]
        published = all(self._is_published(manifest, sink) for sink in lost)
        return LostMarker("skip" if published else "republish", manifest.epoch)

    def _is_published(self, manifest: Manifest, sink: SinkTask) -> bool:
        place = (self._group, *marker_place(sink))
        return any(at == place and epoch == manifest.epoch for at, epoch, _ in self._kafka.markers_set)

"""Markers that the broker expires, and a user who then looks into the topics."""

from __future__ import annotations

import json
from collections.abc import Callable

from rayflow.checkpoint.manifest import Manifest, is_published, newest_manifest
from rayflow.core.ids import SinkTask
from rayflow.engine.recovery import LostMarker, sink_tasks_of
from rayflow.testing.simulation.kafka import ModelKafka
from rayflow.testing.simulation.publisher import marker_place
from rayflow.testing.simulation.store import ModelStore

A_WEEK = 8 * 24 * 3600 * 1000
"""Longer than brokers keep the offsets of an unused group, ms."""


class Expiry:
    """Expires the markers of one job."""

    def __init__(self, kafka: ModelKafka, store: Callable[[], ModelStore], job: str) -> None:
        self._asked: set[int] = set()
        self._kafka = kafka
        self._store = store
        self._group = f"{job}-markers"

    def allowed(self) -> bool:
        """Whether the user's decision has a definite answer: the epoch in question is published, or it is not.

        Nothing in flight may still change it: a week is long enough for everything to arrive.
        """
        if self._store().creating or self._kafka.open_transactions():
            return False
        manifest = newest_manifest(self._store())
        if manifest is None:
            return True
        return len({self._is_published(manifest, sink) for sink in sink_tasks_of(manifest)}) == 1

    def forget(self) -> None:
        """Expire all markers."""
        manifest = newest_manifest(self._store())
        if manifest is not None and manifest.outputs and not is_published(self._store(), manifest):
            self._asked.add(manifest.epoch)
        for place in [place for place in self._kafka.offsets if place[0] == self._group]:
            del self._kafka.offsets[place]

    def may_ask(self) -> bool:
        """Whether the job may report a lost marker: only if the marker decides whether its newest epoch is
        published."""
        manifest = newest_manifest(self._store())
        return manifest is not None and manifest.epoch in self._asked

    def decide(self) -> LostMarker:
        """The user's finding in the topics."""
        manifest = newest_manifest(self._store())
        assert manifest is not None
        offsets = self._kafka.offsets
        lost = [sink for sink in sink_tasks_of(manifest) if (self._group, *marker_place(sink)) not in offsets]
        published = all(self._is_published(manifest, sink) for sink in lost)
        return LostMarker("skip" if published else "republish", manifest.epoch)

    def _is_published(self, manifest: Manifest, sink: SinkTask) -> bool:
        place = (self._group, *marker_place(sink))
        marker = (manifest.epoch, manifest.lineage)
        return any(
            at == place and (epoch, json.loads(text)["lineage"]) == marker
            for at, epoch, text in self._kafka.markers_set
        )

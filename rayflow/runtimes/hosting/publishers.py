"""The publishers of a worker: for its own slot, and, until it starts, for unused slots that it fences."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

from rayflow.checkpoint.manifest import read_manifest
from rayflow.checkpoint.superseded import starting_from
from rayflow.core.batch import EncodedBatch
from rayflow.core.ids import Marker, SinkTask, WorkerId
from rayflow.engine.events import MarkersSet
from rayflow.engine.orders import SetMarkers
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting import steps
from rayflow.runtimes.hosting.messages import Fence, Republish, Republished, SlotFenced
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.segments import positions_of, read_progress, read_staged
from rayflow.runtimes.hosting.sinks import Sinks
from rayflow.runtimes.hosting.sources import Sources


class Publishers:
    """Publishes a slot's output, and the output that the last attempt staged for other slots.

    Attributes:
        own: the slot's sinks. Do not use them before they are fenced.
    """

    def __init__(
        self, plan: JobPlan, ports: Ports, slot: WorkerId, sources: Sources, tell: Callable[[object], None]
    ) -> None:
        """`tell`: sends a message to the coordinator."""
        self.own = Sinks(plan, ports.connectors)
        self._plan = plan
        self._ports = ports
        self._slot = slot
        self._sources = sources
        self._tell = tell
        self._others: dict[WorkerId, Sinks] = {}
        self._to_fence: deque[Fence] = deque()

    def fence(self, order: Fence) -> None:
        """Request that the publishers of a slot are opened in a later turn."""
        self._to_fence.append(order)

    def step(self) -> bool:
        """Open the publishers of one slot; each may wait for a broker. True if there was one to open."""
        if not self._to_fence:
            return False
        order = self._to_fence.popleft()
        self._tell(SlotFenced(order.slot, self._sinks_of(order.slot).open(order.slot, order.sinks)))
        return True

    def look(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        """Read the markers without fencing."""
        return self.own.look(self._slot, sinks)

    def republish(self, order: Republish) -> Generator[None, None, None]:
        """Publish the output that a slot staged for the last checkpoint, in slices."""
        store, together = self._ports.checkpoints, self._ports.together
        with starting_from(store, order.epoch):
            manifest = read_manifest(store, order.epoch)
            outputs = read_staged(store, manifest, order.sinks, together)
            positions = positions_of(read_progress(store, manifest, together))
        self._sources.place(order.sources)
        marker = Marker(manifest.lineage, manifest.epoch)
        for step in self._sinks_of(order.slot).publish(marker, outputs, positions, self._sources):
            self._ports.on_step(steps.republish(step))
            yield
        self._tell(Republished(order.slot))

    def set_markers(self, order: SetMarkers) -> Generator[None, None, None]:
        """Publish only markers, in slices."""
        nothing: dict[SinkTask, Sequence[EncodedBatch]] = dict.fromkeys(order.sinks, ())
        for step in self.publish(order.marker, nothing, {}):
            self._ports.on_step(steps.mark(step))
            yield
        self._tell(MarkersSet())

    def publish(
        self,
        marker: Marker,
        outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
        positions: Mapping[tuple[str, int], int],
    ) -> Iterator[str]:
        """Publish an epoch of the slot; yields the names of the steps."""
        return self.own.publish(marker, outputs, positions, self._sources)

    def let_go_of_others(self) -> None:
        """Close the publishers of other slots; their output is visible."""
        for sinks in self._others.values():
            sinks.close()
        self._others.clear()

    def settle(self) -> None:
        """Wait until all published output is visible to readers, a few seconds at most."""
        self.own.settle()

    @property
    def outage(self) -> str | None:
        """Why publishing waits, while a system is unavailable."""
        return next((found for sinks in (self.own, *self._others.values()) if (found := sinks.outage)), None)

    def close(self) -> None:
        """Close all."""
        self.let_go_of_others()
        self.own.close()

    def _sinks_of(self, slot: WorkerId) -> Sinks:
        if slot == self._slot:
            return self.own
        if slot not in self._others:
            self._others[slot] = Sinks(self._plan, self._ports.connectors)
        return self._others[slot]

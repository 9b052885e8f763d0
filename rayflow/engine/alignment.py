"""Barrier alignment over a task's input channels (Chandy-Lamport, as Flink aligns).

See docs/concepts/exactly-once.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import ChannelId, Epoch
from rayflow.engine.events import BarrierReceived, ChannelEvent


class Alignment:
    """Holds back channels that are ahead until every channel has delivered the barrier."""

    def __init__(self, channels: Iterable[ChannelId], epoch: Epoch) -> None:
        """`epoch` is the open epoch: the next barrier must end it."""
        self.channels = frozenset(channels)
        self.epoch = epoch
        self._arrived: set[ChannelId] = set()
        self._held: deque[ChannelEvent] = deque()
        self._drain = False

    def holds(self, event: ChannelEvent) -> bool:
        """Whether the event's channel is ahead. If so, the event is kept for `release`."""
        if event.channel not in self._arrived:
            return False
        self._held.append(event)
        return True

    def barrier(self, event: BarrierReceived) -> bool:
        """Handle a barrier of a channel that is not ahead. True when every channel has delivered it."""
        if event.channel not in self.channels:
            raise InvariantBroken(f"a barrier came on {event.channel}, which is no input of this task")
        if event.epoch != self.epoch:
            raise InvariantBroken(f"barrier {event.epoch} came on {event.channel} while epoch {self.epoch} is open")
        self._arrived.add(event.channel)
        self._drain = self._drain or event.drain
        return len(self._arrived) == len(self.channels)

    def ahead(self, channel: ChannelId) -> bool:
        """Whether a channel has delivered the barrier while other channels have not."""
        return channel in self._arrived

    @property
    def drain(self) -> bool:
        """Whether the arriving barrier ends a bounded run."""
        return self._drain

    @property
    def held(self) -> int:
        """Number of events held back."""
        return len(self._held)

    def release(self) -> list[ChannelEvent]:
        """Open the next epoch, and return the events held back, in order of arrival, to be handled again."""
        held = list(self._held)
        self._held.clear()
        self._arrived.clear()
        self._drain = False
        self.epoch += 1
        return held

    def validate(self, waits: bool = False) -> None:
        """Raises InvariantBroken if channels have arrived that do not exist, or events of other channels are held.

        `waits`: the task has the barrier, and waits for calls before it ends its run.
        """
        if not self._arrived <= self.channels:
            raise InvariantBroken("a channel that is no input has delivered a barrier")
        if len(self._arrived) == len(self.channels) and self.channels and not waits:
            raise InvariantBroken(f"epoch {self.epoch} is aligned but was not sealed")
        if any(event.channel not in self._arrived for event in self._held):
            raise InvariantBroken("an event is held back on a channel that is not ahead")

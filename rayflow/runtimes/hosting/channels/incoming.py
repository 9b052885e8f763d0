"""Queues events from other workers until their task takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from rayflow.core.ids import Epoch, TaskId, WorkerId
from rayflow.engine.events import BatchReceived, ChannelEvent
from rayflow.engine.worker import Worker
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.channels.encoding import decode_event
from rayflow.runtimes.hosting.channels.ordered import Ordered
from rayflow.runtimes.hosting.channels.outgoing import Feed, Frame
from rayflow.serde.codec import Codec


@dataclass(frozen=True, slots=True)
class Arrived:
    """An event and, for records, the flow to which they belong and the bytes of its credit that they use."""

    event: ChannelEvent
    sender: WorkerId
    size: int

    @property
    def flow(self) -> Feed:
        """The flow of the records."""
        return Feed(self.event.channel.exchange, self.event.channel.source)


class Incoming:
    """Queues the events of each task in order of arrival; tasks take them in turn.

    The sender gets its credit back when a task has handled a batch. For a batch that alignment holds back, this happens
    only after the barrier has passed, so that the held batches are bounded, too.
    """

    def __init__(self, plan: JobPlan, codec: Codec, give: Callable[[WorkerId, Feed, int], None]) -> None:
        self._codec = codec
        self._give = give
        self._downstream = {exchange.id: exchange.downstream for exchange in plan.exchanges}
        self._senders: dict[WorkerId, Ordered[Frame]] = {}
        self._queues: dict[TaskId, deque[Arrived]] = {}
        self._held: list[tuple[TaskId, Epoch, Arrived]] = []

    def arrive(self, frame: Frame) -> list[Frame]:
        """Accept a frame. Returns those frames, in order, whose events are now queued. Raises DamagedObject."""
        ordered = self._senders.setdefault(frame.sender, Ordered())
        ready = ordered.arrive(frame.number, frame)
        for each in ready:
            for data in each.events:
                event = decode_event(data, self._codec)
                size = len(data) if isinstance(event, BatchReceived) else 0
                task = TaskId(self._downstream[event.channel.exchange], event.channel.target)
                self._queues.setdefault(task, deque()).append(Arrived(event, each.sender, size))
        return ready

    def next(self, waiting: Collection[TaskId]) -> list[Arrived]:
        """Take one event for each task that has one and is not in `waiting`."""
        return [queue.popleft() for task, queue in self._queues.items() if queue and task not in waiting]

    def handled(self, arrived: Arrived, worker: Worker) -> None:
        """Note that the worker has taken an event: its sender gets credit back, unless alignment holds the event
        back."""
        if not arrived.size:
            return
        channel = arrived.event.channel
        id = TaskId(self._downstream[channel.exchange], channel.target)
        task = worker.tasks[id]
        if task.alignment.ahead(channel):
            self._held.append((id, task.epoch, arrived))
        else:
            self._give(arrived.sender, arrived.flow, arrived.size)

    def released(self, worker: Worker) -> None:
        """Give back the credit of events that are no longer held back."""
        if not self._held:
            return
        still = []
        for entry in self._held:
            task, epoch, arrived = entry
            if worker.tasks[task].epoch > epoch:
                self._give(arrived.sender, arrived.flow, arrived.size)
            else:
                still.append(entry)
        self._held = still

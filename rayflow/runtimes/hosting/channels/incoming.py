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
    """An event and, for records, which sender's flow they used how many bytes of."""

    event: ChannelEvent
    sender: WorkerId
    size: int

    @property
    def flow(self) -> Feed:
        """The flow that it belongs to."""
        return Feed(self.event.channel.exchange, self.event.channel.source)


class Incoming:
    """Keeps what has arrived per task, in order of arrival; tasks take it in turn.

    Credit goes back to the sender when a task has handled a batch; for one that the task's alignment holds back, only
    when the barrier has gone through, so that what is held is bounded too.
    """

    def __init__(self, plan: JobPlan, codec: Codec, give: Callable[[WorkerId, Feed, int], None]) -> None:
        self._codec = codec
        self._give = give
        self._downstream = {exchange.id: exchange.downstream for exchange in plan.exchanges}
        self._senders: dict[WorkerId, Ordered[Frame]] = {}
        self._queues: dict[TaskId, deque[Arrived]] = {}
        self._held: list[tuple[TaskId, Epoch, Arrived]] = []

    def arrive(self, frame: Frame) -> list[Frame]:
        """Take a frame; gives those, in order, whose events are queued now. Raises DamagedObject."""
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
        """One event for each task that has one and is not in `waiting`."""
        return [queue.popleft() for task, queue in self._queues.items() if queue and task not in waiting]

    def handled(self, arrived: Arrived, worker: Worker) -> None:
        """The worker has taken an event: its sender may send more, unless alignment holds it back."""
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
        """Give back the credit of what was held back and is not any more."""
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

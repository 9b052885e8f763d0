"""One real worker of many: what the channels from and to all the others' tasks cost it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rayflow.core.ids import ChannelId, TaskId, WorkerId
from rayflow.engine.actions import SendToWorker, WorkerAction, WriteSegment
from rayflow.engine.events import BarrierContinued, BarrierInjected, BarrierReceived, ChannelEvent, WatermarkReceived
from rayflow.engine.placement import place
from rayflow.engine.task import Task
from rayflow.engine.topology import Topology
from rayflow.engine.worker import Worker
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.channels.encoding import encode_event
from rayflow.runtimes.hosting.channels.incoming import Incoming
from rayflow.runtimes.hosting.channels.outgoing import Feed, Frame, Outgoing, decode_frame, encode_frame
from rayflow.serde.codec import Codec
from rayflow.state.memory_store import MemoryStore
from rayflow.state.task_state import TaskState


class OneWorker:
    """The worker of slot 0, with its tasks; what the others would send it is made by this.

    Attributes:
        channels: that end at its tasks. cpu: seconds, of what is measured. frames, events, bytes: that it has sent.
    """

    def __init__(self, plan: JobPlan, topology: Topology, workers: int) -> None:
        self.cpu = 0.0
        self.frames = self.events = self.bytes = 0
        self._plan = plan
        self._topology = topology
        self._placement = place(topology.tasks(), range(workers))
        self._codec = Codec()
        self._outbox = Outgoing(0, 1, plan, self._codec)
        self._inbox = Incoming(plan, self._codec, self._no_credit)
        self._sent = 0
        self._sealed = False
        mine = [task for task, slot in self._placement.items() if slot == 0]
        tasks = {id: Task(plan, topology, id, TaskState(MemoryStore(), self._codec), lambda: 0, epoch=1) for id in mine}
        self._worker = Worker(0, plan, topology, tasks, self._placement, codec=self._codec, memory_limit=1 << 30)
        self._do(self._worker.start({}))
        self._behind = {ex.id: [id for id in mine if id.stage == ex.downstream] for ex in plan.exchanges}
        self.channels = sum(len(task.alignment.channels) for task in tasks.values() if not task.reads_sources)

    def _inject(self) -> list[WorkerAction]:
        """All tasks take the coordinator's barrier within one turn, so what they send goes out together."""
        actions = self._worker.handle(BarrierInjected(1))
        while self._worker.sealing:
            actions += self._worker.handle(BarrierContinued())
        return actions

    def barrier(self) -> None:
        """The first epoch's barrier: out to all, in from all, and through."""
        self._spend(lambda: self._do(self._inject()))
        self._take(self._frames(lambda channel: BarrierReceived(channel, 1)))
        assert self._sealed

    def watermark(self, at: int) -> None:
        """Every other task's event time has advanced, each to a time of its own from `at` on."""
        self._take(self._frames(lambda channel: WatermarkReceived(channel, at + channel.source)))

    def _frames(self, event: Callable[[ChannelId], ChannelEvent]) -> list[bytes]:
        """What the others send: one frame each, with an event on each channel that ends here."""
        events: dict[WorkerId, list[bytes]] = {}
        for exchange in self._plan.exchanges:
            for source in range(self._topology.stages[exchange.upstream]):
                slot = self._placement[TaskId(exchange.upstream, source)]
                if slot:
                    for target in self._behind[exchange.id]:
                        channel = ChannelId(exchange.id, source, target.partition)
                        events.setdefault(slot, []).append(encode_event(event(channel), self._codec))
        number, self._sent = self._sent, self._sent + 1
        return [encode_frame(Frame(slot, 1, number, content)) for slot, content in events.items()]

    def _take(self, frames: Iterable[bytes]) -> None:
        def take() -> None:
            for data in frames:
                self._inbox.arrive(decode_frame(data))
            while ready := self._inbox.next(()):
                for arrived in ready:
                    self._do(self._worker.handle(arrived.event))
                    self._inbox.handled(arrived, self._worker)

        self._spend(take)

    def _do(self, actions: Iterable[WorkerAction]) -> None:
        for action in actions:
            if isinstance(action, SendToWorker):
                self.events += 1
                self._outbox.add(action, 0.0)
            else:
                self._sealed = self._sealed or isinstance(action, WriteSegment)

    def _spend(self, call: Callable[[], None]) -> None:
        """Measure a turn of the worker, and what it sends after it."""
        began = time.process_time()
        call()
        for _, frame in self._outbox.frames(now=1.0):
            self.frames += 1
            self.bytes += len(encode_frame(frame))
        self.cpu += time.process_time() - began

    def _no_credit(self, worker: WorkerId, flow: Feed, size: int) -> None:
        raise AssertionError("no records were sent")

"""A worker's writing and publishing, in slices between its records."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial

from rayflow.checkpoint import bases
from rayflow.checkpoint.bases import encode_base_part, split_rows
from rayflow.checkpoint.layout import base_part_name
from rayflow.core.ids import Attempt, Marker, WorkerId
from rayflow.engine.actions import ApplyEpoch, PublishEpoch, WriteSegment
from rayflow.engine.events import (
    BarrierContinued,
    BarrierInjected,
    BaseWritten,
    EpochApplied,
    EpochPublished,
    SegmentWritten,
    WorkerEvent,
)
from rayflow.engine.orders import WriteBase
from rayflow.engine.worker import Worker
from rayflow.runtimes.hosting import steps
from rayflow.runtimes.hosting.epoch_times import EpochTimes
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.publishers import Publishers
from rayflow.runtimes.hosting.segments import SegmentWriter
from rayflow.runtimes.hosting.slices import SLICE, Slices
from rayflow.runtimes.hosting.tasks import HostedTasks
from rayflow.state.base import Rows


class EpochWork:
    """Takes an epoch from its barrier to its end: seals it, writes its segment, publishes and applies it.

    Each step is a generator, which `advance` takes one slice further in each turn.
    """

    def __init__(
        self,
        delivery: str,
        ports: Ports,
        slot: WorkerId,
        attempt: Attempt,
        tasks: HostedTasks,
        publishers: Publishers,
        *,
        tell: Callable[[object], None],
        work: Callable[[WorkerEvent], None],
        on_epoch: Callable[[EpochTimes], None],
    ) -> None:
        """`tell`: sends a message to the coordinator. `work`: gives the worker an event."""
        self._delivery = delivery
        self._ports = ports
        self._slot = slot
        self._attempt = attempt
        self._tasks = tasks
        self._publishers = publishers
        self._tell = tell
        self._work = work
        self._on_epoch = on_epoch
        self._background = ports.background()
        self._slices = Slices()
        self._times = EpochTimes(0, 0.0)
        self._lineage = ""
        self._worker: Worker | None = None

    def start(self, lineage: str, worker: Worker) -> None:
        """The worker's tasks are restored, from checkpoints of this lineage."""
        self._lineage, self._worker = lineage, worker

    def collect(self) -> bool:
        """Continue after background writes that have ended. True if there was one."""
        return self._background.collect()

    def advance(self) -> None:
        """Do one slice of each step in progress."""
        self._slices.advance()

    def add(self, slices: Generator[None, None, None]) -> None:
        """Do one slice in each turn, beginning with the next one."""
        self._slices.add(slices)

    @property
    def writing(self) -> bool:
        """Whether something is being written or published."""
        return bool(self._slices) or self._background.waiting > 0

    def wait(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for background writes."""
        self._background.wait(timeout)

    def close(self) -> None:
        """Drop unfinished work."""
        self._slices.drop()
        self._background.close()

    def seal(self, barrier: BarrierInjected) -> None:
        """Have the tasks that read sources take the coordinator's barrier."""
        self._times = EpochTimes(barrier.epoch, self._ports.monotonic())
        self._slices.begin(self._seal(barrier))

    def write_segment(self, action: WriteSegment) -> None:
        """Write what the tasks have sealed."""
        self._slices.begin(self._write_segment(action))

    def committed(self) -> None:
        """The epoch's manifest is written."""
        self._times.committed = self._ports.monotonic()

    def publish(self, action: PublishEpoch) -> None:
        """Publish the epoch's output."""
        self._slices.add(self._publish(action))

    def apply(self, action: ApplyEpoch) -> None:
        """Apply the epoch's deltas to the tasks' stores."""
        self._slices.begin(self._apply(action))

    def done(self) -> None:
        """The epoch is published and applied."""
        times, self._times = self._times, EpochTimes(0, 0.0)  # which releases the output
        times.done = self._ports.monotonic()
        self._on_epoch(times)

    def write_base(self, order: WriteBase) -> None:
        """Write all rows of a task. They are fixed here, before anything else can apply another epoch."""
        self._slices.add(self._write_base(order, self._tasks.store(order.task).rows()))

    def _seal(self, barrier: BarrierInjected) -> Generator[None, None, None]:
        monotonic = self._ports.monotonic
        began = monotonic()
        self._work(barrier)
        while self._worker is not None and self._worker.sealing:
            if monotonic() - began > SLICE:
                yield
                began = monotonic()
            self._work(BarrierContinued())

    def _write_segment(self, action: WriteSegment) -> Generator[None, None, None]:
        monotonic = self._ports.monotonic
        if self._delivery == "at_least_once":
            for step in self._publishers.own.flush():
                self._ports.on_step(steps.flush(step))
                yield
        writer = SegmentWriter(action.epoch, self._attempt, self._slot)
        began = monotonic()
        for part in action.parts:
            if monotonic() - began > SLICE:
                yield
                began = monotonic()
            writer.add(part)
        self._background.call(partial(writer.write, self._ports.checkpoints), self._on_segment)

    def _on_segment(self, written: SegmentWritten) -> None:
        self._ports.on_step(steps.SEGMENT_WRITTEN)
        self._work(written)

    def _publish(self, action: PublishEpoch) -> Generator[None, None, None]:
        marker = Marker(self._lineage, action.epoch)
        for step in self._publishers.publish(marker, action.outputs, action.positions):
            self._ports.on_step(steps.publish(step))
            yield
        self._times.published = self._ports.monotonic()
        self._times.outputs = action.outputs
        self._ports.on_step(steps.PUBLISHED)
        self._work(EpochPublished(action.epoch))

    def _apply(self, action: ApplyEpoch) -> Generator[None, None, None]:
        assert self._worker is not None
        monotonic = self._ports.monotonic
        began = monotonic()
        for task in action.tasks:
            for _ in self._worker.tasks[task].completing(self._tasks.stamp(task, self._lineage, action.epoch)):
                if monotonic() - began > SLICE:
                    yield
                    began = monotonic()
            self._ports.on_step(steps.APPLIED_ONE_TASK)
        self._work(EpochApplied(action.epoch))

    def _write_base(self, order: WriteBase, runs: Iterator[Rows]) -> Generator[None, None, None]:
        names: list[str] = []
        size = 0
        for part, rows in enumerate(split_rows(runs, bases.PART_BYTES)):
            name = base_part_name(order.task, order.epoch, self._attempt, part)
            buffers = encode_base_part(rows)
            names.append(name)
            size += sum(map(len, buffers))
            done: list[None] = []
            self._background.call(partial(self._ports.checkpoints.put, name, buffers), done.append)
            while not done:
                yield
        self._ports.on_step(steps.BASE_WRITTEN)
        self._tell(BaseWritten(order.task, order.epoch, tuple(names), size))

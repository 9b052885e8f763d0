"""One task: the operators of a stage at one partition, over its own state. No I/O, no threads, no clock of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rayflow.checkpoint.sealed import TaskSealed
from rayflow.core.batch import Batch
from rayflow.core.clock import Clock
from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import WATERMARK_MAX, WATERMARK_MIN, ChannelId, Epoch, SinkTask, TaskId
from rayflow.engine.actions import (
    AppendOutput,
    EpochSealed,
    SendBarrier,
    SendBatch,
    StartCalls,
    TaskAction,
)
from rayflow.engine.alignment import Alignment
from rayflow.engine.event_time import EventTime
from rayflow.engine.events import (
    BarrierReceived,
    BatchReceived,
    CallsDone,
    ChannelEvent,
    IdleReceived,
    Listened,
    WatermarkReceived,
)
from rayflow.engine.exchange import split
from rayflow.engine.operator_time import OperatorTime
from rayflow.engine.sent_time import SentTime
from rayflow.engine.stage_edges import StageEdges
from rayflow.engine.task_operators import TaskOperators
from rayflow.engine.topology import Topology
from rayflow.operators.base import Operator, OperatorCounters, Outputs, Passing, Warn, no_warning
from rayflow.plan.physical import Edge, JobPlan
from rayflow.state.base import Stamp
from rayflow.state.task_state import TaskState

CONTROL = "control"
"""The channel that delivers the coordinator's barriers to the tasks that read sources."""


def control_channel(partition: int) -> ChannelId:
    """The control channel of a task."""
    return ChannelId(CONTROL, -1, partition)


class Task:
    """Runs batches through the stage's operators; keeps event time; aligns, seals and completes epochs.

    Call `start` first. Each method returns what the worker has to do, in order.
    """

    def __init__(
        self,
        plan: JobPlan,
        topology: Topology,
        task: TaskId,
        state: TaskState,
        clock: Clock,
        epoch: Epoch,
        warn: Warn = no_warning,
    ) -> None:
        """`epoch`: the epoch that opens now, which follows the checkpoint that `state` contains. `warn`: where
        operators' warnings go."""
        self.id = task
        self.state = state
        stage = plan.stage(task.stage)
        self._exactly_once = plan.delivery == "exactly_once"
        self._actions: list[TaskAction] = []
        self._positions: dict[str, int] = {}
        self._draining: Iterator[None] | None = None
        self._operators = TaskOperators(plan, topology, task, state, clock, warn)
        self._edges = StageEdges(plan, topology, task)
        self.time = EventTime(self._operators.streams, self._edges.channels, self._operators.absent)
        self._operator_time = OperatorTime(stage, {e.id: e for e in plan.exchanges}, self._operators.by_id)
        self._sent = SentTime(self._edges.partitioners)
        self.reads_sources = bool(stage.sources)
        control = [control_channel(task.partition)] if self.reads_sources else []
        self.alignment = Alignment([*control, *self._edges.channels], epoch)

    @property
    def operators(self) -> Mapping[str, Operator]:
        """Every operator by id, in topological order."""
        return self._operators.by_id

    @property
    def counters(self) -> Mapping[str, OperatorCounters]:
        """The counts of each operator."""
        return self._operators.counters

    @property
    def epoch(self) -> Epoch:
        """The open epoch."""
        return self.alignment.epoch

    @property
    def pending_bytes(self) -> int:
        """Estimate of the memory that the open epoch uses: overlay and staged output."""
        return self.state.pending_bytes + sum(sink.staged_bytes for sink in self._operators.sinks.values())

    @property
    def positions(self) -> Mapping[str, int]:
        """The next position of each source that has delivered records."""
        return self._positions

    def start(self, progress: Mapping[str, Any] | None) -> list[TaskAction]:
        """Open the operators over restored state, and restore `progress` from a checkpoint (None without one)."""
        self._operators.open()
        if progress is not None:
            self._positions = dict(progress["positions"])
            for id, newest in progress["newest"].items():
                if id in self._operators.streams:
                    self._operators.streams[id].restore(newest)
            self.time.restore(progress["watermark"], progress.get("entries", {}))
            self._operator_time.restore(progress.get("passed", {}))
            self._pass_time_on()
        return self._done()

    def on_records(self, source: str, batch: Batch, next_position: int) -> list[TaskAction]:
        """Take undecoded records of a source."""
        if len(batch):  # a source may only have skipped a gap
            streams = self._edges.from_sources[source]
            for id in streams:
                self.time.on_records(id)
            if self._sent.idle:
                self._send_idleness()
            for id in streams:
                self._push(Edge(id), batch)
        self._positions[source] = next_position
        self._advance()
        return self._done()

    def on_channel(self, event: ChannelEvent) -> list[TaskAction]:
        """Handle an event of an input channel: now, or later if its channel is ahead."""
        self._take(event)
        return self._done()

    def on_clock(self, now: int, listened: Listened | None = None) -> list[TaskAction]:
        """Fire what waits for the wall clock, and find sources that have become idle.

        It does nothing while the end of a bounded run waits for calls: then only the end advances the time of later
        operators.
        """
        if self._draining is not None:
            return self._done()
        for id, operator in self._operators.by_id.items():
            self._route(id, operator.on_clock(now))
        span = Listened(WATERMARK_MIN, now) if listened is None else listened
        undelivered = {
            id for task, source in span.undelivered if task == self.id for id in self._edges.from_sources[source]
        }
        self.time.look(span.since, span.until, undelivered)
        self._advance()
        return self._done()

    def on_calls(self, event: CallsDone) -> list[TaskAction]:
        """Take the outcomes of calls. An end of the run that waits for them continues when none is in flight."""
        watermark = self._operator_time.given_to(event.operator)
        passing = self._operators.calling[event.operator].on_calls(event.outcomes, watermark)
        self._route(event.operator, self._noting(event.operator, passing))
        if self._draining is None:
            self._pass_time_on()
            self._send_idleness()
        else:
            self._seal()
        return self._done()

    @property
    def makes_calls(self) -> bool:
        """Whether an operator of the task makes calls outside of the engine."""
        return bool(self._operators.calling)

    @property
    def full(self) -> bool:
        """Whether records must wait because too many calls are in flight."""
        return any(operator.full for operator in self._operators.calling.values())

    def complete(self, stamp: Stamp) -> None:
        """Apply the delta of the committed epoch of `stamp` to the store."""
        self.state.complete(stamp)

    def completing(self, stamp: Stamp) -> Iterator[None]:
        """Like `complete`, but in small steps, so that records can be processed in between. Iterate to the end."""
        return self.state.completing(stamp)

    def close(self) -> None:
        """Release the state."""
        self.state.close()

    def _take(self, event: ChannelEvent) -> None:
        if self.alignment.holds(event):
            return
        if isinstance(event, BatchReceived):
            for edge in self._edges.from_exchanges[event.channel.exchange]:
                self._push(edge, event.batch)
        elif isinstance(event, WatermarkReceived):
            self.time.on_watermark(event.channel, event.watermark)
            self._advance()
        elif isinstance(event, IdleReceived):
            self.time.on_idle(event.channel)
            self._advance()
        elif self.alignment.barrier(event):
            self._seal()

    def _seal(self) -> None:
        """End the epoch. At the end of a bounded run, first fire everything, and wait until no call is in flight."""
        epoch, drain = self.epoch, self.alignment.drain
        if drain:
            self._draining = self._draining or self._drain()
            for _ in self._draining:
                return  # continued when the calls are done
            self._draining = None
        for id, operator in self._operators.by_id.items():
            self._route(id, operator.on_epoch_end())
        self._append_outputs()
        size = self.pending_bytes
        staged = {id: batches for id, sink in self._operators.sinks.items() if (batches := sink.take())}
        progress = {
            "positions": dict(self._positions),
            "newest": {id: stream.snapshot() for id, stream in self._operators.streams.items()},
            **self.time.snapshot(),
            **self._operator_time.snapshot(),
        }
        self._actions.extend(SendBarrier(exchange, epoch, drain) for exchange in self._edges.partitioners)
        self._actions.append(EpochSealed(epoch, TaskSealed(self.id, self.state.seal(), staged, progress), size))
        for event in self.alignment.release():
            self._take(event)

    def _drain(self) -> Iterator[None]:
        """Fire everything that waits for event time, once. The iterator pauses whenever it has to wait for calls.

        The watermark that is kept is the time of the last thing fired, not infinity. A later run must not reopen what
        is closed now, but its records are not late because of this end.
        """
        calling = self._operators.calling
        for id, inputs in self._operator_time.draining():
            operator = self._operators.by_id[id]
            latest = operator.last_event_time()  # in turn: operators before it may just have opened its windows
            if latest is not None:
                self.time.raise_to(self._operator_time.entry_for(id, latest))
            self._route(id, operator.on_watermark(WATERMARK_MAX, dict.fromkeys(inputs, WATERMARK_MAX)))
            while id in calling and calling[id].in_flight:
                yield

    def _advance(self) -> None:
        if self.time.advance():
            self._pass_time_on()
        self._send_idleness()

    def _send_idleness(self) -> None:
        """Tell the exchanges that the task is idle and has nothing left to send, or that its idleness has ended.

        A watermark makes the channels active again. It precedes the records that end the idleness.
        """
        if self.time.idle and not any(operator.holding for operator in self._operators.holding):
            self._actions += self._sent.send_idle()
        elif self._sent.idle:
            self._send_watermarks()

    def _pass_time_on(self) -> None:
        """Give event time to the operators, in topological order, then to the exchanges. Their output precedes it."""
        for id, inputs in self._operator_time.advance(self.time.entries):
            self._route(id, self._noting(id, self._operators.by_id[id].on_watermark(min(inputs.values()), inputs)))
        self._send_watermarks()

    def _noting(self, id: str, passing: Passing) -> Outputs:
        """An operator's outputs; afterwards notes the watermark that it passes on."""
        self._operator_time.passes(id, (yield from passing))

    def _send_watermarks(self) -> None:
        self._actions += self._sent.send_watermarks(self._operator_time.exchanges())

    def _push(self, edge: Edge, batch: Batch) -> None:
        target, input = edge
        partitioner = self._edges.partitioners.get(target)
        if partitioner is not None:
            for partition, part in split(batch, partitioner, target):
                self._actions.append(SendBatch(target, partition, part))
            return
        self._operators.counters[target].records_in += len(batch)
        self._route(target, self._operators.by_id[target].process(batch, input))

    def _route(self, id: str, outputs: Outputs) -> None:
        """Push an operator's output through all operators after it, before anything else happens."""
        edges = self._edges.outputs[id]
        counters = self._operators.counters[id]
        for output, batch in outputs:
            if len(batch):
                counters.records_out += len(batch)
                for edge in edges.get(output, ()):
                    self._push(edge, batch)

    def _append_outputs(self) -> None:
        if not self._exactly_once:
            for id, sink in self._operators.sinks.items():
                if batches := sink.take():
                    self._actions.append(AppendOutput(SinkTask(id, self.id.partition), batches))

    def _done(self) -> list[TaskAction]:
        self._append_outputs()
        for id, operator in self._operators.calling.items():
            if calls := operator.calls():
                self._actions.append(StartCalls(self.id, id, calls))
        actions, self._actions = self._actions, []
        return actions

    def validate(self) -> None:
        """Raises InvariantBroken for an invalid state. Tests call it after each step."""
        self.alignment.validate(waits=self._draining is not None)
        self.time.validate()
        if self._actions:
            raise InvariantBroken(f"task {self.id} kept {len(self._actions)} actions back")
        if any(position < 0 for position in self._positions.values()):
            raise InvariantBroken(f"task {self.id} has a negative position")


def barrier_for(task: Task, epoch: Epoch, drain: bool) -> BarrierReceived:
    """The coordinator's barrier for a task that reads sources."""
    return BarrierReceived(control_channel(task.id.partition), epoch, drain)

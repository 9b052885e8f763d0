"""Driver: runs a job in memory for tests, on the real engine, with a clock that only the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from inspect import isawaitable
from types import TracebackType
from typing import Any

from rayflow.api.job import Job
from rayflow.connectors.parts import accepting
from rayflow.core.batch import Batch, EncodedBatch, Headers, Origin
from rayflow.core.errors import InvalidSetting, UnknownTopic
from rayflow.core.hashing import partition_of
from rayflow.core.ids import TaskId
from rayflow.engine.actions import AppendOutput, ApplyEpoch, PublishEpoch, StartCalls, WorkerAction, WriteSegment
from rayflow.engine.events import (
    BarrierContinued,
    BarrierInjected,
    CallsDone,
    ClockAdvanced,
    EpochApplied,
    EpochCommitted,
    EpochPublished,
    RecordsPolled,
    SegmentWritten,
)
from rayflow.engine.task import Task
from rayflow.engine.topology import resolve
from rayflow.engine.worker import Worker
from rayflow.operators.calling import Call, Outcome
from rayflow.operators.stream import StreamOperator
from rayflow.plan.compile import plan_of
from rayflow.plan.physical import OperatorPlan
from rayflow.plan.systems import with_sink_serdes
from rayflow.serde.base import Serde
from rayflow.serde.codec import Codec
from rayflow.state.base import Stamp
from rayflow.state.memory_store import MemoryStore
from rayflow.state.task_state import TaskState

LINEAGE = "driver"


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """A record that the job published, decoded with the serdes of its sink. `timestamp`: ms since the Unix epoch."""

    key: Any
    value: Any
    timestamp: int
    headers: Headers


class Driver:
    """Runs a job in memory, for tests. A context manager.

    Stages, exchanges, codecs, state, windows, timers and epochs are real; only transport and disk are left out. Only
    the test moves the clock: `send` moves it forward to the record's timestamp, `advance` by a duration.

    Args:
        job: the job. partitions: the number of partitions of each source topic.
        start: the initial wall clock, ms since the Unix epoch.

    An error of the job is raised by the call that caused it.

    >>> import rayflow as rf
    >>> job = rf.Job("shout")
    >>> job.stream("words", value=str).map(str.upper).to("loud-words")
    >>> with Driver(job) as d:
    ...     d.send("words", "hello")
    ...     d.read("loud-words")
    ['HELLO']
    """

    def __init__(self, job: Job, *, partitions: int = 1, start: int = 0) -> None:
        self._plan = with_sink_serdes(plan_of(job), lambda topic, serde: accepting(topic.connector, serde))
        self._partitions = partitions
        self._now = start
        self._codec = Codec()
        self._epoch = 1
        self._offsets: dict[tuple[str, int], int] = {}
        self._outputs: dict[str, list[EncodedBatch]] = {}
        self._sources = {
            source.topic.name: (stage.id, source) for stage in self._plan.stages for source in stage.sources
        }
        self._sinks: dict[str, OperatorPlan] = {
            sink.topic.name: self._plan.operator(sink.operator)
            for stage in reversed(self._plan.stages)
            for sink in reversed(stage.sinks)
        }
        topology = resolve(self._plan, {source.id: partitions for _, source in self._sources.values()})
        tasks: dict[TaskId, Task] = {}
        for id in topology.tasks():
            store = MemoryStore()
            store.replace((), Stamp(LINEAGE, 0))
            tasks[id] = Task(self._plan, topology, id, TaskState(store, self._codec), lambda: self._now, 1)
        self._worker = Worker(
            0,
            self._plan,
            topology,
            tasks,
            dict.fromkeys(tasks, 0),
            codec=self._codec,
            memory_limit=1 << 40,
        )
        self._do(self._worker.start({}))

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def now(self) -> int:
        """The wall clock, ms since the Unix epoch."""
        return self._now

    def send(
        self,
        topic: str,
        value: Any,
        *,
        key: Any = None,
        timestamp: int | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> None:
        """Process one record.

        Args:
            value, key: encoded with the stream's serdes; bytes are used unchanged.
            timestamp: the broker's timestamp, ms; None: now. A stream's own `timestamp=` takes precedence.
            partition: None: chosen by the key.

        Raises UnknownTopic, and what the job raises.
        """
        self.send_all(topic, [value], key=key, timestamp=timestamp, headers=headers, partition=partition)

    def send_all(
        self,
        topic: str,
        values: Iterable[Any],
        *,
        key: Any = None,
        timestamp: int | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> None:
        """Process several records as one batch. Arguments are those of `send`."""
        if topic not in self._sources:
            raise UnknownTopic(f"the job does not read {topic}", advice=f"It reads {', '.join(sorted(self._sources))}")
        stage, source = self._sources[topic]
        spec: Any = self._plan.operator(source.into[0]).spec
        data = [_encoded(spec.value, value) for value in values]
        key_data = _encoded(spec.key, key)
        if partition is None:
            partition = 0 if key_data is None else partition_of(key_data, self._partitions)
        if not 0 <= partition < self._partitions:
            raise InvalidSetting(
                f"the driver's topics have {self._partitions} partitions, so there is none numbered {partition}",
                topic=topic,
                advice=f"Driver(job, partitions={partition + 1})"
                if partition > 0
                else "Partitions are numbered from 0",
            )
        first = self._offsets.get((topic, partition), 0)
        self._offsets[topic, partition] = first + len(data)
        batch = Batch.read(
            Origin(topic, partition),
            [key_data] * len(data),
            data,
            [self._now if timestamp is None else timestamp] * len(data),
            range(first, first + len(data)),
            None if headers is None else [headers] * len(data),
        )
        self._now = max([self._now, *_times_of(spec, batch)])
        task = TaskId(stage, partition)
        self._do(self._worker.handle(RecordsPolled(task, source.id, batch, first + len(data))))
        self._do(self._worker.handle(ClockAdvanced(self._now)))

    def advance(self, duration: timedelta | None = None, **units: float) -> None:
        """Move time forward: `advance(minutes=2)`. Moves the wall clock, and event time as if each source partition had
        received a record with the new time. Windows close and timers fire."""
        passed = timedelta(**units) if duration is None else duration
        self._now += int(passed.total_seconds() * 1000)
        for stream in self._streams(id for _, source in self._sources.values() for id in source.into):
            stream.restore(max(stream.snapshot(), self._now))
            stream.last_arrival = self._now
        self._do(self._worker.handle(ClockAdvanced(self._now)))

    def read(self, topic: str) -> list[Any]:
        """Return the values published to `topic` since the last read, decoded. Ends the epoch, so that tables emit."""
        return [record.value for record in self.records(topic)]

    def records(self, topic: str) -> list[OutputRecord]:
        """Like `read`, but returns whole records. Raises UnknownTopic for a topic that the job does not write to."""
        if topic not in self._sinks:
            raise UnknownTopic(f"the job does not write {topic}", advice=f"It writes {', '.join(sorted(self._sinks))}")
        self.checkpoint()
        spec: Any = self._sinks[topic].spec
        records: list[OutputRecord] = []
        for batch in self._outputs.pop(topic, []):
            keys, values = spec.key.decode(batch.keys), spec.value.decode(batch.values)
            headers = batch.headers or [[] for _ in keys]
            records.extend(map(OutputRecord, keys, values, batch.timestamps, headers))
        return records

    def checkpoint(self) -> None:
        """End the epoch: state is stored, and output becomes visible."""
        self._end_epoch(drain=False)
        self._worker.validate()

    def finish(self) -> None:
        """End the job like a bounded run: all windows close, and all event-time timers fire."""
        self._end_epoch(drain=True)

    def _end_epoch(self, drain: bool) -> None:
        self._do(self._worker.handle(BarrierInjected(self._epoch, drain)))
        while self._worker.sealing:
            self._do(self._worker.handle(BarrierContinued()))
        self._epoch += 1

    def state_rows(self) -> int:
        """Return the number of rows in the state of all tasks, as of the last checkpoint."""
        return sum(task.state.row_count() for task in self._worker.tasks.values())

    def close(self) -> None:
        """Release all resources."""
        for task in self._worker.tasks.values():
            task.close()

    def _streams(self, ids: Iterable[str]) -> list[StreamOperator]:
        wanted = set(ids)
        return [
            operator
            for task in self._worker.tasks.values()
            for id, operator in task.operators.items()
            if id in wanted and isinstance(operator, StreamOperator)
        ]

    def _do(self, actions: list[WorkerAction]) -> None:
        for action in actions:
            match action:
                case WriteSegment():
                    self._do(self._worker.handle(SegmentWritten(action.epoch, "", None, 0, {})))
                    self._do(self._worker.handle(EpochCommitted(action.epoch)))
                case PublishEpoch():
                    for batches in action.outputs.values():
                        self._publish(batches)
                    self._do(self._worker.handle(EpochPublished(action.epoch)))
                case ApplyEpoch():
                    for task in action.tasks:
                        self._worker.tasks[task].complete(Stamp(LINEAGE, action.epoch))
                    self._do(self._worker.handle(EpochApplied(action.epoch)))
                case AppendOutput():
                    self._publish(action.batches)
                case StartCalls(task, operator, calls):
                    self._do(self._worker.handle(CallsDone(task, operator, list(map(_outcome_of, calls)))))

    def _publish(self, batches: Iterable[EncodedBatch]) -> None:
        for batch in batches:
            self._outputs.setdefault(batch.topic, []).append(batch)


def _times_of(spec: Any, batch: Batch) -> list[int]:
    """The event times of records that will be sent, without those that will fail."""
    if spec.timestamp is None:
        return batch.timestamps
    times: list[int] = []
    for data in batch.values:
        try:
            times.append(int(spec.timestamp(spec.value.decode_one(data))))
        except Exception:  # noqa: BLE001 - the job itself will meet it, and report it
            continue
    return times


def _outcome_of(call: Call) -> Outcome:
    """Make a call immediately; an awaitable result is awaited on a new event loop."""

    async def awaited(result: Any) -> Any:
        return await result

    try:
        result = call.fn(call.argument)
        return Outcome(call.number, asyncio.run(awaited(result)) if isawaitable(result) else result)
    except Exception as error:  # noqa: BLE001 - it is the outcome
        return Outcome(call.number, error=error)


def _encoded(serde: Serde[Any], value: Any) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else serde.encode_one(value)

"""A driver of one worker that answers its calls, when the test says so; a crash leaves what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rayflow.api.job import Job
from rayflow.core.batch import Batch, Origin
from rayflow.core.ids import TaskId
from rayflow.engine.actions import ApplyEpoch, PublishEpoch, StartCalls, WorkerAction, WriteSegment
from rayflow.engine.events import (
    BarrierContinued,
    BarrierInjected,
    CallsDone,
    EpochApplied,
    EpochCommitted,
    EpochPublished,
    RecordsPolled,
    SegmentWritten,
    WorkerEvent,
)
from rayflow.engine.task import Task
from rayflow.engine.topology import resolve
from rayflow.engine.worker import Worker
from rayflow.operators.calling import Call, Outcome
from rayflow.plan.compile import plan_of
from rayflow.serde.codec import Codec
from rayflow.state.base import Stamp
from rayflow.state.memory_store import MemoryStore
from rayflow.state.task_state import TaskState


class Answering:
    """All tasks of a job in one worker.

    Attributes:
        asked: the calls that have no outcome yet, oldest first. started: how often each was asked for.
        written: what was published, by topic. epochs: how many are committed.
    """

    def __init__(self, job: Job, partitions: int = 1) -> None:
        self.plan = plan_of(job)
        self.asked: list[tuple[TaskId, str, Call]] = []
        self.started: dict[tuple[TaskId, int], int] = {}
        self.written: dict[str, list[Any]] = {}
        self.epochs = 0
        self._sources = {
            source.topic.name: (stage.id, source.id) for stage in self.plan.stages for source in stage.sources
        }
        self._topology = resolve(self.plan, {source: partitions for _, source in self._sources.values()})
        self._stores = {id: MemoryStore() for id in self._topology.tasks()}
        for store in self._stores.values():
            store.replace((), Stamp("lineage", 0))
        self._log: dict[tuple[str, int], list[tuple[bytes, int]]] = {}
        self._progress: dict[TaskId, Mapping[str, Any]] = {}
        self._parts: dict[TaskId, Mapping[str, Any]] = {}
        self._start()

    def _start(self) -> None:
        tasks = {
            id: Task(self.plan, self._topology, id, TaskState(store, Codec()), lambda: 0, self.epochs + 1)
            for id, store in self._stores.items()
        }
        placement = dict.fromkeys(tasks, 0)
        self.worker = Worker(0, self.plan, self._topology, tasks, placement, codec=Codec(), memory_limit=1 << 30)
        self._do(self.worker.start(self._progress))
        for (topic, partition), log in self._log.items():
            stage, source = self._sources[topic]
            progress = self._progress.get(TaskId(stage, partition), {"positions": {}})
            self._feed(topic, partition, progress["positions"].get(source, 0), log)

    def send(self, topic: str, values: Iterable[int], partition: int = 0) -> None:
        """Records with these values, which are their times as well."""
        log = self._log.setdefault((topic, partition), [])
        first = len(log)
        log += [(b"%d" % value, value) for value in values]
        self._feed(topic, partition, first, log)

    def _feed(self, topic: str, partition: int, first: int, log: list[tuple[bytes, int]]) -> None:
        stage, source = self._sources[topic]
        values, times = [value for value, _ in log[first:]], [time for _, time in log[first:]]
        batch = Batch.read(Origin(topic, partition), list(values), values, times, range(first, len(log)))
        self.handle(RecordsPolled(TaskId(stage, partition), source, batch, len(log)))

    def answer(self, *chosen: int) -> None:
        """Make the calls at these places of `asked` (or all), and report those of one operator together."""
        places = chosen or tuple(range(len(self.asked)))
        done: dict[tuple[TaskId, str], list[Outcome]] = {}
        for task, operator, call in [self.asked[place] for place in places]:
            try:
                outcome = Outcome(call.number, call.fn(call.argument))
            except Exception as error:  # noqa: BLE001 - whatever it raises is what came of it
                outcome = Outcome(call.number, error=error)
            done.setdefault((task, operator), []).append(outcome)
        self.asked = [each for place, each in enumerate(self.asked) if place not in places]
        for (task, operator), outcomes in done.items():
            self.handle(CallsDone(task, operator, outcomes))

    def barrier(self, drain: bool = False) -> None:
        """End an epoch, and commit it if every task takes the barrier."""
        self.handle(BarrierInjected(self.epochs + 1, drain))
        while self.worker.sealing:
            self.handle(BarrierContinued())

    def crash(self) -> None:
        """Lose everything but the last checkpoint, and start again from it."""
        self.asked.clear()
        self._parts.clear()
        self._start()

    def rows(self) -> int:
        """Rows in the state of all tasks, as of the last checkpoint."""
        return sum(store.count() for store in self._stores.values())

    def handle(self, event: WorkerEvent) -> None:
        """Give the worker an event, and check its invariants."""
        self._do(self.worker.handle(event))
        self.worker.validate()

    def _do(self, actions: list[WorkerAction]) -> None:
        for action in actions:
            match action:
                case StartCalls(task, operator, calls):
                    for call in calls:
                        self.asked.append((task, operator, call))
                        self.started[task, call.number] = self.started.get((task, call.number), 0) + 1
                case WriteSegment(epoch, parts):
                    self._parts = {part.task: part.progress for part in parts}
                    self.handle(SegmentWritten(epoch, "", None, 0, {}))
                    self.handle(EpochCommitted(epoch))
                case PublishEpoch(epoch, outputs, _):
                    for batches in outputs.values():
                        for batch in batches:
                            self.written.setdefault(batch.topic, []).extend(batch.values)
                    self.handle(EpochPublished(epoch))
                case ApplyEpoch(epoch, tasks):
                    for id in tasks:
                        self.worker.tasks[id].complete(Stamp("lineage", epoch))
                    self._progress, self.epochs = dict(self._parts), epoch
                    self.handle(EpochApplied(epoch))

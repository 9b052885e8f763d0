"""Opens and restores the stores of the tasks that a process hosts, and builds the worker over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from rayflow.checkpoint.chain import Chain
from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.restore import prepare_store
from rayflow.checkpoint.store import CheckpointStore
from rayflow.checkpoint.superseded import starting_from
from rayflow.core.clock import Clock
from rayflow.core.ids import TaskId, WorkerId
from rayflow.core.logging import get_logger
from rayflow.engine.orders import StartTasks
from rayflow.engine.regrouping import StageOrigin, origin_of
from rayflow.engine.task import Task
from rayflow.engine.worker import Worker
from rayflow.plan.physical import JobPlan
from rayflow.serde.codec import Codec
from rayflow.state.base import Rows, Stamp, Store
from rayflow.state.memory_store import MemoryStore
from rayflow.state.row_keys import PREFIX, table_prefix
from rayflow.state.task_state import TaskState

log = get_logger("rayflow.worker")


CACHE = 0.25
"""The limit of the clean caches of a worker's tasks, as a share of its memory limit and in addition to it."""


class HostedTasks:
    """Opens one store per task and builds the worker; `close` closes all stores."""

    def __init__(
        self,
        plan: JobPlan,
        checkpoints: CheckpointStore,
        open_store: Callable[[TaskId], Store],
        *,
        clock: Clock,
        memory_limit: int,
    ) -> None:
        self._plan = plan
        self._checkpoints = checkpoints
        self._open_store = open_store
        self._clock = clock
        self._memory_limit = memory_limit
        self._stores: dict[TaskId, Store] = {}
        self._layouts: dict[str, StageOrigin] = {}
        self._warned: set[tuple[str, str]] = set()

    def start(
        self, order: StartTasks, slot: WorkerId = 0, placement: Mapping[TaskId, WorkerId] | None = None
    ) -> Worker:
        """The worker of `slot` with its tasks restored.

        `placement` tells the slot of every task; None: all are this one's.
        Raises DamagedObject, ObjectMissing, Fenced, DiskFull.
        """
        placement = dict.fromkeys(order.topology.tasks(), slot) if placement is None else placement
        codec = Codec()
        manifest = order.manifest
        self._layouts = {stage.id: origin_of(stage, manifest) for stage in self._plan.stages}
        chains: dict[str, Chain] = {}
        tasks: dict[TaskId, Task] = {}
        mine = [id for id in order.topology.tasks() if placement[id] == slot]
        keeping = sum(bool(self._layouts[id.stage].states) for id in mine)
        cache_bytes = int(self._memory_limit * CACHE) // max(1, keeping)
        for id in mine:
            stateful = bool(self._layouts[id.stage].states)
            store = self._stores[id] = self._open_store(id) if stateful else MemoryStore()
            if manifest is None:
                store.replace((), self.stamp(id, order.lineage, 0))
            else:
                with starting_from(self._checkpoints, manifest.epoch):
                    self._restore(id, store, manifest, chains)
            state = TaskState(store, codec, cache_bytes=cache_bytes)
            tasks[id] = Task(self._plan, order.topology, id, state, self._clock, order.epoch, self._warn)
        return Worker(
            slot,
            self._plan,
            order.topology,
            tasks,
            placement,
            codec=codec,
            memory_limit=self._memory_limit,
        )

    def stamp(self, task: TaskId, lineage: str, epoch: int) -> Stamp:
        """The stamp of a task's store. The layout of its stage's states is part of the lineage, so that a
        store which an upgraded job has rearranged is never taken for the old job's."""
        return Stamp(f"{lineage}.{self._layouts[task.stage].layout}", epoch)

    def store(self, task: TaskId) -> Store:
        """A task's store."""
        return self._stores[task]

    def close(self) -> None:
        """Close every store."""
        for store in self._stores.values():
            store.close()
        self._stores.clear()

    def _warn(self, operator: str, what: str, advice: str) -> None:
        """Log a warning of an operator; the same one of another task of it is not logged again."""
        if (operator, what) not in self._warned:
            self._warned.add((operator, what))
            log.warning(what, job=self._plan.name, operator=operator, advice=advice)

    def _restore(self, task: TaskId, store: Store, manifest: Manifest, chains: dict[str, Chain]) -> None:
        origin = self._layouts[task.stage]
        stamp = self.stamp(task, manifest.lineage, manifest.epoch)
        if origin.whole:
            lineage = stamp.lineage
            if lineage not in chains:
                chains[lineage] = Chain(self._checkpoints, replace(manifest, lineage=lineage))
            source = TaskId(origin.stages[0], task.partition)
            report = prepare_store(store, self._checkpoints, chains[lineage].manifest, source, chains[lineage])
            log.info(
                "restored", task=str(task), epoch=stamp.epoch, how=report.how, rows=report.rows, bytes=report.bytes
            )
        elif store.stamp != stamp:
            chain = chains.setdefault("", Chain(self._checkpoints, manifest))
            store.replace(_rows_of(chain, origin, task.partition), stamp)
            if origin.states:
                log.info("restored", task=str(task), epoch=stamp.epoch, how="regrouped")


def _rows_of(chain: Chain, origin: StageOrigin, partition: int) -> Iterator[Rows]:
    """The rows of a stage's states, collected from the checkpoint's stages that contained them.

    A store has one table after the other, so they are read table by table, in the order of their prefixes.
    """
    for prefix, stage in sorted((table_prefix(*name.rsplit("/", 1)), stage) for name, stage in origin.held.items()):
        for keys, values in chain.rows(TaskId(stage, partition)):
            mine = [i for i, key in enumerate(keys) if key[:PREFIX] == prefix]
            if mine:
                yield [keys[i] for i in mine], [values[i] for i in mine]

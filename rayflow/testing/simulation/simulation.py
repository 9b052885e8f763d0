"""One simulation: a job, a model world with faults, and the conditions that must always hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.ids import TaskId, WorkerId
from rayflow.engine.recovery import LostMarker
from rayflow.runtimes.hosting.channels.ordered import Ordered
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.ports import Connectors
from rayflow.runtimes.simulated.coordinator import CoordinatorProcess
from rayflow.runtimes.simulated.letters import Letter
from rayflow.runtimes.simulated.process import Process
from rayflow.runtimes.simulated.worker import WorkerProcess
from rayflow.state.base import Store
from rayflow.testing.simulation.bases import small_bases
from rayflow.testing.simulation.connector import ModelConnector, ModelConnectors
from rayflow.testing.simulation.ending import check_end
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.jobs import Shape
from rayflow.testing.simulation.leftovers import Leftovers
from rayflow.testing.simulation.moving import Moving
from rayflow.testing.simulation.network import Network
from rayflow.testing.simulation.repeats import Repeats
from rayflow.testing.simulation.schedule import Schedule
from rayflow.testing.simulation.store import ModelStore
from rayflow.testing.simulation.supervisor import Incarnation
from rayflow.testing.simulation.trouble import Trouble
from rayflow.testing.simulation.watch import Watch
from rayflow.testing.simulation.world import ENOUGH, SECOND, OnNote, Report, World

STEPS = 400_000
"""Maximum number of events, after which a simulation counts as one that does not end."""
SLOTS = 6
"""The number of slots from which an attempt chooses."""


class SimulationFailed(AssertionError):
    """A condition did not hold. The message has the seed, which replays the simulation."""


class Simulation(World):
    """Runs one seed to its end: attempt after attempt, in a world with faults.

    Args:
        seed: decides everything.
        on_note: called with every step.
        faults, shape, records, schedule: replace those that the seed draws (records: their number).

    Attributes:
        most_steps: maximum number of events.
        bases: see `small_bases`.
    """

    trouble_kind = Trouble

    def __init__(
        self,
        seed: int,
        *,
        faults: Faults | None = None,
        shape: Shape | None = None,
        records: int | None = None,
        schedule: Schedule | None = None,
        on_note: OnNote | None = None,
    ) -> None:
        super().__init__(seed, faults, shape, records, schedule, on_note)
        self.most_steps = STEPS
        self._stores = 1
        self._processes: list[Process] = []
        self._links: dict[tuple[str, WorkerId | None], Ordered[Letter]] = {}
        self._network = Network(self.schedule, lambda: self.faults)
        self._leftovers = Leftovers(self)
        self._repeats = Repeats(self.shape, self.feeder)
        self._watch = Watch(self.schedule, self.plan, self.shape, self.kafka, self.feeder, self._repeats, self.retain)
        self._watch.always_reads = lambda: self.memory_limit >= ENOUGH
        self.kafka.on_markers = self._watch.marked
        self.trouble = self.trouble_kind(self, self._leftovers, self.incarnate)
        self.bases = (self.random.choice((100, 2000, 8 << 20)), self.random.choice((5, 200)))

    def run(self) -> Report:
        """Run to the end. Raises SimulationFailed."""
        with small_bases(*self.bases):
            try:
                self._run()
                self._check_end()
            except SimulationFailed:
                raise
            except Exception as error:
                raise SimulationFailed(f"seed {self.seed}: {type(error).__name__}: {error}") from error
            finally:
                for process in self._processes:
                    process.unwind()
        report = self.report
        report.events, report.seconds = self.schedule.steps, self.schedule.elapsed
        report.records = sum(map(len, self.feeder.inputs))
        report.faults = dict(self.schedule.happened)
        return report

    def _run(self) -> None:
        self.feeder.start()
        self.incarnate()
        self.trouble.start()
        while not (self.done and not self.living() and not self.kafka.settling()):
            if self.schedule.steps > self.most_steps:
                raise SimulationFailed(f"seed {self.seed}: does not end within {self.most_steps} events")
            self.schedule.step()

    def _check_end(self) -> None:
        while self.kafka.open_transactions() and self.schedule.step():
            pass
        lateness = self._watch.lateness
        check_end(self.kafka, self.store, self.shape, self.feeder, self._repeats, lateness, self.retain)

    # Attempts

    def incarnate(self, lost_marker: LostMarker | None = None) -> None:
        """Start another attempt."""
        self.trouble.hit_machines()
        incarnation = Incarnation(len(self.incarnations) + 1, self.store)
        before = self.incarnations[-1] if self.incarnations else None
        if before is not None and (before.coordinator is None or not before.coordinator.alive):  # no zombie
            incarnation.queries = before.queries
        self.incarnations.append(incarnation)
        self.report.attempts += 1
        workers = self.worker_count()
        slots = list(range(workers))
        if self.schedule.chance(self.faults.scattered, "slots scattered"):
            slots = sorted(self.random.sample(range(SLOTS), workers))
        options = RunOptions(
            until_end=self.bounded and self.feeder.done,
            lost_marker=lost_marker,
            checkpoint_interval=self.shape.interval,
            retain=self.retain,
            memory_limit=self.memory_limit,
        )
        lineage = f"{self.random.getrandbits(64):016x}"
        incarnation.options = options
        incarnation.coordinator = CoordinatorProcess(
            self,
            incarnation.number,
            self.plan,
            options,
            tuple(slots),
            lineage,
            self._earlier(slots),
            incarnation.queries,
        )
        self._processes.append(incarnation.coordinator)
        incarnation.coordinator.begin()

    def _earlier(self, slots: Sequence[WorkerId]) -> dict[TaskId, WorkerId]:
        """The earlier placement of the tasks: the real one, or a random one."""
        last = self.incarnations[-2].coordinator if len(self.incarnations) > 1 else None
        if last is None or last.driver is None or self.random.random() < 0.5:
            tasks = [TaskId(stage.id, p) for stage in self.plan.stages for p in range(self.shape.partitions)]
            return {task: self.random.choice(slots) for task in tasks}
        return dict(last.driver.placement)

    def worker_count(self) -> int:
        """The number of workers of the next attempt."""
        return self.random.randrange(1, min(4, len(self.plan.stages) * self.shape.partitions) + 1)

    # Surroundings

    @property
    def checkpoints(self) -> CheckpointStore:
        """The store of processes that start now."""
        return self.store

    def clock(self) -> int:
        return self.schedule.now // 1000 + self.trouble.skipped

    def seconds(self) -> float:
        return self.schedule.elapsed

    def after(self, delay: int, call: Callable[[], None]) -> None:
        self.schedule.after(delay, call)

    def survives(self, process: Process, step: str) -> bool:
        return self.trouble.spares(process, step)

    def failed(self, process: Process, error: Exception) -> None:
        self.trouble.failed(process, error)

    def stepped(self, process: Process) -> None:
        incarnation = self.of(process)
        self._watch.stepped(process, current=incarnation is self.current and not incarnation.over)

    def send(self, sender: Process, slot: WorkerId | None, parcel: Letter | bytes) -> None:
        own, link = self.of(sender), (sender.name, slot)
        deliver = partial(self._arrive, link, own, parcel)
        self._network.send(link, deliver, deliver)

    def _arrive(self, link: tuple[str, WorkerId | None], own: Incarnation, parcel: Letter | bytes) -> None:
        """Letters are delivered in order and once, as by a real transport; for frames, the receiver ensures this."""
        slot = link[1]
        if isinstance(parcel, Letter):
            for letter in self._links.setdefault(link, Ordered()).arrive(parcel.number, parcel):
                self._deliver(slot, own, letter)
        else:
            self._deliver(slot, own, parcel)

    def _deliver(self, slot: WorkerId | None, own: Incarnation, parcel: Letter | bytes) -> None:
        """Deliver to the intended process, or to the one that has its place now, which must refuse it."""
        for incarnation in (own, self.current):
            if incarnation.store is own.store and incarnation.deliver(slot, parcel, own.number):
                return

    def workers(self, coordinator: CoordinatorProcess, slots: Sequence[WorkerId]) -> None:
        incarnation = self.of(coordinator)
        for slot in slots:
            if self._leftovers.take_over(slot, incarnation):
                continue
            options = replace(incarnation.options, max_poll_records=self.random.randrange(1, 40))
            process = WorkerProcess(self, incarnation.number, slot, self.plan, options, coordinator.checkpoints)
            incarnation.workers[slot] = process
            if incarnation.over:  # started by a coordinator that is itself a zombie
                self._leftovers.end_later(process)
            incarnation.machines[slot] = self.machines.take(slot, process)
            self._processes.append(process)
            process.begin()
        if not incarnation.over:
            self._leftovers.let_go()

    def finished(self, coordinator: CoordinatorProcess, restart: bool) -> None:
        incarnation = self.of(coordinator)
        if not incarnation.over and not restart:
            self._watch.finished(coordinator, list(incarnation.workers.values()))
        for process in incarnation.processes:
            if restart and not incarnation.over:
                self.trouble.replaced(process)
            else:
                process.kill()
        coordinator.kill()
        if incarnation.over:
            return
        incarnation.over = True
        self.note(coordinator.name, "FINISHED")
        if coordinator.ending == "drain" and not restart:
            self.done = True
            self._leftovers.let_go()
        elif coordinator.ending == "stop" and not restart and self.schedule.chance(self.faults.savepoint, "savepoint"):
            self._move()
        else:
            if self.schedule.chance(self.faults.markers_expire, "markers to expire"):
                self.trouble.forget_markers()
            self.schedule.after(self.random.randrange(1000, SECOND), self.incarnate)

    def _move(self) -> None:
        target = self.store
        if self.random.random() < 0.7:
            target = ModelStore(self.schedule, lambda: self.faults, f"model:{self._stores}")
            self._stores += 1
        self.note("world", f"the job goes on from a savepoint, in {target.uri}")
        Moving(self.schedule, self.store, target, self.plan.name, self._moved).begin()

    def _moved(self, target: ModelStore) -> None:
        self.store = target
        self.incarnate()

    def committed(self, process: CoordinatorProcess, manifest: Manifest) -> None:
        self.report.epochs += 1
        self._watch.committed(process, manifest)

    def connectors(self, process: Process) -> Connectors:
        return ModelConnectors(ModelConnector(self.kafka, self.schedule, process))

    def exhausted(self, coordinator: CoordinatorProcess) -> bool:
        if not self.feeder.done or dict(coordinator.sources) != self.partitions():
            return False
        if self.bounded:
            if not self.of(coordinator).options.until_end:
                coordinator.stop()  # a bounded run processes the rest
            return False
        read: dict[tuple[str, int], int] = {}
        for process in self.of(coordinator).workers.values():
            if process.worker is None or process.attempt != coordinator.attempt:
                return False
            assert process.host.driver is not None
            read.update(process.host.driver.sources.positions)
        sources = {source.topic.name: source.id for stage in self.plan.stages for source in stage.sources}
        return all(
            read.get((sources[place.topic], place.partition), 0) >= len(self.kafka.logs[place])
            for place in self.feeder.places
        )

    def state(self, process: WorkerProcess, task: TaskId) -> Store:
        return self.machines.disks[self.of(process).machines[process.slot]].store(task)

    def read_time(self, name: str) -> int:
        random = self.schedule.random
        if self.schedule.chance(self.faults.read_slow, "read slow", name):
            return random.randrange(1_000_000)
        return random.randrange(20, 2000) if random.random() < 0.3 else 0

    def put(
        self, process: Process, name: str, parts: Sequence[bytes], then: Callable[[], None], fail: Callable[[], None]
    ) -> None:
        self._store_of(process).put_later(process, name, parts, then, fail)

    def create(
        self, process: Process, name: str, data: bytes, then: Callable[[bool], None], fail: Callable[[], None]
    ) -> None:
        self._store_of(process).create_later(process, name, data, then, fail)

    def delete(self, process: Process, name: str) -> None:
        self._store_of(process).delete([name])

    def _store_of(self, process: Process) -> ModelStore:
        assert isinstance(process.checkpoints, ModelStore)
        return process.checkpoints

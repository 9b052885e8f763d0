"""One simulation: a job, a world that breaks, and what must hold whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.connectors.base import Publisher, Reader
from rayflow.core.ids import TaskId, TopicPartition, WorkerId
from rayflow.engine.coordinator_options import CoordinatorOptions
from rayflow.engine.recovery import LostMarker
from rayflow.plan.compile import plan_of
from rayflow.runtimes.simulated.coordinator import CoordinatorProcess
from rayflow.runtimes.simulated.messages import Envelope
from rayflow.runtimes.simulated.process import Process
from rayflow.runtimes.simulated.worker import WorkerProcess
from rayflow.state.base import Store
from rayflow.testing.simulation.appender import ModelAppender
from rayflow.testing.simulation.bases import small_bases
from rayflow.testing.simulation.ending import check_end
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.feeder import Feeder
from rayflow.testing.simulation.jobs import LATE, OTHER, TOPIC, Shape, make_job
from rayflow.testing.simulation.kafka import ModelKafka
from rayflow.testing.simulation.moving import Moving
from rayflow.testing.simulation.network import Network
from rayflow.testing.simulation.publisher import ModelPublisher
from rayflow.testing.simulation.reader import ModelReader
from rayflow.testing.simulation.repeats import Repeats
from rayflow.testing.simulation.schedule import Schedule
from rayflow.testing.simulation.store import ModelStore, failure
from rayflow.testing.simulation.supervisor import Incarnation, Machines
from rayflow.testing.simulation.trouble import Trouble
from rayflow.testing.simulation.watch import Watch

SECOND = 1_000_000
STEPS = 400_000
"""Events after which a simulation counts as one that does not end."""
SLOTS = 6
"""From how many slots an attempt takes its own."""

OnNote = Callable[[float, str, str], None]
"""Is told every step: virtual time in seconds, who, what."""


class SimulationFailed(AssertionError):
    """Something that must hold did not. The message tells the seed, which replays it."""


@dataclass(slots=True)
class Report:
    """What happened in one simulation. `crashes` by step, `faults` by kind."""

    seed: int
    attempts: int = 0
    epochs: int = 0
    records: int = 0
    events: int = 0
    seconds: float = 0.0
    crashes: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)


class Simulation:
    """Runs one seed to its end.

    Args:
        seed: decides everything. on_note: is told every step.
        faults, shape, records, schedule: instead of those that the seed draws (records: how many).

    Attributes:
        most_steps: events after which it counts as one that does not end. bases: see `small_bases`.
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
        self.seed = seed
        self.schedule = schedule or Schedule(seed)
        self.random = self.schedule.random
        self.report = Report(seed)
        drawn_shape = Shape.draw(self.random)
        self.shape = shape or drawn_shape
        drawn = Faults.draw(self.random)
        self.faults = drawn if faults is None else faults
        self.plan = plan_of(make_job(self.shape))
        self.store = ModelStore(self.schedule, lambda: self.faults)
        self.kafka = ModelKafka(self.schedule, lambda: self.faults)
        self.machines = Machines()
        self.incarnations: list[Incarnation] = []
        self.done = False
        self.most_steps = STEPS
        self._stores = 1
        self._network = Network(self.schedule, lambda: self.faults)
        self._on_note = on_note
        self._memory_limit = self.random.choice((400, 4000, 1 << 20))
        self._retain = self.random.choice((1, 2, 3))
        for topic in (TOPIC, *self.shape.branches, *LATE.values()):
            self.kafka.create(topic, self.shape.partitions)
        if self.shape.other:
            self.kafka.create(OTHER, self.shape.other)
        self.feeder = Feeder(self.schedule, self.kafka, self.shape, records)
        self._repeats = Repeats(self.shape, self.feeder)
        self._watch = Watch(self.schedule, self.plan, self.shape, self.kafka, self.feeder, self._repeats, self._retain)
        self.kafka.on_markers = self._watch.marked
        self.trouble = self.trouble_kind(self)
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
        check_end(self.kafka, self.store, self.shape, self.feeder, self._repeats, lateness, self._retain)

    # Attempts

    @property
    def current(self) -> Incarnation:
        """The latest incarnation."""
        return self.incarnations[-1]

    def of(self, process: Process) -> Incarnation:
        """The incarnation of a process."""
        return self.incarnations[process.incarnation - 1]

    def living(self) -> list[Process]:
        """Every process that lives."""
        return [process for incarnation in self.incarnations for process in incarnation.processes]

    def incarnate(self, lost_marker: LostMarker | None = None) -> None:
        """Begin another attempt."""
        self.trouble.hit_machines()
        incarnation = Incarnation(len(self.incarnations) + 1, self.store)
        self.incarnations.append(incarnation)
        self.report.attempts += 1
        workers = self.worker_count()
        slots = list(range(workers))
        if self.schedule.chance(self.faults.scattered, "slots scattered"):
            slots = sorted(self.random.sample(range(SLOTS), workers))
        options = CoordinatorOptions(
            lineage=f"{self.random.getrandbits(64):016x}",
            interval=self.shape.interval,
            workers=tuple(slots),
            lost_marker=lost_marker,
        )
        incarnation.coordinator = CoordinatorProcess(self, incarnation.number, self.plan, options, self._retain)
        incarnation.coordinator.begin()

    def worker_count(self) -> int:
        """How many workers the next attempt has."""
        return self.random.randrange(1, min(4, len(self.plan.stages) * self.shape.partitions) + 1)

    # Surroundings

    @property
    def checkpoints(self) -> CheckpointStore:
        """The store of processes that start now."""
        return self.store

    def clock(self) -> int:
        return self.schedule.now // 1000 + self.trouble.skipped

    def after(self, delay: int, call: Callable[[], None]) -> None:
        self.schedule.after(delay, call)

    def note(self, who: str, what: str) -> None:
        if self._on_note is not None:
            self._on_note(self.schedule.elapsed, who, what)

    def survives(self, process: Process, step: str) -> bool:
        return self.trouble.spares(process, step)

    def failed(self, process: Process, error: Exception) -> None:
        self.trouble.failed(process, error)

    def stepped(self, process: Process) -> None:
        incarnation = self.of(process)
        self._watch.stepped(process, current=incarnation is self.current and not incarnation.over)

    def send(self, sender: Process, slot: WorkerId | None, letter: Envelope) -> None:
        own = self.of(sender)
        self._network.send(
            (sender.name, slot),
            partial(self._deliver, own, slot, letter),
            partial(self._deliver_again, own, slot, letter),
        )

    def _deliver(self, own: Incarnation, slot: WorkerId | None, letter: Envelope) -> None:
        """To the process that it was meant for, or to the one that has its place now, which must refuse it."""
        for incarnation in (own, self.current):
            process = incarnation.at(slot)
            if process is not None and process.alive and incarnation.store is own.store:
                process.deliver(letter)
                return

    def _deliver_again(self, own: Incarnation, slot: WorkerId | None, letter: Envelope) -> None:
        """To both."""
        for incarnation in {own.number: own, self.current.number: self.current}.values():
            process = incarnation.at(slot)
            if process is not None and process.alive and incarnation.store is own.store:
                process.deliver(letter)

    def workers(self, coordinator: CoordinatorProcess, slots: Sequence[WorkerId]) -> None:
        incarnation = self.of(coordinator)
        for slot in slots:
            polls = self.random.randrange(1, 40)
            process = WorkerProcess(self, incarnation.number, slot, self.plan, self._memory_limit, polls)
            process.attempt = coordinator.attempt
            process.checkpoints = coordinator.checkpoints
            incarnation.workers[slot] = process
            if incarnation.over:  # started by a coordinator that is a zombie itself
                self.schedule.after(self.random.randrange(self.faults.zombie_time * 1000), process.kill)
            incarnation.machines[slot] = self.machines.take(slot, process)

    def finished(self, coordinator: CoordinatorProcess, restart: bool) -> None:
        incarnation = self.of(coordinator)
        if not incarnation.over and not restart:
            self._watch.finished(coordinator, list(incarnation.workers.values()))
        for process in incarnation.processes:
            process.kill()
        if incarnation.over:
            return
        incarnation.over = True
        self.note(coordinator.name, "FINISHED")
        if coordinator.ending == "drain" and not restart:
            self.done = True
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

    def partitions(self) -> dict[str, int]:
        topics = self.kafka.topics
        return {source.id: topics[source.topic.name] for stage in self.plan.stages for source in stage.sources}

    def publisher(self, process: Process, slot: WorkerId) -> Publisher:
        if self.shape.delivery == "at_least_once":
            return ModelAppender(self.kafka, self.schedule, self.plan.name, process)
        return ModelPublisher(self.kafka, self.schedule, self.plan.name, slot, process)

    def reader(self) -> Reader:
        return ModelReader(self.kafka, self.schedule)

    def ends(self, process: Process) -> dict[TopicPartition, int] | None:
        coordinator = self.of(process).coordinator
        if not self.feeder.done or coordinator is None or coordinator.sources != self.partitions():
            return None
        return {place: len(self.kafka.logs[place]) for place in self.feeder.places}

    def state(self, process: WorkerProcess, task: TaskId) -> Store:
        return self.machines.disks[self.of(process).machines[process.slot]].store(task)

    def put(self, process: Process, name: str, parts: Sequence[bytes], then: Callable[[], None]) -> None:
        fail = partial(self._fail_write, process, name)
        self._store_of(process).put_later(process, name, parts, lambda: process.arrive("object stored", then), fail)

    def create(self, process: Process, name: str, data: bytes, then: Callable[[bool], None]) -> None:
        fail = partial(self._fail_write, process, name)

        def answered(created: bool) -> None:
            process.arrive("manifest stored", lambda: then(created))

        self._store_of(process).create_later(process, name, data, answered, fail)

    def delete(self, process: Process, names: Sequence[str]) -> None:
        def delete(at: int) -> None:
            self._store_of(process).delete(names[at : at + 1])
            if at + 1 < len(names):
                process.later(self.random.randrange(50, 1000), "object deleted", partial(delete, at + 1))

        if names:
            process.later(self.random.randrange(50, 5000), "object deleted", partial(delete, 0))

    def _store_of(self, process: Process) -> ModelStore:
        return self.of(process).store

    def _fail_write(self, process: Process, name: str) -> None:
        if process.alive:
            self.failed(process, failure(name))

"""One simulation: a job, a world that breaks, and what must hold whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from rayflow.checkpoint.manifest import Manifest, read_manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.connectors.base import Publisher, Reader
from rayflow.core.errors import (
    BrokerUnavailable,
    CheckpointStoreFailed,
    Fenced,
    MarkerLost,
    ObjectMissing,
)
from rayflow.core.ids import Attempt, TaskId, TopicPartition, WorkerId
from rayflow.engine import history
from rayflow.engine.coordinator_options import CoordinatorOptions
from rayflow.engine.recovery import LostMarker
from rayflow.plan.compile import plan_of
from rayflow.runtimes.simulated.coordinator import CoordinatorProcess
from rayflow.runtimes.simulated.process import Process
from rayflow.runtimes.simulated.worker import WorkerProcess
from rayflow.state.base import Store
from rayflow.testing.simulation.ending import check_end
from rayflow.testing.simulation.expiry import A_WEEK, Expiry
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.feeder import Feeder
from rayflow.testing.simulation.inspection import check_checkpoint
from rayflow.testing.simulation.jobs import TOPIC, Shape, make_job
from rayflow.testing.simulation.kafka import ModelKafka
from rayflow.testing.simulation.network import Network
from rayflow.testing.simulation.publisher import ModelPublisher
from rayflow.testing.simulation.reader import ModelReader
from rayflow.testing.simulation.schedule import Schedule
from rayflow.testing.simulation.store import ModelStore, failure
from rayflow.testing.simulation.supervisor import Incarnation, Machines

SECOND = 1_000_000
STEPS = 400_000
"""Events after which a simulation counts as one that does not end."""


class SimulationFailed(AssertionError):
    """Something that must hold did not. The message tells the seed, which replays it."""


@dataclass(slots=True)
class Report:
    """What happened in one simulation."""

    seed: int
    attempts: int = 0
    epochs: int = 0
    records: int = 0
    events: int = 0
    seconds: float = 0.0
    crashes: dict[str, int] = field(default_factory=dict)


class Simulation:
    """Runs one seed to its end.

    Args:
        seed: decides everything. on_note: is told every step (virtual time in seconds, who, what).
        faults: instead of those that the seed draws.
    """

    def __init__(
        self, seed: int, *, faults: Faults | None = None, on_note: Callable[[float, str, str], None] | None = None
    ) -> None:
        self.seed = seed
        self.schedule = Schedule(seed)
        self.random = self.schedule.random
        self.report = Report(seed)
        self.shape = Shape.draw(self.random)
        drawn = Faults.draw(self.random)
        self.faults = drawn if faults is None else faults
        self.plan = plan_of(make_job(self.shape))
        self.store = ModelStore(self.schedule, lambda: self.faults)
        self.checkpoints: CheckpointStore = self.store
        self.kafka = ModelKafka(self.schedule, lambda: self.faults)
        self._network = Network(self.schedule, lambda: self.faults)
        self._machines = Machines()
        self._on_note = on_note
        self._incarnations: list[Incarnation] = []
        self._done = False
        self._undecided = False
        self._skipped = 0
        self._expiry = Expiry(self.kafka, self.store, self.plan.name)
        self._lost_marker: LostMarker | None = None
        self._watermarks: dict[tuple[int, TaskId], int] = {}
        self._memory_limit = self.random.choice((400, 4000, 1 << 20))
        self._retain = self.random.choice((1, 2, 3))
        for topic in (TOPIC, *self.shape.branches):
            self.kafka.create(topic, self.shape.partitions)
        self.feeder = Feeder(self.schedule, self.kafka, self.shape)
        self._trouble_ends = int(self.feeder.seconds * self.random.choice((0.8, 1.2)) * SECOND)

    def run(self) -> Report:
        """Run to the end. Raises SimulationFailed."""
        with small_bases(self.random.choice((100, 2000, 8 << 20)), self.random.choice((5, 200))):
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
        return report

    def _run(self) -> None:
        self.feeder.start()
        self._incarnate()
        self.schedule.after(SECOND, self._every_second)
        self.schedule.after(self._trouble_ends, self._end_trouble)
        while not (self._done and not self._living() and not self.kafka.settling()):
            if self.schedule.steps > STEPS:
                raise SimulationFailed(f"seed {self.seed}: does not end within {STEPS} events")
            self.schedule.step()

    # What goes wrong

    def _every_second(self) -> None:
        if self._done:
            return
        faults, current = self.faults, self._incarnations[-1]
        self.schedule.after(SECOND, self._every_second)
        if self.schedule.chance(faults.false_alarm) and not current.over:
            self.note("world", "gives the attempt up")
            self._give_up(current)
        if self.schedule.chance(faults.stop) and current.coordinator is not None:
            current.coordinator.stop()
        if self.schedule.chance(faults.broker_away) and not self.kafka.away:
            self._set_away(True)
            self.schedule.after(
                self.random.randrange(1000, faults.away_time * 1000 + 1001), partial(self._set_away, False)
            )

    def _set_away(self, away: bool) -> None:
        self.note("broker", "goes away" if away else "is back")
        self.kafka.away = away

    def _end_trouble(self) -> None:
        self.note("world", "from here on nothing goes wrong any more")
        self.faults = Faults(zombie_time=self.faults.zombie_time)

    def survives(self, process: Process, step: str) -> bool:
        faults = self.faults
        rate = faults.crash + (faults.target_crash if step == faults.target else 0.0)
        if not self.schedule.chance(rate):
            return True
        incarnation = self._of(process)
        if self.schedule.chance(faults.freeze):
            return self._freeze(process, step)
        victims = [process]
        if self.schedule.chance(faults.both):
            victims += [other for other in incarnation.processes if other is not process and self.random.random() < 0.6]
        for victim in victims:
            self.note(victim.name, f"CRASHES before {step}" if victim is process else "CRASHES too")
            victim.kill()
        self.report.crashes[step] = self.report.crashes.get(step, 0) + 1
        self._give_up(incarnation)
        return False

    def _freeze(self, process: Process, step: str) -> bool:
        self.note(process.name, f"FREEZES before {step}")
        self.schedule.after(self.random.randrange(2 * SECOND), process.thaw)
        if self.random.random() < 0.8:
            self._give_up(self._of(process))
        return False

    def failed(self, process: Process, error: Exception) -> None:
        incarnation = self._of(process)
        self.note(process.name, f"FAILS: {type(error).__name__}: {error}")
        harmless: tuple[type[Exception], ...] = (Fenced, CheckpointStoreFailed, BrokerUnavailable)
        if incarnation.over:  # what it wants to read may be deleted
            harmless += (ObjectMissing,)
        # The markers of an attempt that was fenced after it had read them may be older than the manifest it reads then.
        if isinstance(error, MarkerLost) and (self._expiry.may_ask() or incarnation.over):
            self._undecided = self._undecided or not incarnation.over
        elif not isinstance(error, harmless):
            raise error
        process.kill()
        self._give_up(incarnation)

    def _give_up(self, incarnation: Incarnation) -> None:
        if not incarnation.over:
            incarnation.over = True
            delay = self.random.randrange(1000, self.faults.restart_time * 1000)
            self.schedule.after(delay, partial(self._replace, incarnation))

    def _replace(self, incarnation: Incarnation) -> None:
        if self._undecided:
            self._decide()
            return
        for process in incarnation.processes:
            if self.schedule.chance(self.faults.zombie):
                self.note(process.name, "goes on as a zombie")
                self.schedule.after(self.random.randrange(self.faults.zombie_time * 1000), process.kill)
            else:
                process.kill()
        if self.schedule.chance(self.faults.markers_expire):
            self._forget_markers()
        self._incarnate()

    def _decide(self) -> None:
        """The user stops everything, waits until nothing is on its way any more, and looks into the topics."""
        for process in self._living():
            process.kill()
        if self.store.creating or self.kafka.open_transactions():
            self.schedule.after(SECOND, self._decide)
            return
        self._undecided = False
        self._lost_marker = self._expiry.decide()
        self.note("world", f"--lost-marker {self._lost_marker.choice}@{self._lost_marker.epoch}")
        self._incarnate()

    def _forget_markers(self) -> None:
        """A week passes with nothing running."""
        if not self._expiry.allowed():
            return
        for process in self._living():
            process.kill()
        self.note("world", "a week passes, and the broker forgets the markers")
        self._expiry.forget()
        self._skipped += A_WEEK

    def _incarnate(self) -> None:
        for machine, disk in enumerate(self._machines.disks):
            if self.schedule.chance(self.faults.disk_lost) and machine not in self._machines.used():
                disk.lose()
        incarnation = Incarnation(len(self._incarnations) + 1)
        self._incarnations.append(incarnation)
        self.report.attempts += 1
        workers = self.random.randrange(1, min(4, len(self.plan.stages) * self.shape.partitions) + 1)
        options = CoordinatorOptions(
            lineage=f"{self.random.getrandbits(64):016x}",
            interval=self.shape.interval,
            workers=tuple(range(workers)),
            lost_marker=self._lost_marker,
        )
        self._lost_marker = None
        name = f"{incarnation.number}/coordinator"
        incarnation.coordinator = CoordinatorProcess(self, name, self.plan, options, self._retain)
        incarnation.coordinator.begin()

    # Surroundings

    def clock(self) -> int:
        return self.schedule.now // 1000 + self._skipped

    def after(self, delay: int, call: Callable[[], None]) -> None:
        self.schedule.after(delay, call)

    def note(self, who: str, what: str) -> None:
        if self._on_note is not None:
            self._on_note(self.schedule.elapsed, who, what)

    def stepped(self, process: Process) -> None:
        process.validate()
        if isinstance(process, WorkerProcess) and process.worker is not None:
            number = self._of(process).number
            for id, task in process.worker.tasks.items():
                before = self._watermarks.get((number, id))
                if before is not None and task.time.watermark < before:
                    raise SimulationFailed(f"seed {self.seed}: the watermark of {id} went back")
                self._watermarks[number, id] = task.time.watermark

    def send(self, sender: Process, slot: WorkerId | None, attempt: Attempt, body: object) -> None:
        own = self._of(sender)
        self._network.send((sender.name, slot), partial(self._deliver, own, slot, attempt, body))

    def _deliver(self, own: Incarnation, slot: WorkerId | None, attempt: Attempt, body: object) -> None:
        """To the process that it was meant for, or to the one that has its place now, which must refuse it."""
        for incarnation in (own, self._incarnations[-1]):
            process: Process | None = incarnation.coordinator if slot is None else incarnation.workers.get(slot)
            if process is not None and process.alive:
                what = type(getattr(body, "event", body)).__name__
                if process.takes(attempt):
                    process.arrive(f"receives {what}", partial(process.receive, body))
                else:
                    self.note(process.name, f"refuses {what} of attempt {attempt}")
                return

    def workers(self, coordinator: CoordinatorProcess, slots: Sequence[WorkerId]) -> None:
        incarnation = self._of(coordinator)
        for slot in slots:
            name = f"{incarnation.number}/worker {slot}"
            process = WorkerProcess(self, name, slot, self.plan, self._memory_limit, self.random.randrange(1, 40))
            process.attempt = coordinator.attempt
            incarnation.workers[slot] = process
            if incarnation.over:  # started by a coordinator that is a zombie itself
                self.schedule.after(self.random.randrange(self.faults.zombie_time * 1000), process.kill)
            incarnation.machines[slot] = self._machines.take(slot, process)

    def finished(self, coordinator: CoordinatorProcess, restart: bool) -> None:
        incarnation = self._of(coordinator)
        for process in incarnation.processes:
            process.kill()
        if incarnation.over:
            return
        incarnation.over = True
        self.note(coordinator.name, "FINISHED")
        if coordinator.ending == "drain" and not restart:
            self._done = True
        else:
            if self.schedule.chance(self.faults.markers_expire):
                self._forget_markers()
            self.schedule.after(self.random.randrange(1000, SECOND), self._incarnate)

    def committed(self, manifest: Manifest) -> None:
        self.report.epochs += 1
        if self.random.random() < 0.2:
            check_checkpoint(self.store, read_manifest(self.store, manifest.epoch), self.shape, self.feeder.entries)

    def partitions(self) -> dict[str, int]:
        return {source.id: self.shape.partitions for stage in self.plan.stages for source in stage.sources}

    def publisher(self, slot: WorkerId) -> Publisher:
        return ModelPublisher(self.kafka, self.schedule, self.plan.name, slot)

    def reader(self) -> Reader:
        return ModelReader(self.kafka, self.schedule)

    def ends(self) -> dict[TopicPartition, int] | None:
        if not self.feeder.done:
            return None
        return {
            TopicPartition(TOPIC, p): len(self.kafka.logs[TopicPartition(TOPIC, p)])
            for p in range(self.shape.partitions)
        }

    def state(self, process: WorkerProcess, task: TaskId) -> Store:
        return self._machines.disks[self._of(process).machines[process.slot]].store(task)

    def put(self, process: Process, name: str, parts: Sequence[bytes], then: Callable[[], None]) -> None:
        fail = partial(self._fail_write, process, name)
        self.store.put_later(process, name, parts, lambda: process.arrive("object stored", then), fail)

    def create(self, process: Process, name: str, data: bytes, then: Callable[[bool], None]) -> None:
        fail = partial(self._fail_write, process, name)

        def answered(created: bool) -> None:
            process.arrive("manifest stored", lambda: then(created))

        self.store.create_later(process, name, data, answered, fail)

    def delete(self, process: Process, names: Sequence[str]) -> None:
        def delete(at: int) -> None:
            self.store.delete(names[at : at + 1])
            if at + 1 < len(names):
                process.later(self.random.randrange(50, 1000), "object deleted", partial(delete, at + 1))

        if names:
            process.later(self.random.randrange(50, 5000), "object deleted", partial(delete, 0))

    def _fail_write(self, process: Process, name: str) -> None:
        if process.alive:
            self.failed(process, failure(name))

    def _of(self, process: Process) -> Incarnation:
        return self._incarnations[int(process.name.partition("/")[0]) - 1]

    def _living(self) -> list[Process]:
        return [process for incarnation in self._incarnations for process in incarnation.processes]

    # What must hold

    def _check_end(self) -> None:
        while self.kafka.open_transactions() and self.schedule.step():
            pass
        check_end(self.kafka, self.store, self.shape, self.feeder)


@contextmanager
def small_bases(floor: int, chain: int) -> Iterator[None]:
    """Have bases written for states as small as simulated ones."""
    before = history.BASE_FLOOR, history.MAX_CHAIN
    history.BASE_FLOOR, history.MAX_CHAIN = floor, chain
    try:
        yield
    finally:
        history.BASE_FLOOR, history.MAX_CHAIN = before

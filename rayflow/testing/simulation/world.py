"""The world of a simulation: the values that its seed draws, the models on which the job runs, and the attempts so
far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.messages import Ends
from rayflow.runtimes.simulated.process import Process
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.feeder import Feeder
from rayflow.testing.simulation.jobs import LATE, OTHER, TOPIC, Shape, make_job
from rayflow.testing.simulation.kafka import ModelKafka
from rayflow.testing.simulation.schedule import Schedule
from rayflow.testing.simulation.store import ModelStore
from rayflow.testing.simulation.supervisor import Incarnation, Machines

SECOND = 1_000_000
"""The schedule counts in microseconds."""
ENOUGH = 1 << 20
"""Bytes of memory with which a worker never has to hold its sources."""

OnNote = Callable[[float, str, str], None]
"""Called with every step: virtual time in seconds, process, step."""


@dataclass(slots=True)
class Report:
    """The result of one simulation. `crashes` by step, `faults` by kind."""

    seed: int
    attempts: int = 0
    epochs: int = 0
    records: int = 0
    events: int = 0
    seconds: float = 0.0
    crashes: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)


class World:
    """Everything that the processes of one simulation share.

    Attributes:
        done: whether the job has ended.
        memory_limit, retain: of every attempt (`RunOptions`).
        bounded: whether a bounded run reads the last input; otherwise the job is drained by a request.
        ends: of that run.
    """

    def __init__(
        self,
        seed: int,
        faults: Faults | None,
        shape: Shape | None,
        records: int | None,
        schedule: Schedule | None,
        on_note: OnNote | None,
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
        self.on_note = on_note
        self.memory_limit = self.random.choice((400, 4000, ENOUGH))
        self.retain = self.random.choice((1, 2, 3))
        self.bounded = self.random.random() < 0.3
        self.ends: Ends = {}
        for topic in (TOPIC, *self.shape.branches, *LATE.values()):
            self.kafka.create(topic, self.shape.partitions)
        if self.shape.other:
            self.kafka.create(OTHER, self.shape.other)
        self.feeder = Feeder(self.schedule, self.kafka, self.shape, records)

    @property
    def current(self) -> Incarnation:
        """The latest incarnation."""
        return self.incarnations[-1]

    def of(self, process: Process) -> Incarnation:
        """The incarnation of a process."""
        return self.incarnations[process.incarnation - 1]

    def living(self) -> list[Process]:
        """Every living process."""
        return [process for incarnation in self.incarnations for process in incarnation.processes]

    def partitions(self) -> dict[str, int]:
        """The current number of partitions of each source's topic."""
        topics = self.kafka.topics
        return {source.id: topics[source.topic.name] for stage in self.plan.stages for source in stage.sources}

    def note(self, who: str, what: str) -> None:
        """A line of the trace."""
        if self.on_note is not None:
            self.on_note(self.schedule.elapsed, who, what)

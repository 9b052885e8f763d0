"""Crashes at chosen steps: the kind of fault, the process and the step, and the jobs for which they are enumerated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rayflow.checkpoint.manifest import Manifest
from rayflow.engine.phase import Phase
from rayflow.runtimes.simulated.coordinator import CoordinatorProcess
from rayflow.runtimes.simulated.process import Process
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.jobs import Shape
from rayflow.testing.simulation.simulation import Simulation
from rayflow.testing.simulation.trouble import Trouble
from rayflow.testing.simulation.world import SECOND, OnNote, Report

How = Literal["crash", "restart", "disk", "freeze", "suspend", "thaw"]
HOWS: tuple[How, ...] = ("crash", "restart", "disk", "freeze", "suspend")
"""The faults that can happen before a step.

crash: the process dies. restart: every process of the attempt dies at once. disk: the same, and the disk of every
machine is lost. freeze: the process stands still, and continues as a zombie when the next attempt runs. suspend: the
same for every process of the attempt.
"""


@dataclass(frozen=True, slots=True)
class Crash:
    """A fault of `process` before its step `index` (from 0), in the attempt to which the crash belongs.

    "thaw" belongs to the attempt after a freeze or suspension: before that step, the old processes continue.

    >>> Crash.parse("worker-1:20:disk")
    Crash(process='worker 1', index=20, how='disk')
    >>> str(Crash("coordinator", 7))
    'coordinator:7'
    """

    process: str
    index: int
    how: How = "crash"

    @classmethod
    def parse(cls, text: str) -> Crash:
        """Parse `PROCESS:INDEX[:HOW]`. Raises ValueError."""
        process, index, *rest = text.split(":")
        how = rest[0] if rest else "crash"
        if how not in (*HOWS, "thaw"):
            raise ValueError(f"{how!r} is none of {', '.join(HOWS)}, thaw")
        return cls(process.replace("-", " "), int(index), how)

    def __str__(self) -> str:
        place = f"{self.process.replace(' ', '-')}:{self.index}"
        return place if self.how == "crash" else f"{place}:{self.how}"


@dataclass(frozen=True, slots=True)
class Target:
    """A small job in a fixed world, for enumerating crashes.

    Attributes:
        workers: their number in the first attempt, the second and so on; the last number applies to all later attempts.
        records: number of input records, written within `seconds`.
        memory: bytes that a task may use.
        seed: determines the order of events.
    """

    name: str
    shape: Shape
    workers: tuple[int, ...]
    records: int = 10
    seconds: float = 0.3
    memory: int = 1 << 20
    seed: int = 1


def _shape(partitions: int, stages: int, *branches: str) -> Shape:
    return Shape(partitions, stages, branches, filtered=False, disorder=1, window=40, timer=30, interval=40)


TARGETS = {
    target.name: target
    for target in (
        Target("smallest", _shape(1, 1, "pass", "totals"), (1,)),
        Target("one-stage", _shape(2, 1, "pass", "totals"), (2,), seed=3),
        Target("exchange-alone", _shape(2, 2, "process", "windows"), (1,)),
        Target("exchange", _shape(2, 2, "process", "windows"), (2,)),
        Target("exchange-shrinks", _shape(2, 2, "process", "windows"), (2, 1)),
        Target("exchange-grows", _shape(2, 2, "process", "windows"), (1, 2)),
    )
}


@dataclass(slots=True)
class Steps:
    """The steps of the processes of one attempt: (process, index, step) in order."""

    taken: list[tuple[str, int, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


class _KillsTheReplaced(Trouble):
    """Lets no process continue as a zombie, except the frozen ones."""

    def replaced(self, process: Process) -> None:
        assert isinstance(self._world, CrashRun)
        if not self._world.stands_still(process):
            process.kill()


class CrashRun(Simulation):
    """One run of a target with only the given crashes, the first one in the first attempt and so on.

    The target's seed decides whether an object that was being written at a crash exists.

    Attributes:
        steps: of each attempt; of all but the first only until its first epoch is committed.
    """

    trouble_kind = _KillsTheReplaced

    def __init__(self, target: Target, crashes: tuple[Crash, ...] = (), on_note: OnNote | None = None) -> None:
        quiet = Faults(restart_time=50)
        super().__init__(target.seed, faults=quiet, shape=target.shape, on_note=on_note)
        self.feeder.resize(target.records, target.seconds)
        self.bases = (50, 2)
        self.memory_limit = target.memory
        self.bounded = False
        self.crashes = crashes
        self.steps: list[Steps] = []
        self._target = target
        self._thaws = any(crash.how == "thaw" for crash in crashes)
        self._frozen: list[Process] = []
        self._held: list[Process] = []
        self._recovered: set[int] = set()

    def run(self) -> Report:
        """Run to the end. Raises SimulationFailed; ValueError if a crash was never reached."""
        report = super().run()
        for attempt, crash in enumerate(self.crashes):
            steps = self.steps[attempt] if attempt < len(self.steps) else Steps()
            if steps.counts.get(crash.process, 0) <= crash.index:
                raise ValueError(f"{crash} of attempt {attempt + 1} is never reached")
        return report

    def worker_count(self) -> int:
        workers = self._target.workers
        return workers[min(self.report.attempts, len(workers)) - 1]

    def survives(self, process: Process, step: str) -> bool:
        if process in self._frozen:
            self._held.append(process)
            return False
        number, _, name = process.name.partition("/")
        attempt = int(number) - 1
        while attempt >= len(self.steps):
            self.steps.append(Steps())
        steps = self.steps[attempt]
        index = steps.counts.get(name, 0)
        steps.counts[name] = index + 1
        if attempt not in self._recovered:
            steps.taken.append((name, index, step))
        if attempt < len(self.crashes):
            crash = self.crashes[attempt]
            if crash.index == index and crash.process == name:
                return self._crash(process, crash.how, step)
        return True

    def _crash(self, process: Process, how: How, step: str) -> bool:
        if how == "thaw":
            self._thaw()
            return True
        incarnation = self.of(process)
        self.note(process.name, f"{how.upper()} before {step}")
        self.report.crashes[step] = 1
        if how == "freeze":
            self._frozen, self._held = [process], [process]
        elif how == "suspend":
            self._frozen, self._held = incarnation.processes, [process]
        else:
            for victim in [process] if how == "crash" else incarnation.processes:
                victim.kill()
            if how == "disk":
                for disk in self.machines.disks:
                    disk.lose()
        self.trouble.give_up(incarnation)
        return False

    def stepped(self, process: Process) -> None:
        super().stepped(process)
        if self._frozen and not self._thaws and isinstance(process, CoordinatorProcess):
            newest = self.of(process) is self.incarnations[-1] and not self.of(process).over
            driver = process.driver
            if newest and driver is not None and driver.coordinator.phase is Phase.RUNNING:
                self._thaw()

    def committed(self, process: CoordinatorProcess, manifest: Manifest) -> None:
        super().committed(process, manifest)
        for incarnation in self.incarnations[1:]:
            if incarnation.coordinator is not None and incarnation.coordinator.attempt == manifest.attempt:
                self._recovered.add(incarnation.number - 1)

    def _thaw(self) -> None:
        frozen, held = self._frozen, self._held
        self._frozen, self._held = [], []
        for process in frozen:
            self.note(process.name, "goes on as a zombie")
            self.schedule.after(SECOND, process.kill)
        for process in held:
            process.thaw()

    def stands_still(self, process: Process) -> bool:
        """Whether the process is frozen, to continue later."""
        return process in self._frozen

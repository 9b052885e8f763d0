"""The faults in a simulation, and the reactions of the world."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rayflow.core.errors import (
    BrokerUnavailable,
    CheckpointStoreFailed,
    Fenced,
    MarkerLost,
    OutputOfAnotherRun,
)
from rayflow.engine.recovery import LostMarker
from rayflow.runtimes.simulated.process import Process
from rayflow.runtimes.simulated.worker import WorkerProcess
from rayflow.testing.simulation.expiry import A_WEEK, Expiry
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.jobs import MOST_PARTITIONS, OTHER, TOPIC
from rayflow.testing.simulation.leftovers import Leftovers
from rayflow.testing.simulation.supervisor import Incarnation
from rayflow.testing.simulation.world import SECOND, World

HOUR = 3_600_000


class Trouble:
    """Crashes, freezes, zombies, outages and all other `Faults`, until they end, and the restarts after them.

    Attributes:
        skipped: how far the wall clock is ahead of virtual time, ms.
    """

    def __init__(self, world: World, leftovers: Leftovers, incarnate: Callable[[LostMarker | None], None]) -> None:
        """`incarnate` starts another attempt."""
        self.skipped = 0
        self._world = world
        self._leftovers = leftovers
        self._incarnate = incarnate
        self._schedule = world.schedule
        self._random = world.random
        self._undecided = False
        self._expiry = Expiry(world.kafka, lambda: world.store, world.plan.name)
        self._ends = int(world.feeder.seconds * self._random.choice((0.8, 1.2)) * SECOND)

    def start(self) -> None:
        """Begin."""
        self._schedule.after(SECOND, self._every_second)
        self._schedule.after(self._ends, self._end)

    def _end(self) -> None:
        self._world.note("world", "from here on nothing goes wrong any more")
        self._world.faults = Faults(zombie_time=self._world.faults.zombie_time)

    # From outside

    def _every_second(self) -> None:
        world, random, chance = self._world, self._random, self._schedule.chance
        if world.done:
            return
        faults, current = world.faults, world.current
        self._schedule.after(SECOND, self._every_second)
        coordinator = current.coordinator if not current.over else None
        if coordinator is not None and any(
            isinstance(process, WorkerProcess) and process.attempt > coordinator.attempt
            for process in current.processes
        ):  # an earlier coordinator has claimed a later attempt and taken a kept worker: nobody answers this one
            world.note("world", "gives up an attempt that is not the newest")
            self.give_up(current)
            coordinator = None
        if coordinator is not None and chance(faults.false_alarm, "attempt given up"):
            world.note("world", "gives the attempt up")
            self.give_up(current)
        if coordinator is not None and chance(faults.stop, "stop"):
            coordinator.stop()
        if chance(faults.grow, "partitions to be added"):
            self._grow()
        if coordinator is not None:
            behind = bool(coordinator.sources) and dict(coordinator.sources) != world.partitions()
            behind = behind and random.random() < 0.7
            if behind or chance(faults.rescale, "rescaled"):
                coordinator.rescale()
        if not world.kafka.away and chance(faults.broker_away, "broker away"):
            self._set_away(True)
            self._schedule.after(random.randrange(1000, faults.away_time * 1000 + 1001), partial(self._set_away, False))
        if chance(faults.clock_jump, "clock jumps"):
            jump = random.randrange(-HOUR, HOUR)
            world.note("world", f"the clock jumps by {jump} ms")
            self.skipped += jump

    def _set_away(self, away: bool) -> None:
        self._world.note("broker", "goes away" if away else "is back")
        self._world.kafka.away = away

    def _grow(self) -> None:
        world = self._world
        before = world.kafka.topics[TOPIC]
        if world.shape.grows and before < MOST_PARTITIONS and not world.feeder.done:
            partitions = self._random.randrange(before + 1, MOST_PARTITIONS + 1)
            world.note("world", f"the input has {partitions} partitions now")
            together = world.shape.stages == 1 and world.shape.other  # group_by_key() requires the same number in both
            grown = (TOPIC, OTHER) if together else (TOPIC,)
            self._schedule.happened[
                "partitions added " + ("while down" if world.current.over else "while running")
            ] += 1
            for topic in grown:
                world.feeder.grow(partitions, topic)

    def hit_machines(self) -> None:
        """Before an attempt starts: disks are lost, machines reboot."""
        machines, faults = self._world.machines, self._world.faults
        for machine, disk in enumerate(machines.disks):
            if machine in machines.used():
                continue
            if self._schedule.chance(faults.disk_lost, "disk lost", machine):
                disk.lose()
            if self._schedule.chance(faults.reboot, "machine rebooted", machine):
                disk.reboot(self._random)

    # In a process

    def spares(self, process: Process, step: str) -> bool:
        """Whether a process does its next step; otherwise it dies, or stands still."""
        faults = self._world.faults
        rate = faults.crash + (faults.target_crash if step == faults.target else 0.0)
        if not self._schedule.chance(rate, "crash", process.name, step):
            return True
        incarnation = self._world.of(process)
        if self._schedule.chance(faults.freeze, "process frozen", process.name, step):
            return self._freeze(process, step)
        victims = [process]
        if self._schedule.chance(faults.both, "crash of several", process.name):
            victims += [one for one in incarnation.processes if one is not process and self._random.random() < 0.6]
        for victim in victims:
            self._world.note(victim.name, f"CRASHES before {step}" if victim is process else "CRASHES too")
            victim.kill()
        crashes = self._world.report.crashes
        crashes[step] = crashes.get(step, 0) + 1
        self.give_up(incarnation)
        return False

    def _freeze(self, process: Process, step: str) -> bool:
        self._world.note(process.name, f"FREEZES before {step}")
        self._schedule.after(self._random.randrange(2 * SECOND), process.thaw)
        if self._random.random() < 0.8:
            self.give_up(self._world.of(process))
        return False

    def failed(self, process: Process, error: Exception) -> None:
        """An error has ended a process's attempt. Raises it if no simulated fault explains it."""
        world = self._world
        incarnation = world.of(process)
        world.note(process.name, f"FAILS: {type(error).__name__}: {error}")
        harmless: tuple[type[Exception], ...] = (Fenced, CheckpointStoreFailed, BrokerUnavailable)
        if (
            incarnation.store is not world.store
        ):  # the job has started elsewhere from a savepoint, which is what the error says
            harmless += (OutputOfAnotherRun,)
        # An attempt that was fenced after reading the markers may then read a newer manifest.
        if isinstance(error, MarkerLost) and (self._expiry.may_ask() or incarnation.over):
            self._undecided = self._undecided or not incarnation.over
        elif not isinstance(error, harmless):
            raise error
        if process is incarnation.coordinator:  # a worker reports to its coordinator, which decides
            self.give_up(incarnation)

    # After it

    def give_up(self, incarnation: Incarnation) -> None:
        """Request another attempt as a replacement."""
        if not incarnation.over:
            incarnation.over = True
            delay = self._random.randrange(1000, self._world.faults.restart_time * 1000)
            self._schedule.after(delay, partial(self._replace, incarnation))

    def _replace(self, incarnation: Incarnation) -> None:
        if self._undecided:
            self._decide()
            return
        for process in incarnation.processes:
            self.replaced(process)
        if self._schedule.chance(self._world.faults.markers_expire, "markers to expire"):
            self.forget_markers()
        if self._schedule.chance(self._world.faults.grow, "partitions to be added"):
            self._grow()
        self._incarnate(None)

    def replaced(self, process: Process) -> None:
        """Another attempt starts: the process ends, or continues as a zombie, or as a worker of the new attempt."""
        faults = self._world.faults
        if isinstance(process, WorkerProcess) and self._schedule.chance(faults.kept, "worker kept", process.name):
            self._world.note(process.name, "is kept")
            self._leftovers.keep(process)
        elif self._schedule.chance(faults.zombie, "zombie", process.name):
            self._world.note(process.name, "goes on as a zombie")
            self._leftovers.end_later(process)
        else:
            process.kill()

    def _decide(self) -> None:
        """The user stops everything, waits until nothing is in flight, and looks into the topics."""
        world = self._world
        for process in world.living():
            process.kill()
        if world.store.creating or world.kafka.open_transactions() or world.kafka.settling():
            self._schedule.after(SECOND, self._decide)
            return
        self._undecided = False
        decision = self._expiry.decide()
        world.note("world", f"--lost-marker {decision.choice}@{decision.epoch}")
        self._incarnate(decision)

    def forget_markers(self) -> None:
        """A week passes without any process."""
        if not self._expiry.allowed():
            return
        for process in self._world.living():
            process.kill()
        self._world.note("world", "a week passes, and the broker forgets the markers")
        self._schedule.happened["markers expired"] += 1
        self._expiry.forget()
        self.skipped += A_WEEK

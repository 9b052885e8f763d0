"""What a job on a Ray of this machine uses: its own processes, and apart from them Ray's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import Usage, children, followed, private_memory_of, stat

WORKER, COORDINATOR = "ray::WorkerActo", "ray::Coordinato"
"""What Ray calls the processes of rayflow's actors, as far as the kernel keeps a name."""
LOOK_EVERY = 0.01
"""Seconds between two looks at the CPU of all processes: what one uses after the last look is missed."""
WALK_EVERY = 0.2
"""Seconds between two searches for new processes, with a look at memory."""


@dataclass(frozen=True, slots=True)
class RayUsage(Usage):
    """What one run on Ray used: its workers and its coordinator, each since Ray's process for it became one. Python
    and Ray have been started in it by then.

    `wall`: from when the last worker began until the first one was gone. `coordinator`: its part of `cpu`. `others`:
    CPU seconds, in that time, of all other processes: Ray's own, and the command that waits for the job.
    """

    coordinator: float = 0.0
    others: float = 0.0


@dataclass(slots=True)
class _Process:
    """One process. `role`: WORKER, COORDINATOR or none. `since`: its CPU seconds when it got that. `cpu`: by now."""

    role: str = ""
    since: float = 0.0
    cpu: float = 0.0
    gone: bool = False


@dataclass(slots=True)
class RayTree:
    """All processes below `root`, looked at again and again.

    Attributes:
        began: when the newest worker began. ended: when the first one was gone. 0.0 until then.
    """

    root: int
    began: float = 0.0
    ended: float = 0.0
    _processes: dict[int, _Process] = field(default_factory=dict)
    _others: tuple[float, float] = (0.0, 0.0)

    def walk(self) -> int:
        """Find new processes; gives the private memory of the workers, bytes."""
        left = [self.root]
        while left:
            pid = left.pop()
            self._processes.setdefault(pid, _Process())  # one that has ended may still be listed
            left += children(pid)
        return sum(private_memory_of(pid) for pid, process in self._processes.items() if process.role == WORKER)

    def look(self, now: float) -> None:
        """See what CPU each has used, and what each has become."""
        for pid, process in self._processes.items():
            if process.gone:
                continue
            name, state, cpu = stat(pid)
            if name in (WORKER, COORDINATOR) and not process.role:
                process.role, process.since = name, process.cpu
                if name == WORKER:
                    self.began = now
                    self._others = self.cpu(""), 0.0
            process.cpu = max(process.cpu, cpu)
            if state in ("", "Z"):
                process.gone = True
                if process.role == WORKER and not self.ended:
                    self.ended = now
        if self.began and not self.ended:
            self._others = self._others[0], self.cpu("")

    def cpu(self, role: str) -> float:
        """CPU seconds of all that are or were of that role, since they were."""
        return sum(each.cpu - each.since for each in self._processes.values() if each.role == role)

    @property
    def others(self) -> float:
        """CPU seconds of all without a role while all workers were there."""
        return self._others[1] - self._others[0]


def measured_on_ray(
    command: Sequence[str], log: Path, *, limit: float = 1200.0, seen: Callable[[float, int], None] | None = None
) -> RayUsage:
    """Run a command, which starts a Ray of its own, to its end; its output goes to `log`. `seen` is told seconds since
    the start, and the workers' private memory.

    Raises RunFailed, TimeoutError.
    """
    tree, walked, peak = RayTree(0), 0.0, 0

    def look(pid: int, elapsed: float) -> None:
        nonlocal walked, peak
        tree.root = pid
        if elapsed - walked >= WALK_EVERY or not walked:
            walked = elapsed
            memory = tree.walk()
            peak = max(peak, memory)
            if seen is not None and tree.began and not tree.ended:
                seen(elapsed, memory)
        tree.look(time.monotonic())

    _, used = followed(command, log, look, LOOK_EVERY, limit)
    ours, coordinator = tree.cpu(WORKER) + tree.cpu(COORDINATOR), tree.cpu(COORDINATOR)
    return RayUsage(tree.ended - tree.began, ours, peak, used.ru_oublock * 512, coordinator, tree.others)

"""A simulated process: threads that run shipped code, stand still wherever time passes, and may be gone at any step.

Each thread is a greenlet: the schedule switches to it, and it switches back whenever it waits. So the drivers run as
they are, and one seed decides what happens between any two of their steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.ids import Attempt
from rayflow.runtimes.simulated.surroundings import MILLISECOND, Surroundings


class Process(ABC):
    """A main thread and threads for background calls. `begin` first.

    Attributes:
        incarnation: number of the coordinator that the process belongs to. name: unique.
        checkpoints: the store as it is, without the time that writing takes.
        alive: a dead process does nothing any more.
    """

    def __init__(
        self, world: Surroundings, incarnation: int, name: str, checkpoints: CheckpointStore | None = None
    ) -> None:
        self.world = world
        self.incarnation = incarnation
        self.name = name
        self.checkpoints = checkpoints or world.checkpoints
        self.alive = True
        self._threads: list[greenlet] = []  # kept to the end of the simulation: one that is dropped would unwind
        self._frozen = False
        self._held: list[Callable[[], None]] = []
        self._lag = 0.0
        self._waits: object | None = None
        self._woken = False

    @property
    @abstractmethod
    def attempt(self) -> Attempt:
        """The attempt that the process takes part in; 0: none yet."""

    @abstractmethod
    def main(self) -> None:
        """The main thread's code."""

    @abstractmethod
    def validate(self) -> None:
        """Check the invariants of what the process runs. Raises InvariantBroken."""

    def begin(self) -> None:
        """Start the main thread."""
        self.spawn(self.main)

    def spawn(self, run: Callable[[], None]) -> None:
        """Start a thread."""
        thread = greenlet(run)
        self._threads.append(thread)
        self._resume_later(thread, self._moment())

    def kill(self) -> None:
        """End at once, without a word."""
        self.alive = False
        self._held.clear()

    def thaw(self) -> None:
        """Go on after `survives` has said no to a process that still lives."""
        self._frozen = False
        held, self._held = self._held, []
        for resume in held:
            self.world.after(0, resume)

    # From the process's own threads

    def step(self, what: str) -> None:
        """Something is done next: the process may die or freeze before it, and a moment passes."""
        self._live()
        if not self.world.survives(self, what):
            thread = getcurrent()
            if self.alive:
                self._frozen = True
                self._held.append(lambda: self._resume(thread))
            self._switch()
        self.world.note(self.name, what)
        self.pause(self._moment())

    def pause(self, delay: int) -> None:
        """Let `delay` microseconds pass in this thread."""
        self._live()
        self._resume_later(getcurrent(), delay)
        self._switch()

    def park(self, start: Callable[[Callable[[], None]], None]) -> None:
        """Wait until the call that `start` is given is made: by the world, once."""
        self._live()
        thread = getcurrent()
        start(lambda: self._resume(thread))
        self._switch()

    def wait(self, most: int) -> None:
        """Have the main thread wait until `wake`, `most` microseconds at most."""
        self._live()
        if self._woken:
            self._woken = False
            self.pause(self._moment())
            return
        ticket = self._waits = object()
        thread = getcurrent()
        self.world.after(most, lambda: self._end_wait(ticket, thread))
        self._switch()
        self._woken = False

    def wake(self) -> None:
        """There is something for the main thread to do."""
        if self._waits is not None and not self._woken:
            ticket, thread = self._waits, self._threads[0]
            self.world.after(self._moment(), lambda: self._end_wait(ticket, thread))
        self._woken = True

    def monotonic(self) -> float:
        """Seconds. Now and then what was done since the last look has taken its time."""
        if self.world.random.random() < 0.05:
            self._lag += self.world.random.random() * 0.03
        return self.world.seconds() + self._lag

    def _moment(self) -> int:
        return 5 + int(self.world.random.random() * 145)

    def _live(self) -> None:
        if not self.alive:  # a thread that unwinds at the end of the simulation
            raise GreenletExit

    def _switch(self) -> None:
        """Back to the schedule, until it switches here again."""
        parent: Any = getcurrent().parent
        parent.switch()
        self._live()

    def _resume_later(self, thread: greenlet, delay: int) -> None:
        self.world.after(delay, lambda: self._resume(thread))

    def _resume(self, thread: greenlet) -> None:
        if not self.alive:
            return
        if self._frozen:
            self._held.append(lambda: self._resume(thread))
            return
        thread.parent = getcurrent()
        thread.switch()

    def _end_wait(self, ticket: object, thread: greenlet) -> None:
        if self._waits is not ticket or not self.alive:
            return
        if self._frozen:
            self._held.append(lambda: self._end_wait(ticket, thread))
            return
        self._waits = None
        self._resume(thread)


IDLE = 40 * MILLISECOND
"""The longest that a process waits when it has nothing to do, in microseconds."""
BUSY = 4 * MILLISECOND
"""The longest that it waits while something of its own is in flight."""

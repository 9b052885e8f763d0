"""A simulated process: threads that run production code, switch wherever time passes, and may die at any step.

Each thread is a greenlet: the schedule switches to it, and it switches back whenever it waits. So the drivers run
unchanged, and one seed decides what happens between any two of their steps.
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
    """A main thread and threads for background calls. Call `begin` first.

    Attributes:
        incarnation: number of the coordinator to which the process belongs.
        name: unique.
        checkpoints: the store itself, without simulated delays of writes.
        alive: False after the process has died; then it does nothing.
    """

    def __init__(
        self, world: Surroundings, incarnation: int, name: str, checkpoints: CheckpointStore | None = None
    ) -> None:
        self.world = world
        self.incarnation = incarnation
        self.name = name
        self.checkpoints = checkpoints or world.checkpoints
        self.alive = True
        self._threads: list[greenlet] = []  # kept until `unwind`: releasing one would unwind it
        self._frozen = False
        self._held: list[Callable[[], None]] = []
        self._lag = 0.0
        self._waits: object | None = None
        self._woken = False

    @property
    @abstractmethod
    def attempt(self) -> Attempt:
        """The attempt of the process; 0: none yet."""

    @abstractmethod
    def main(self) -> None:
        """The main thread's code."""

    @abstractmethod
    def validate(self) -> None:
        """Check the invariants of the state machine that the process runs. Raises InvariantBroken."""

    def begin(self) -> None:
        """Start the main thread."""
        self.spawn(self.main)

    def spawn(self, run: Callable[[], None]) -> None:
        """Start a thread."""
        thread = greenlet(run)
        self._threads.append(thread)
        self._resume_later(thread, self._moment())

    def kill(self) -> None:
        """End at once, without sending anything."""
        self.alive = False
        self._held.clear()

    def unwind(self) -> None:
        """End the threads, once the simulation is over: one that waits keeps all that it knows in memory for ever."""
        self.kill()
        for thread in self._threads:
            thread.parent = getcurrent()
            thread.throw(GreenletExit)

    def thaw(self) -> None:
        """Continue a living process that was frozen because `survives` returned False."""
        self._frozen = False
        held, self._held = self._held, []
        for resume in held:
            self.world.after(0, resume)

    # From the process's own threads

    def step(self, what: str) -> None:
        """Called before each step: some time passes, and the process may die or freeze."""
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
        """Wait until the world calls the function that is passed to `start`; it calls it once."""
        self._live()
        thread = getcurrent()
        start(lambda: self._resume(thread))
        self._switch()

    def wait(self, most: int) -> None:
        """Let the main thread wait until `wake`, `most` microseconds at most."""
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
        """Wake the main thread."""
        if self._waits is not None and not self._woken:
            ticket, thread = self._waits, self._threads[0]
            self.world.after(self._moment(), lambda: self._end_wait(ticket, thread))
        self._woken = True

    def monotonic(self) -> float:
        """Seconds. Some calls return a larger step, as if the work since the last call had taken time."""
        if self.world.random.random() < 0.05:
            self._lag += self.world.random.random() * 0.03
        return self.world.seconds() + self._lag

    def _moment(self) -> int:
        return 5 + int(self.world.random.random() * 145)

    def _live(self) -> None:
        if not self.alive:  # a thread that unwinds when the simulation ends
            raise GreenletExit

    def _switch(self) -> None:
        """Switch to the schedule, until it switches back."""
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
"""The maximum time that an idle process waits, in microseconds."""
BUSY = 4 * MILLISECOND
"""The maximum time that it waits while something of its own is in flight."""

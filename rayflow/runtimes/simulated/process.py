"""A process of the simulation: does one thing after another, and may be gone before the next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import RayflowError
from rayflow.core.ids import Attempt, WorkerId
from rayflow.runtimes.simulated.messages import Envelope
from rayflow.runtimes.simulated.surroundings import Surroundings

Step = tuple[str, Callable[[], None]]


class Process(ABC):
    """Steps in order, each an event of its own: first what an earlier step gave rise to, then what came from outside.

    Attributes:
        incarnation: number of the coordinator, with its workers, that the process belongs to.
        checkpoints: the store of that incarnation.
        alive: a dead process does nothing any more. attempt: whose messages it takes; 0: none yet.
        changed: whether a state machine has been told something since the last look at its invariants.
    """

    def __init__(self, world: Surroundings, incarnation: int, name: str) -> None:
        self.world = world
        self.incarnation = incarnation
        self.name = f"{incarnation}/{name}"
        self.checkpoints = world.checkpoints
        self.alive = True
        self.attempt: Attempt = 0
        self.changed = False
        self._sent: dict[WorkerId | None, int] = {}
        self._heard: dict[str, int] = {}
        self._actions: deque[Step] = deque()
        self._arrived: deque[Step] = deque()
        self._awake = False

    def arrive(self, what: str, call: Callable[[], None]) -> None:
        """Something came from outside: to be done when everything before is done."""
        if self.alive:
            self._arrived.append((what, call))
            self._wake()

    def act(self, what: str, call: Callable[[], None]) -> None:
        """Something to do next, behind what is to be done already."""
        self._actions.append((what, call))
        self._wake()

    def later(self, delay: int, what: str, call: Callable[[], None]) -> None:
        """Something that arrives `delay` microseconds from now."""
        self.world.after(delay, lambda: self.arrive(what, call))

    def kill(self) -> None:
        """End at once, without a word."""
        self.alive = False
        self._actions.clear()
        self._arrived.clear()

    @abstractmethod
    def receive(self, body: Any) -> None:
        """A message of the process's own attempt came."""

    @abstractmethod
    def validate(self) -> None:
        """Check the invariants of what the process runs. Raises InvariantBroken."""

    def takes(self, attempt: Attempt) -> bool:
        """Whether a message of that attempt is for this process."""
        return attempt == self.attempt

    def post(self, slot: WorkerId | None, body: object) -> None:
        """Send to a worker of the same attempt, or to its coordinator (None)."""
        number = self._sent[slot] = self._sent.get(slot, 0) + 1
        self.world.send(self, slot, Envelope(self.name, number, self.attempt, body))

    def deliver(self, letter: Envelope) -> None:
        """Take what has come on a link, unless it is another attempt's, or has come before."""
        what = type(letter.body).__name__
        if not self.takes(letter.attempt):
            self.world.note(self.name, f"refuses {what} of attempt {letter.attempt}")
        elif self.repeats(letter):
            self.world.note(self.name, f"knows {what} already")
        else:
            self._heard[letter.sender] = letter.number
            self.arrive(f"receives {what}", lambda: self.receive(letter.body))

    def repeats(self, letter: Envelope) -> bool:
        """Whether a letter has come before: a link keeps the order, but may say a thing twice."""
        return letter.number <= self._heard.get(letter.sender, 0)

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            self.world.after(5 + int(self.world.random.random() * 145), self._turn)

    def thaw(self) -> None:
        """Go on after `survives` has said no to a process that still lives."""
        if self.alive:
            self._step()

    def _turn(self) -> None:
        if not self.alive:
            return
        what, _ = (self._actions or self._arrived)[0]
        if self.world.survives(self, what):
            self._step()

    def _step(self) -> None:
        self._awake = False
        what, call = (self._actions or self._arrived).popleft()
        self.world.note(self.name, what)
        try:
            call()
        except RayflowError as error:
            self.world.failed(self, error)
        if self.alive and self.changed:
            self.changed = False
            self.world.stepped(self)
        if self.alive and (self._actions or self._arrived):
            self._wake()


class RecordedStore(CheckpointStore):
    """Reads of a store as they are; writes and deletions only recorded, to be done as events of their own."""

    def __init__(self, store: CheckpointStore) -> None:
        self.uri = store.uri
        self._store = store
        self.puts: list[tuple[str, Sequence[bytes]]] = []
        self.deleted: list[str] = []

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        self.puts.append((name, parts))

    def create(self, name: str, data: bytes) -> None:
        self.puts.append((name, [data]))

    def get(self, name: str) -> bytes:
        return self._store.get(name)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        return self._store.get_range(name, start, length)

    def size(self, name: str) -> int:
        return self._store.size(name)

    def list(self, prefix: str) -> Any:
        return self._store.list(prefix)

    def delete(self, names: Sequence[str]) -> None:
        self.deleted.extend(names)


def put_all(process: Process, puts: Sequence[tuple[str, Sequence[bytes]]], then: Callable[[], None], what: str) -> None:
    """Write objects one after the other; `then` is a step of the process."""

    def put(at: int) -> None:
        if at == len(puts):
            process.act(what, then)
        else:
            process.world.put(process, *puts[at], lambda: put(at + 1))

    put(0)

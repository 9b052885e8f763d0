"""Runs a small job on two workers on one thread, and records its calls: `how-it-is-built.md` is compared with them."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import rayflow as rf
from rayflow.api.job import Job
from rayflow.checkpoint.open import open_store
from rayflow.cli.topics.reading import read_topic
from rayflow.connectors.registry import open_connector
from rayflow.core.batch import EncodedBatch
from rayflow.core.hashing import Partitioner
from rayflow.core.ids import TaskId
from rayflow.engine.events import EndRequested
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.coordinator import CoordinatorDriver
from rayflow.runtimes.hosting.messages import Message
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.worker_host import WorkerHost
from rayflow.runtimes.machine.calls import LoopCalls
from rayflow.runtimes.machine.connectors import OpenConnectors
from rayflow.serde.keys import encode_canonical
from rayflow.state.base import Store
from rayflow.state.lmdb_store import LmdbStore

WORKERS = (0, 1)
INTERVAL = 1_000
"""Checkpoint interval, in ms of a clock that only `House` moves."""


def counting() -> Job:
    """Counts each word: one stage that reads, an exchange, one that counts and writes."""
    job = rf.Job("house", checkpoint_interval=timedelta(milliseconds=INTERVAL))
    words = job.stream("words", value=str, key=str).map(str.lower).key_by(lambda word: word)
    words.count(name="counts").to("counts")
    return job


class Inline:
    """Background calls that are made by `collect`, so that everything happens on one thread."""

    def __init__(self) -> None:
        self._calls: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()

    def call(self, call: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self._calls.append((call, then))

    def collect(self) -> bool:
        worked = bool(self._calls)
        for _ in range(len(self._calls)):
            call, then = self._calls.popleft()
            then(call())
        return worked

    def wait(self, timeout: float) -> None:
        """Nothing runs elsewhere."""

    @property
    def waiting(self) -> int:
        return len(self._calls)

    def close(self) -> None:
        self._calls.clear()

    def abandon(self) -> None:
        self._calls.clear()


@dataclass(frozen=True)
class Entered:
    """A function that was called, or that has returned.

    `owner`: the class of its `self`, None for a plain function. `carried`: whether an argument, or its result, held the
    word that is looked for. `returned`: whether this is its return.
    """

    name: str
    module: str
    owner: type | None
    carried: bool
    returned: bool


class House:
    """The coordinator's driver and two workers' hosts, connected by calls; turns only when the test says so."""

    def __init__(self, folder: Path, *, on_step: Callable[[str], None]) -> None:
        self._now = 1_700_000_000_000
        self._monotonic = 0.0
        self._broker = f"embedded:{folder / 'log'}"
        options = RunOptions(broker=self._broker, state=folder)
        connectors = self._connectors = OpenConnectors.of_run(options)
        self._log = open_connector(connectors.broker)
        self._log.create("words", len(WORKERS))
        plan = plan_of(counting())
        store = open_store(f"file:{folder / 'checkpoints'}")
        ports = Ports(lambda: self._now, self._tick, Inline, LoopCalls, store, connectors, on_step)

        def open_state(task: TaskId) -> Store:
            return LmdbStore(folder / str(task).replace("/", "-"))

        self._told: deque[tuple[int, object]] = deque()
        self.hosts = [WorkerHost(plan, options, slot, ports, open_state, self) for slot in WORKERS]
        self.coordinator = CoordinatorDriver(plan, options, ports, WORKERS, lineage="house", send=self._send)

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Turn everything until it holds."""
        for _ in range(2_000):
            if condition():
                return
            self._now += 1
            while self._told:
                self.coordinator.receive(*self._told.popleft())
            self.coordinator.step()
            for host in self.hosts:
                host.turn()
        raise AssertionError("it has not come to that")

    def start(self) -> None:
        """Run until records are processed, and the epoch that the start begins with is over."""
        self.coordinator.start()
        self.run_until(lambda: self.coordinator.started)
        self.wait(INTERVAL)

    def wait(self, ms: int) -> None:
        """Let time pass on the wall clock."""
        self._now += ms

    def write(self, word: str) -> None:
        """Write a record to partition 0 of the source."""
        appender = self._log.appender()
        appender.append(EncodedBatch("words", [None], [word.encode()], [self._now], partition=0))
        appender.flush()
        appender.close()

    def word_to_the_other(self) -> str:
        """A word that goes from the task that reads partition 0 to a task on the other worker."""
        here = self.coordinator.placement[TaskId("s1", 0)]
        partitioner = Partitioner(len(WORKERS), encode_canonical)
        words = ("swordfish", "barracuda", "mackerel", "anchovy", "haddock")
        return next(word for word in words if self.coordinator.placement[TaskId("s2", partitioner[word])] != here)

    @property
    def pending(self) -> bool:
        """Whether the open epoch has changed state."""
        workers = [host.driver.worker for host in self.hosts if host.driver is not None]
        return any(task.state.pending_rows for worker in workers if worker for task in worker.tasks.values())

    def output(self) -> list[Any]:
        """Read the job's output as a `read_committed` reader does."""
        return list(read_topic(self._log, "counts", from_start=True, follow=False))

    def close(self) -> None:
        """Stop the job, and let go of everything."""
        self.coordinator.tell(EndRequested("stop"))
        self.run_until(lambda: self.coordinator.finished is not None)
        for host in self.hosts:
            host.drop()
        self.coordinator.close()
        self._connectors.close()
        self._log.close()

    # The links of both workers

    def report(self, attempt: int, message: object) -> None:
        self._told.append((attempt, message))

    def deliver(self, worker: int, frame: Any) -> None:
        self.hosts[worker].post(frame)

    def _send(self, slot: int, message: object) -> None:
        self.hosts[slot].post(Message(self.coordinator.coordinator.attempt, message))

    def _tick(self) -> float:
        self._monotonic += 0.0001
        return self._monotonic


@contextmanager
def recorded(seen: list[Entered | str], names: Iterable[str], word: str) -> Iterator[None]:
    """Note in `seen` each call and each return of functions of rayflow that have one of these names."""
    wanted = set(names)

    def profile(frame: FrameType, event: str, result: Any) -> None:
        code = frame.f_code
        if code.co_name not in wanted or event not in ("call", "return"):
            return
        module = frame.f_globals.get("__name__", "")
        if not module.startswith("rayflow."):
            return
        arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        values = {name: frame.f_locals[name] for name in arguments if name in frame.f_locals}
        owner = type(values.pop("self")) if "self" in values else None
        given: Sequence[Any] = [*values.values()] if event == "call" else [result]
        carried = any(holds(each, word) for each in given)
        seen.append(Entered(code.co_name, module, owner, carried, event == "return"))

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def holds(value: Any, word: str, depth: int = 8) -> bool:
    """Whether a word is somewhere in a value: in its text, its bytes, its items or its fields."""
    if isinstance(value, str):
        return word in value
    if isinstance(value, bytes | bytearray | memoryview):
        return word.encode() in bytes(value)
    if depth == 0:
        return False
    inside = partial(holds, word=word, depth=depth - 1)
    if isinstance(value, dict):
        return any(map(inside, value)) or any(map(inside, value.values()))
    if isinstance(value, list | tuple | set | deque):
        return any(map(inside, value))
    if is_dataclass(value) and not isinstance(value, type):
        return any(inside(getattr(value, field.name)) for field in fields(value))
    slots = getattr(type(value), "__slots__", ()) or getattr(type(value), "__struct_fields__", ())
    return type(value).__module__.startswith("rayflow.") and any(
        inside(getattr(value, name, None)) for name in ([slots] if isinstance(slots, str) else slots)
    )

"""Scripts for a broker: what clients do to it, drawn or written by hand, and what an observer sees after each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol, TypeAlias

from rayflow.core.ids import TopicPartition
from tests.simulation.conformance.comparing import await_same
from tests.simulation.conformance.reading import PARTITIONS, Read

GROUPS = ("job", "job-markers")

Seen: TypeAlias = dict[tuple[str, Any, int], Any]
"""("stable" or "end", topic, partition) to an offset; ("offset", group, partition) to an offset with its metadata, None
or "unstable"."""


@dataclass(frozen=True)
class Init:
    """A new producer of a transactional id."""

    client: str
    id: str


@dataclass(frozen=True)
class Begin:
    """Begin a transaction."""

    client: str


@dataclass(frozen=True)
class Produce:
    """Add records to the transaction, and wait until the broker has them."""

    client: str
    partition: int
    count: int


@dataclass(frozen=True)
class Offsets:
    """Add an offset to the transaction."""

    client: str
    group: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Commit:
    """End the transaction with effect."""

    client: str


@dataclass(frozen=True)
class Abort:
    """End the transaction without effect."""

    client: str


@dataclass(frozen=True)
class Append:
    """Write records without a transaction."""

    partition: int
    count: int


@dataclass(frozen=True)
class SetOffset:
    """Set a group's offset as a tool does, without a transaction."""

    group: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Forget:
    """Delete a group with all its offsets: what a broker does by itself with one that is not used for a week."""

    group: str


@dataclass(frozen=True)
class TimePasses:
    """Nobody does anything until the broker has ended whatever is open."""


Operation: TypeAlias = TimePasses | Init | Begin | Produce | Offsets | Commit | Abort | Append | SetOffset | Forget
Script: TypeAlias = Sequence[Operation]


class BrokerUnderTest(Protocol):
    """The model or the real one, with one topic of PARTITIONS partitions."""

    def do(self, operation: Operation) -> str:
        """ "done" or "fenced"."""

    def observe(self) -> Seen:
        """What everybody can see now."""

    def read(self, positions: dict[int, int]) -> Read:
        """Read from these positions to the ends."""


def play(script: Script, model: BrokerUnderTest, real: BrokerUnderTest) -> None:
    """Play a script on both; raises AssertionError at the first difference."""
    for number, operation in enumerate(script):
        told = f"at {number}, {operation} of {list(script)}"
        before = model.observe()
        expected = model.do(operation)
        found = real.do(operation)
        assert found == expected, f"{found}, in the model {expected} {told}"
        await_same(real.observe, before, model.observe(), told)


def read_from_many_positions(random: Random, model: BrokerUnderTest, real: BrokerUnderTest) -> None:
    """Read both from the first position and from drawn ones: in gaps, at ends, and rarely behind an end."""
    ends = {p: model.observe()["stable", "topic", p] for p in range(PARTITIONS)}
    drawn = [{p: random.randrange(end + (random.random() < 0.15) + 1) for p, end in ends.items()} for _ in range(3)]
    for positions in [dict.fromkeys(ends, 0), *drawn]:
        expected, found = model.read(positions), real.read(positions)
        assert found == expected, f"reading from {positions}: {found}, in the model {expected}"


def draw_script(random: Random, length: int) -> list[Operation]:
    """A script that a careful client library would allow: nobody uses a producer that was told it is fenced."""
    return _Draw(random, length).script


class _Draw:
    def __init__(self, random: Random, length: int) -> None:
        self._random = random
        self._newest: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._open: dict[str, set[str]] = {}
        self._begun: dict[str, bool] = {}
        self.script: list[Operation] = []
        choices: list[Callable[[], Operation | None]] = [
            *[self._transact] * 12,
            *[self._append] * 2,
            self._set_offset,
            self._forget,
        ]
        for id in ("x", "y"):
            self._init(id)
        while len(self.script) < length:
            if random.random() < 0.07 and len(self._ids) < 5:
                self._init(random.choice(("x", "y")))
            operation = random.choice(choices)()
            if operation is not None:
                self.script.append(operation)

    def _init(self, id: str) -> None:
        client = f"{id}{sum(other == id for other in self._ids.values()) + 1}"
        older = self._newest.get(id)
        if older is not None:
            self._open[older] = set()
        self._newest[id] = client
        self._ids[client] = id
        self._begun[client] = False
        self._open[client] = set()
        self.script.append(Init(client, id))

    def _transact(self) -> Operation | None:
        random = self._random
        client = random.choice(list(self._begun))
        if not self._begun[client]:
            self._begun[client] = True
            return Begin(client)
        stale = self._newest[self._ids[client]] != client
        kind = random.choice(("produce", "produce", "offsets", "commit", "commit", "abort"))
        operation: Operation
        if kind == "produce":
            operation = Produce(client, random.randrange(PARTITIONS), random.randrange(1, 4))
            self._open[client].add("")
        elif kind == "offsets":
            group = random.choice(GROUPS)
            operation = Offsets(client, group, random.randrange(PARTITIONS), random.randrange(100))
            self._open[client].add(group)
        else:
            operation = Commit(client) if kind == "commit" else Abort(client)
            self._begun[client] = False
        if stale:  # it is told so, now, unless it ends a transaction of which the broker has not heard
            del self._begun[client], self._open[client]
        elif kind in ("commit", "abort"):
            self._open[client] = set()
        return operation

    def _append(self) -> Operation:
        return Append(self._random.randrange(PARTITIONS), self._random.randrange(1, 3))

    def _set_offset(self) -> Operation:
        return SetOffset(self._random.choice(GROUPS), self._random.randrange(PARTITIONS), self._random.randrange(100))

    def _forget(self) -> Operation | None:
        pending = any(GROUPS[1] in groups for groups in self._open.values())
        return None if pending else Forget(GROUPS[1])


def place(partition: int) -> TopicPartition:
    """A partition of the model's topic."""
    return TopicPartition("topic", partition)

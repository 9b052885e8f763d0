"""The process that writes visits until SIGTERM, at a rate that rises and falls, or is even until SIGUSR1.

Run as `python -m tests.soak.load '{"bootstrap": ..., "seed": ..., "rate": ...}'`. At its end it writes one last visit
per partition whose time is far ahead, so that whatever belongs to the others can be cleaned up, and prints its counts.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from tests.soak.job import LIFE, OUT_OF_ORDER, SOURCE, Visit

PARTITIONS = 3
SHOPS = 12
LATE_ONE_IN, LATE_BY = 100, 3_000
"""One visit in so many has a time up to so many ms back."""
AHEAD = 60_000
"""How far ahead of all others the last visits are, ms."""
TURN = 0.02
"""Seconds between two turns."""
LAST = "last"
"""What the sessions of the last visits begin with."""


class Orders(msgspec.Struct):
    """What the process is told. `rate`: visits per second, about. `even`: without ups and downs until SIGUSR1."""

    bootstrap: str
    seed: int
    rate: float
    even: bool = False


class Written(msgspec.Struct):
    """What it has written. `peak`: the highest rate of a phase, visits per second."""

    visits: int
    sessions: int
    peak: float


Phase = tuple[float, float, float, int]
"""Seconds, the rate at the begin and at the end, and how many sessions are open at once."""


def phases(chance: random.Random, rate: float) -> Iterator[Phase]:
    """Ups and downs, for ever."""
    while True:
        for kind in chance.sample(["steady", "steady", "rise", "fall", "burst", "silence"], 6):
            sessions = chance.randrange(10, 50)
            match kind:
                case "steady":
                    level = rate * chance.uniform(0.5, 1.5)
                    yield chance.uniform(3, 8), level, level, sessions
                case "rise":
                    yield chance.uniform(3, 6), rate * 0.2, rate * 2.5, sessions
                case "fall":
                    yield chance.uniform(3, 6), rate * 2.5, rate * 0.2, sessions
                case "burst":
                    yield chance.uniform(0.5, 1.0), rate * 10, rate * 10, sessions
                case "silence":
                    yield chance.uniform(1, 3), 0.0, 0.0, sessions


@dataclass(slots=True)
class Session:
    """A session that is open until `ends` (ms)."""

    name: str
    ends: int
    begun: bool = False


class Load:
    """Writes visits of sessions that come and go."""

    def __init__(self, orders: Orders) -> None:
        self._chance = random.Random(orders.seed)
        self._phases = phases(self._chance, orders.rate)
        self._even = orders.rate
        self._producer = Producer(
            {
                "bootstrap.servers": orders.bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "delivery.timeout.ms": 600_000,
                "log_level": 0,
            }
        )
        self._open: list[Session] = []
        self._failed = 0
        self.stopping = False
        self.even = orders.even
        self.written = Written(0, 0, 0.0)

    def run(self) -> Written:
        """Write until `stopping`, then the last visits. Raises RuntimeError when Kafka has refused one."""
        while not self.stopping:
            seconds, first, last, sessions = (0.1, self._even, self._even, 30) if self.even else next(self._phases)
            self.written.peak = max(self.written.peak, first, last)
            self._run_phase(seconds, first, last, sessions)
        ahead = _now() + AHEAD
        for partition in range(PARTITIONS):
            self._write(f"{LAST}-{partition}", ahead, partition)
        self._producer.flush(300)
        if self._failed or len(self._producer):
            raise RuntimeError(f"{self._failed} visits were refused, {len(self._producer)} not written")
        return self.written

    def _run_phase(self, seconds: float, first: float, last: float, sessions: int) -> None:
        begin = time.monotonic()
        owed, before = 0.0, begin
        while not self.stopping and (now := time.monotonic()) < begin + seconds:
            owed += (now - before) * (first + (last - first) * (now - begin) / seconds)
            before = now
            while owed >= 1:
                owed -= 1
                self._visit(sessions)
            self._producer.poll(0)
            time.sleep(TURN)

    def _visit(self, sessions: int) -> None:
        now = _now()
        self._open = [session for session in self._open if session.ends > now]
        while len(self._open) < sessions:
            self._open.append(Session(f"s{self.written.sessions}", now + self._chance.randrange(LIFE // 10, LIFE)))
            self.written.sessions += 1
        session = self._chance.choice(self._open)
        back = self._chance.randrange(OUT_OF_ORDER)
        if session.begun and self._chance.randrange(LATE_ONE_IN) == 0:
            back = self._chance.randrange(OUT_OF_ORDER, LATE_BY)
        session.begun = True
        self._write(session.name, now - back)

    def _write(self, session: str, ts: int, partition: int = -1) -> None:
        shop = f"shop-{self._chance.randrange(SHOPS)}"
        visit = Visit(self.written.visits, session, shop, self._chance.randrange(1, 1_000), ts)
        self.written.visits += 1
        value = msgspec.json.encode(visit)
        while True:
            try:
                self._producer.produce(SOURCE, value, session, partition, on_delivery=self._delivered)
                return
            except BufferError:
                self._producer.poll(0.1)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        self._failed += error is not None


def _now() -> int:
    return time.time_ns() // 1_000_000


def main(argument: str) -> None:
    load = Load(msgspec.json.decode(argument, type=Orders))

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        load.stopping = True

    def on_uneven(_number: int, _frame: FrameType | None) -> None:
        load.even = False

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGUSR1, on_uneven)
    sys.stdout.buffer.write(msgspec.json.encode(load.run()))


if __name__ == "__main__":
    main(sys.argv[1])

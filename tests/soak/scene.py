"""Where a soak plays: the broker, the load, the job that runs at the moment, and who watches it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from confluent_kafka import KafkaException

from tests.kafka.broker import Broker
from tests.soak.follower import Follower
from tests.soak.job import SINKS, SOURCE
from tests.soak.job import job as definition
from tests.soak.load import PARTITIONS, Orders
from tests.soak.processes import Job, LoadProcess
from tests.soak.samples import Samples
from tests.soak.transactions import TOPIC, Transactions
from tests.soak.wrong import Wrong

INTERVAL = 200
"""Between two checkpoints, ms."""
STALLED = 120.0
"""Seconds that a job may have something to do and commit nothing, while broker and processes are left alone."""


class Scene:
    """All processes of a soak; a context manager that ends them.

    Args:
        job_file: what is run. orders: seed and rate of the load, and whether it is even at first.
        on_look: called often, to show how it goes.

    Attributes:
        job: the process that is the job now. samples: of the job, disk and broker, taken by every `look`.
    """

    def __init__(
        self,
        folder: Path,
        job_file: Path,
        orders: tuple[int, float, bool],
        kafka_every: float,
        on_look: Callable[[], None],
    ) -> None:
        self.folder = folder
        self.samples = Samples()
        self._job_file = job_file
        self._on_look = on_look
        self._kafka_every = kafka_every
        self._transactions: Transactions | None = None
        self._next_second = self._next_rows = self._next_kafka = 0.0
        with ExitStack() as stack:
            self.broker = Broker(folder / "kafka").start()
            stack.callback(self.broker.close)
            for topic in (SOURCE, *SINKS):
                self.broker.create(topic, PARTITIONS)
            self._start(0)
            stack.callback(lambda: self.job.close())
            self.await_running()
            self.load = LoadProcess(folder, Orders(self.broker.bootstrap, *orders))
            stack.callback(self.load.close)
            self.follower = Follower(self.broker, definition.name)
            stack.callback(self.follower.close)
            self._stack = stack.pop_all()

    def _start(self, side: int, *more: str) -> None:
        self.job = Job(self._job_file, self.folder, self.broker.url, INTERVAL, side, *more)

    def restart(self, *more: str) -> None:
        """Start the job again where it was, with more flags."""
        self._start(self.job.side, *more)

    def take_over(self) -> None:
        """Start the job on the other state directory, on the same checkpoints."""
        self._start(1 - self.job.side)

    def is_quiet(self) -> bool:
        """Whether every transaction has ended; it is to stay so while the job does not run."""
        transactions = self._known_transactions()
        return transactions is not None and all(transactions.look().values())

    def await_running(self) -> None:
        """Wait until the job says that it runs."""
        self.job.command.line("progress", STALLED, state="running")

    def wait(self, seconds: float) -> None:
        """Look after everything for so long."""
        limit = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= limit, seconds + STALLED)

    def until(self, done: Callable[[], object], seconds: float = STALLED) -> None:
        """Look after everything until `done`. Raises Wrong when it takes too long."""
        limit = time.monotonic() + seconds
        while not done():
            if time.monotonic() > limit:
                raise Wrong(f"what was waited for has not come within {seconds:.0f} s; {self.follower.lag} visits wait")
            self.look()
            time.sleep(0.05)

    def look(self) -> None:
        """Samples, and what is shown to people. Raises what was found to be wrong."""
        self.check()
        self.job.check()
        now = time.monotonic()
        if now - self.follower.moved > STALLED:
            raise Wrong(f"the job has committed nothing for {STALLED:.0f} s; {self.follower.lag} visits wait")
        if now >= self._next_second:
            self._next_second = now + 1.0
            self._sample(now)
        self._on_look()

    def check(self) -> None:
        """Raises what the follower has found."""
        if self.follower.wrong is not None:
            raise self.follower.wrong

    def _sample(self, now: float) -> None:
        self.samples.take_process(self.job)
        if now >= self._next_rows:
            self._next_rows = now + 2.0
            self.samples.take_rows(self.folder)
            self.samples.take_disk(self.folder)
        if now >= self._next_kafka:
            self._next_kafka = now + self._kafka_every
            with suppress(KafkaException):  # it is just coming back; the next look will do
                self._sample_kafka()

    def _sample_kafka(self) -> None:
        transactions = self._known_transactions()
        if transactions is not None:
            self.samples.take_kafka(self.broker, transactions)

    def _known_transactions(self) -> Transactions | None:
        """None until the job's first transaction makes the topic."""
        if self._transactions is None and self.broker.partitions(TOPIC):
            self._transactions = Transactions(self.broker)
            self._stack.callback(self._transactions.close)
        return self._transactions

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

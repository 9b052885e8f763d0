"""Input of the two payment jobs, and what they must make of it."""

from __future__ import annotations

import random
import threading
from types import TracebackType

import msgspec

from rayflow.core.batch import EncodedBatch
from rayflow.core.hashing import murmur2
from tests.crash.jobs import Payment
from tests.crash.oracle import CHECKS, SINKS, Input
from tests.e2e.brokers import Broker
from tests.kafka.client import until

PARTITIONS = 4
USERS, ITEMS = 40, 17
FIRST_TIME = 1_700_000_000_000


class Payments:
    """Writes payments to a broker's topic, which it makes with the topics of the job's sinks.

    Attributes:
        written: how many.
    """

    def __init__(self, broker: Broker, job: str, seed: int) -> None:
        self.written = 0
        self._broker = broker
        self._job = job
        self._random = random.Random(seed)
        self._input = Input([[] for _ in range(PARTITIONS)])
        for topic in ("payments", *SINKS[job]):
            broker.create(topic, PARTITIONS)

    def feed(self, records: int) -> None:
        """Write more, a little out of order in time."""
        chance = self._random
        by_partition: list[list[Payment]] = [[] for _ in range(PARTITIONS)]
        for _ in range(records):
            id = self.written
            self.written += 1
            user = f"u{chance.randrange(USERS)}"
            ts = FIRST_TIME + 5 * id - chance.randrange(40)
            payment = Payment(id, user, f"i{chance.randrange(ITEMS)}", chance.randrange(1, 100), ts)
            by_partition[murmur2(user.encode()) % PARTITIONS].append(payment)
        appender = self._broker.connector.appender()
        for partition, payments in enumerate(by_partition):
            self._input.partitions[partition] += payments
            if payments:
                appender.append(
                    EncodedBatch(
                        self._broker.name("payments"),
                        [p.user.encode() for p in payments],
                        [msgspec.json.encode(p) for p in payments],
                        [p.ts for p in payments],
                        partition=partition,
                    )
                )
        appender.flush()
        appender.close()

    def until_counted(self, seconds: float = 120.0) -> None:
        """Wait until the totals have a record for each payment. Raises TimeoutError."""
        until(lambda: len(self._broker.read("totals")) >= self.written, seconds, 0.1)

    def check(self, *, drained: bool = True) -> None:
        """Compare what the job has written with what it must have. Not drained, windows may be missing."""
        output = {
            topic: [(record.key, record.json) for record in self._broker.read(topic)] for topic in SINKS[self._job]
        }
        if drained:
            CHECKS[self._job](self._input, output)
            return
        totals = [value["count"] for _, value in output["totals"]]
        assert len(totals) == self.written, f"{len(totals)} totals of {self.written} payments"


class Feeding:
    """Payments written all the time, from a thread, while the block runs."""

    def __init__(self, payments: Payments, records: int = 40, pause: float = 0.05) -> None:
        self._payments = payments
        self._records = records
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeding", daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            self._payments.feed(self._records)

    def __enter__(self) -> Feeding:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(60)

"""A campaign of kills against one job on one broker: feed, kill, restart, and at the end compare with the oracle."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from rayflow.checkpoint.chain import restore_rows
from rayflow.checkpoint.manifest import newest_manifest
from rayflow.checkpoint.open import open_store
from rayflow.connectors.registry import open_connector
from rayflow.core.batch import EncodedBatch
from rayflow.core.hashing import murmur2
from rayflow.core.ids import TopicPartition
from rayflow.core.topics import ConnectorSpec
from rayflow.runtimes.hosting.steps import MANIFEST_WRITTEN, STEPS
from rayflow.serde.codec import Codec
from rayflow.serde.keys import decode_key
from rayflow.state.row_keys import PREFIX, table_prefix
from tests.crash.jobs import Payment
from tests.crash.oracle import CHECKS, SINKS, Input, Output, assert_equal, state_of
from tests.crash.steps import AT_FIRST, IN_RECOVERY, ONCE

PARTITIONS = 3
USERS, ITEMS = 40, 17
FIRST_TIME = 1_700_000_000_000


@dataclass
class Report:
    """What a campaign did: kills by step, victims that ended by themselves, records fed and written."""

    kills: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    records: int = 0
    outputs: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{sum(self.kills.values())} kills at {len(self.kills)} places, {self.finished} runs to the end, "
            f"{self.records} records in, {self.outputs} out, {self.seconds:.0f} s"
        )


class Campaign:
    """Kills one job again and again; each run begins where the killed one stopped."""

    def __init__(self, job: str, broker: str, folder: Path, seed: int) -> None:
        self.job = job
        self.broker = broker
        self.random = random.Random(seed)
        self.report = Report()
        self._folder = folder
        self._tag = f"-{uuid.uuid4().hex[:8]}"
        self._input = Input([[] for _ in range(PARTITIONS)])
        self._connector = open_connector(ConnectorSpec(broker))
        for topic in ("payments", *SINKS[job]):
            self._connector.create(topic + self._tag, PARTITIONS)

    @property
    def output_topics(self) -> list[str]:
        """The topics that the job writes."""
        return [topic + self._tag for topic in SINKS[self.job]]

    def feed(self, records: int) -> None:
        """Write more payments, a little out of order in time."""
        by_partition: list[list[Payment]] = [[] for _ in range(PARTITIONS)]
        for _ in range(records):
            id = self.report.records
            self.report.records += 1
            user = f"u{self.random.randrange(USERS)}"
            payment = Payment(
                id,
                user,
                f"i{self.random.randrange(ITEMS)}",
                self.random.randrange(1, 100),
                FIRST_TIME + 5 * id - self.random.randrange(40),
            )
            by_partition[murmur2(user.encode()) % PARTITIONS].append(payment)
        appender = self._connector.appender()
        for partition, payments in enumerate(by_partition):
            self._input.partitions[partition] += payments
            appender.append(
                EncodedBatch(
                    f"payments{self._tag}",
                    [p.user.encode() for p in payments],
                    [msgspec.json.encode(p) for p in payments],
                    [p.ts for p in payments],
                    partition=partition,
                )
            )
        appender.flush()
        appender.close()

    def start(self, kill_at: tuple[str, int] | None = None, ends: str = "idle") -> subprocess.Popen[bytes]:
        """Start a victim. Refuses a step that there is not: nobody would be killed."""
        assert kill_at is None or kill_at[0] in STEPS, f"there is no step {kill_at}"
        orders = {
            "job": self.job,
            "tag": self._tag,
            "broker": self.broker,
            "state": str(self._folder / "state"),
            "ends": ends,
            "kill_at": kill_at,
        }
        log = open(self._folder / "victim.log", "ab")  # noqa: SIM115 - the process keeps it
        return subprocess.Popen(
            [sys.executable, "-m", "tests.crash.victim", json.dumps(orders)],
            stderr=log,
            cwd=Path(__file__).parents[2],
        )

    def kill_at_steps(self, steps: Collection[str], on_kill: Callable[[Report], None] = lambda _: None) -> None:
        """Kill at each of these steps of the protocol, in an order of no choosing.

        Raises AssertionError that names the steps to which no victim came.
        """
        first = [step for step in AT_FIRST if step in steps]
        later = [step for step in steps if step not in AT_FIRST]
        self.random.shuffle(later)
        missed = []
        for step in first + later:
            for times in (1 if step in ONCE else self.random.choice([1, 1, 2, 3]), 1, 1):
                self.feed(self.random.randrange(100, 600))
                if step in IN_RECOVERY:
                    self._kill_at(MANIFEST_WRITTEN, 1)
                if self._kill_at(step, times):
                    break
            else:
                missed.append(step)
            on_kill(self.report)
        assert not missed, f"no victim came to {missed}"

    def _kill_at(self, step: str, times: int) -> bool:
        """Start a victim that kills itself when it comes to a step for the nth time. Whether it came there."""
        return self._wait(self.start((step, times)), step)

    def kill_at_random(self, kills: int, on_kill: Callable[[Report], None] = lambda _: None) -> None:
        """Kill at moments of no choosing, while records come in."""
        for _ in range(kills):
            victim = self.start(ends="never")
            until = time.monotonic() + self.random.uniform(0.3, 2.0)
            while time.monotonic() < until:
                self.feed(self.random.randrange(1, 200))
            victim.send_signal(signal.SIGKILL)
            assert self._wait(victim, "at random"), "the victim had ended before"
            on_kill(self.report)

    def finish(self) -> Report:
        """Run to the end, undisturbed, and compare everything with the oracle. Raises AssertionError."""
        self.feed(100)
        assert not self._wait(self.start(ends="drained"), ""), "nobody was to kill it"
        output = {topic: self._read(topic + self._tag) for topic in SINKS[self.job]}
        self.report.outputs = sum(map(len, output.values()))
        CHECKS[self.job](self._input, output)
        self._check_state()
        self._connector.close()
        return self.report

    def _wait(self, victim: subprocess.Popen[bytes], step: str) -> bool:
        """Whether the victim died by SIGKILL; else it has run to its end."""
        code = victim.wait(timeout=120)
        if code == -signal.SIGKILL:
            self.report.kills[step] += 1
            return True
        if code == 0:
            self.report.finished += 1
            return False
        tail = (self._folder / "victim.log").read_text()[-4000:]
        raise AssertionError(f"the victim ended with {code} (to be killed {step}):\n{tail}")

    def _read(self, topic: str) -> list[tuple[bytes | None, dict[str, object]]]:
        reader = self._connector.reader("check")
        reader.assign({TopicPartition(topic, p): None for p in range(PARTITIONS)})
        ends = reader.ends()
        found: Output = {str(p): [] for p in range(PARTITIONS)}
        positions = dict.fromkeys(ends, 0)
        while any(positions[tp] < end for tp, end in ends.items()):
            for polled in reader.poll(10_000, 1.0):
                batch = polled.batch
                found[str(batch.origin.partition)] += zip(
                    batch.keys, map(msgspec.json.decode, batch.values), strict=True
                )
                positions[TopicPartition(*batch.origin)] = polled.next_position
        reader.close()
        return [record for records in found.values() for record in records]

    def _check_state(self) -> None:
        store = open_store(f"file:{self._folder / 'state' / 'jobs' / (self.job + self._tag) / 'checkpoints'}")
        manifest = newest_manifest(store)
        assert manifest is not None
        (name,) = [name for name in manifest.states if name.startswith("totals/")]
        prefix = table_prefix(*name.rsplit("/", 1))
        codec = Codec()
        held: dict[str, object] = {}
        for task in manifest.tasks():
            for keys, values in restore_rows(store, manifest, task):
                for key, value in zip(keys, values, strict=True):
                    if key.startswith(prefix):
                        held[decode_key(key, PREFIX)[0]] = codec.decode(value)
        assert_equal("state", held, state_of(self.job, self._input))

"""What is asked of Kafka's producer: one transaction an epoch for all tasks, one call a record, none but those."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

import rayflow as rf
from rayflow.connectors.kafka import transactional_producer
from rayflow.engine.actions import PublishEpoch, ReportDone
from rayflow.engine.orders import InjectBarrier, SetMarkers
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.steps import after, before
from rayflow.runtimes.local.runtime import LocalRuntime
from tests.e2e.brokers import Broker
from tests.e2e.running import options_of
from tests.kafka.client import Kafka
from tests.work.calls import Calls
from tests.work.local import by_turns, looking

CONNECTOR = Path(str(transactional_producer.__file__)).parent
RECORDS, PARTITIONS = 20_000, 4
QUIET = 200
"""Looks at the clock of a job that is idle."""
INTERVAL = 1_000
"""Milliseconds between two checkpoints."""


@contextmanager
def counted_producers() -> Iterator[Counter[str]]:
    """Count the calls of the producers that rayflow makes for transactions while the block runs."""
    calls: Counter[str] = Counter()

    def counted(name: str) -> Any:
        method = getattr(Producer, name)

        def call(self: Producer, *args: Any, **named: Any) -> Any:
            calls[name] += 1
            return method(self, *args, **named)

        return call

    names = [name for name in vars(Producer) if not name.startswith("_")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            transactional_producer, "Producer", type("Counted", (Producer,), {name: counted(name) for name in names})
        )
        yield calls


@pytest.fixture
def broker(kafka: Kafka) -> Iterator[Broker]:
    made = Broker(kafka.url)
    made.create("in", PARTITIONS)
    made.create("out", PARTITIONS)
    made.append("in", ((f"k{n}", b"%d" % n) for n in range(RECORDS)))
    yield made
    made.close()


def copying(broker: Broker) -> rf.Job:
    """A job that copies its input."""
    job = rf.Job(broker.name("copy"))
    job.stream(broker.name("in"), value=bytes).to(broker.name("out"))
    return job


def test_an_epoch_is_one_transaction_of_all_tasks_with_one_call_for_each_record(broker: Broker, tmp_path: Path) -> None:
    steps: Counter[str] = Counter()
    python = Calls(Path(__file__))
    options = options_of(broker, tmp_path, until_end=True, checkpoint_interval=1, max_poll_records=100)
    with counted_producers() as calls, looking(), python.counted():
        LocalRuntime(
            plan_of(copying(broker)),
            options,
            clock=count(1).__next__,
            on_step=lambda step: steps.update([step]),
            ports=by_turns,
        ).run()
    epochs, marked = steps[before(PublishEpoch)], steps[before(SetMarkers)]
    print(f"{RECORDS} records in {epochs} epochs of {PARTITIONS} tasks: {dict(calls)}")
    assert epochs > 1
    assert marked == 1  # before its first epoch every sink gets a marker
    assert calls["begin_transaction"] == calls["commit_transaction"] == epochs + marked
    assert calls["send_offsets_to_transaction"] == 2 * epochs + marked  # the markers of all sinks, all positions
    assert calls["init_transactions"] == 1
    assert calls["produce"] == RECORDS
    assert calls["flush"] == calls["abort_transaction"] == 0
    # One for each slice that is handed over; the others wait for a queue that is full, 1 ms each.
    assert calls["poll"] < RECORDS / 20
    most = max(times for code, times in python.python.items() if code.co_filename.startswith(str(CONNECTOR)))
    print(f"the function of the connector that is called most: {most} times")
    assert most < RECORDS / 2  # a turn that waits for the broker calls some, but none is called for each record


class Idle:
    """A clock by which a checkpoint is due at every look. It stops the job once it has been idle for QUIET looks.

    Attributes:
        at_first: transactions begun when the job had nothing to do for the first time.
    """

    def __init__(self, calls: Counter[str]) -> None:
        self.at_first = 0
        self.runtime: LocalRuntime
        self._calls = calls
        self._now = 0
        self._quiet = 0
        self._under_way = False

    def on_step(self, step: str) -> None:
        """Told by the runtime what it does."""
        if step == before(InjectBarrier):
            self._under_way = True
        elif step == after(ReportDone):
            self._under_way = False

    def clock(self) -> int:
        """Milliseconds, later by as much as there is between two checkpoints than before."""
        self._now += INTERVAL
        if self._calls["produce"] == RECORDS and not self._under_way:
            self._quiet += 1
            if self._quiet == 1:
                self.at_first = self._calls["begin_transaction"]
            elif self._quiet == QUIET:
                self.runtime.stop()
        return self._now


def test_there_is_no_transaction_for_all_the_time_in_which_nothing_comes(broker: Broker, tmp_path: Path) -> None:
    with counted_producers() as calls, looking():
        idle = Idle(calls)
        options = options_of(broker, tmp_path, checkpoint_interval=INTERVAL)
        idle.runtime = LocalRuntime(
            plan_of(copying(broker)), options, clock=idle.clock, on_step=idle.on_step, ports=by_turns
        )
        assert idle.runtime.run().records_in == RECORDS
    later = calls["begin_transaction"] - idle.at_first
    print(f"while a checkpoint was due {QUIET} times, and at the end: {later} transactions")
    assert later <= 2  # an epoch whose manifest says that the output is published, and the one that ends the run
    assert calls["produce"] == RECORDS

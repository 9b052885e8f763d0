"""What is there after `stop`: the output, the checkpoints, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.util import list_named_actors

from rayflow.runtimes.ray.client import Cluster
from tests.crash.oracle import SINKS
from tests.e2e.brokers import Broker
from tests.kafka.client import Kafka, until
from tests.ray.machines import Machines
from tests.ray.payments import Payments
from tests.ray.submitting import LONG, spec_of, until_commits
from tests.soak.transactions import TOPIC, Transactions

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


SETTLES = 20.0
"""Seconds within which what is decided is written; long before the broker would end a transaction by itself."""


@pytest.fixture
def transactions(kafka: Kafka) -> Iterator[Transactions]:
    """What the run's Kafka knows of transactions; the first one there is makes the topic that tells of them."""
    topic = kafka.create()
    kafka.produce(topic, [(b"k", b"v")], "commit")
    until(lambda: kafka.partitions(TOPIC))
    found = Transactions(kafka)
    yield found
    found.close()


def open_of(transactions: Transactions, job: str) -> set[bytes]:
    """The job's transactional ids whose transaction has not ended; there are some that have."""
    ended = {id: ended for id, ended in transactions.look().items() if job.encode() in id}
    assert ended
    return {id for id in ended if not ended[id]}


def test_nothing_is_left_behind(
    machines: Machines, cluster: Cluster, on_kafka: Broker, state: Path, transactions: Transactions
) -> None:
    before = set(machines.temporary.iterdir())
    payments = Payments(on_kafka, "two-stages", seed=4)
    payments.feed(500)
    job = cluster.submit(spec_of("two_stages", on_kafka, state))
    workers = [worker.pid for worker in job.until_running(LONG).workers]
    processes = [process for process in machines.processes() if process.pid in (*workers, job.status().pid)]
    assert len(processes) == 3
    until_commits(job)
    payments.until_counted(LONG)
    job.stop(timeout=LONG)

    until(lambda: not any(process.is_running() for process in processes), LONG)
    assert [actor["name"] for actor in list_named_actors(all_namespaces=True) if job.name in actor["name"]] == []
    for topic in SINKS["two-stages"]:
        assert not on_kafka.kafka.open_transactions(on_kafka.name(topic))
    until(lambda: not open_of(transactions, job.name), SETTLES)
    assert set(machines.temporary.iterdir()) == before  # Ray has a folder of its own there, with its logs
    folder = state / "jobs" / job.name
    assert {path.name for path in folder.iterdir()} == {"checkpoints", "tasks"}
    assert not [path for path in folder.rglob("*") if ".tmp" in path.name or "~" in path.name]


def test_a_job_that_is_taken_off_at_once_leaves_no_process_and_its_next_start_no_transaction(
    machines: Machines, cluster: Cluster, on_kafka: Broker, state: Path, transactions: Transactions
) -> None:
    """It may be taken off in the middle of one, which fencing ends; else the broker would, after its timeout."""
    payments = Payments(on_kafka, "two-stages", seed=4)
    payments.feed(500)
    job = cluster.submit(spec_of("two_stages", on_kafka, state))
    status = job.until_running(LONG)
    pids = {status.pid, *(worker.pid for worker in status.workers)}
    processes = [process for process in machines.processes() if process.pid in pids]
    assert len(processes) == 3
    until_commits(job)
    job.remove()
    until(lambda: not any(process.is_running() for process in processes), LONG)
    again = cluster.submit(spec_of("two_stages", on_kafka, state))
    again.until_running(LONG)
    payments.until_counted(LONG)
    again.stop(drain=True, timeout=LONG)
    until(lambda: not open_of(transactions, job.name), SETTLES)
    payments.check()

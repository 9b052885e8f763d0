"""A job gives on Ray what it gives in one process."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from rayflow.core.batch import EncodedBatch
from rayflow.plan.compile import plan_of
from rayflow.plan.load import load_job
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.local.runtime import LocalRuntime
from rayflow.runtimes.ray.client import Cluster
from rayflow.runtimes.ray.spec import JobSpec
from tests.e2e.brokers import Broker
from tests.ray.machines import Machines
from tests.ray.payments import PARTITIONS, Payments
from tests.ray.submitting import LONG, spec_of, until_status

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

MORE = pytest.mark.more
FOUR = pytest.param(4, marks=MORE)
VARIABLES = [pytest.param("one_stage", marks=MORE), "two_stages"]
JOBS = Path(__file__).parents[2] / "jobs"
ONE_EPOCH = 3_600_000
"""A checkpoint interval within which everything is read: what is written once an epoch is written once."""


def append(broker: Broker, topic: str, values: Iterable[Any], partition_of: Any, time_of: Any) -> None:
    """Write values, each to the partition that `partition_of` says, at the time that `time_of` says."""
    broker.create(topic, PARTITIONS)
    by_partition: dict[int, list[Any]] = {}
    for value in values:
        by_partition.setdefault(partition_of(value) % PARTITIONS, []).append(value)
    appender = broker.connector.appender()
    for partition, found in by_partition.items():
        encoded: list[bytes | None] = [v.encode() if isinstance(v, str) else msgspec.json.encode(v) for v in found]
        stamps = list(map(time_of, found))
        appender.append(EncodedBatch(broker.name(topic), [None] * len(found), encoded, stamps, partition=partition))
    appender.close()


def feed(broker: Broker, job: str) -> str:
    """The first records of a job's own sample; its output topic."""
    load_job(str(JOBS / f"{job}.py"))
    module = sys.modules[job]
    match job:
        case "wordcount":
            lines = module.TEXT.splitlines() * 50
            append(broker, "lines", lines, len, lambda line: 1)
            return "word-counts"
        case "revenue":
            # Whole prices: a sum of floats depends on the order in which partitions meet.
            few = islice(module.orders_of(0), 0, 200_000, 40)
            orders = (replace(order, price=float(round(order.price))) for order in few)
            append(broker, "orders", orders, lambda order: order.id // 40, lambda order: order.ts)
            return "revenue-per-minute"
        case _:
            tried = {payment.card for payment in module.sample() if payment.amount == 0.5}
            those = [payment for payment in module.sample() if payment.card in tried]
            append(broker, "payments", those, lambda p: int(p.card[-4:]), lambda p: p.ts)
            return "alerts"


def spec(job: str, broker: Broker, state: Path, workers: int) -> JobSpec:
    options = {"until_end": True, "checkpoint_interval": ONE_EPOCH}
    return spec_of(str(JOBS / f"{job}.py"), broker, state, name=job, workers=workers, **options)


@pytest.mark.parametrize("workers", [1, 2, FOUR])
@pytest.mark.parametrize("job", ["wordcount", *(pytest.param(job, marks=MORE) for job in ("revenue", "fraud"))])
def test_a_job_of_the_examples_gives_what_it_gives_in_one_process(
    job: str, workers: int, cluster: Cluster, tmp_path: Path
) -> None:
    outputs = []
    for name in ("local", "ray"):
        broker = Broker(f"embedded:{tmp_path / name / 'log'}", tag="")
        topic = feed(broker, job)
        options = spec(job, broker, tmp_path / name, workers).options
        if name == "local":
            assert isinstance(options, RunOptions)
            LocalRuntime(plan_of(load_job(str(JOBS / f"{job}.py"))), options).run()
        else:
            handle = cluster.submit(spec(job, broker, tmp_path / name, workers))
            assert handle.until_ended(LONG).state == "done"
            handle.remove()
        outputs.append(broker.by_key(topic))
        broker.close()
    local, ray = outputs
    assert local
    assert ray == local


def run_payments(cluster: Cluster, broker: Broker, state: Path, variable: str, workers: int) -> None:
    """Feed, run, feed while it runs, drain, compare."""
    job = variable.replace("_", "-")
    payments = Payments(broker, job, seed=workers)
    payments.feed(1500)
    handle = cluster.submit(spec_of(variable, broker, state, workers=workers))
    status = handle.until_running(LONG)
    assert len(status.workers) == workers
    payments.feed(1500)
    until_status(handle, lambda status: status.epoch >= 1)
    payments.feed(500)
    payments.until_counted(LONG)
    assert handle.stop(drain=True, timeout=LONG).state == "done"
    payments.check()


@pytest.mark.parametrize("workers", [1, 2, FOUR])
@pytest.mark.parametrize("variable", VARIABLES)
def test_two_sinks_are_exact(variable: str, workers: int, cluster: Cluster, embedded: Broker, state: Path) -> None:
    run_payments(cluster, embedded, state, variable, workers)


@pytest.mark.parametrize("variable", VARIABLES)
def test_two_sinks_are_exact_on_kafka(variable: str, cluster: Cluster, on_kafka: Broker, state: Path) -> None:
    run_payments(cluster, on_kafka, state, variable, 2)


@pytest.mark.more
def test_workers_spread_over_three_nodes(machines: Machines, cluster: Cluster, embedded: Broker, state: Path) -> None:
    node = machines.add()
    try:
        payments = Payments(embedded, "two-stages", seed=3)
        payments.feed(1000)
        handle = cluster.submit(spec_of("two_stages", embedded, state, workers=3))
        status = handle.until_running(LONG)
        assert len({worker.node for worker in status.workers}) == 3
        payments.feed(1000)
        payments.until_counted(LONG)
        handle.stop(drain=True, timeout=LONG)
        payments.check()
    finally:
        machines.lose(node)

"""The coordinator is killed at a bad moment, and Ray restarts it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rayflow.core.errors import NotEnoughResources
from rayflow.runtimes.ray.client import Cluster
from rayflow.runtimes.ray.deployment import NAME
from tests.e2e.brokers import Broker
from tests.ray.payments import Payments
from tests.ray.submitting import LONG, spec_of, until_status
from tests.ray.test_failures import kill, recovered

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


def test_one_that_dies_during_a_rescale_beyond_the_cluster_runs_as_before(
    cluster: Cluster, embedded: Broker, state: Path
) -> None:
    payments = Payments(embedded, "two-stages", seed=3)
    payments.feed(200)
    job = cluster.submit(spec_of("two_stages", embedded, state, cpus=3.0, start_timeout=10.0))
    before = job.until_running(LONG)
    with ThreadPoolExecutor(1) as other:
        asked = other.submit(job.rescale, 3)
        until_status(job, lambda status: status.state == "rescaling")
        kill(before.pid)
        after = recovered(job, before)
        assert len(after.workers) == 2
        with pytest.raises(NotEnoughResources):  # the client has repeated the request
            asked.result(LONG)
    payments.feed(200)
    payments.until_counted(LONG)
    assert job.stop(drain=True, timeout=LONG).state == "done"
    payments.check()


@pytest.mark.more
def test_one_that_finds_its_store_unusable_waits_for_it(cluster: Cluster, embedded: Broker, state: Path) -> None:
    payments = Payments(embedded, "two-stages", seed=4)
    payments.feed(200)
    spec = spec_of("two_stages", embedded, state)
    job = cluster.submit(spec)
    before = job.until_running(LONG)
    payments.until_counted(LONG)
    saved = Path(spec.checkpoints.removeprefix("file:")) / NAME
    content = saved.read_bytes()
    saved.unlink()
    saved.symlink_to(saved)  # it cannot be read
    kill(before.pid)
    waiting = until_status(job, lambda status: status.pid != before.pid and bool(status.cause))
    assert (waiting.state, NAME in waiting.cause) == ("recovering", True)
    saved.unlink()
    saved.write_bytes(content)
    payments.feed(200)
    payments.until_counted(LONG)
    assert job.stop(drain=True, timeout=LONG).state == "done"
    payments.check()


def test_a_bounded_run_keeps_its_ends_when_it_dies(cluster: Cluster, embedded: Broker, state: Path) -> None:
    embedded.create("in", 2)
    embedded.append("in", [(f"k{n}", "word") for n in range(4000)])
    job = cluster.submit(spec_of("counts", embedded, state, until_end=True, max_poll_records=1))
    before = until_status(job, lambda status: status.epoch > 0)
    embedded.append("in", [(f"k{n}", "later") for n in range(100)])
    kill(before.pid)
    after = job.until_ended(LONG)
    assert after.pid != before.pid
    assert after.state == "done"
    assert len(embedded.values("out")) == 4000

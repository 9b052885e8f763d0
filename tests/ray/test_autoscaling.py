"""A job on a cluster gets more workers while it falls behind, and gives them back."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayflow.runtimes.ray.client import Cluster
from tests.e2e.brokers import Broker
from tests.ray.submitting import LONG, spec_of, until_status

pytestmark = [pytest.mark.slow, pytest.mark.more, pytest.mark.xdist_group("ray")]


def test_a_job_that_falls_behind_gets_a_second_worker_and_gives_it_back(
    cluster: Cluster, embedded: Broker, state: Path
) -> None:
    embedded.create("in", 4)
    embedded.append("in", [(None, "x")] * 4000)
    job = cluster.submit(
        spec_of(
            "slow",
            embedded,
            state,
            workers=1,
            max_workers=2,
            scaling_cooldown=1.0,
            max_poll_records=20,
            until_end=False,
        )
    )
    job.until_running(LONG)
    until_status(job, lambda status: len(status.workers) == 2, LONG)
    until_status(job, lambda status: status.lag == 0 and len(status.workers) == 1, LONG)
    assert len(embedded.read("out")) == 4000
    job.stop(timeout=LONG)

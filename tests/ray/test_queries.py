"""Queries of a job on Ray: the same answers as of a local run, also after a worker has died."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from rayflow.core.errors import InvalidSetting, JobNotFound
from rayflow.runtimes.ray.client import Cluster
from tests.e2e.brokers import Broker
from tests.kafka.client import until
from tests.ray.submitting import LONG, spec_of, until_status

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

WORDS = ["a", "b", "c", "d"]


@pytest.mark.parametrize("job", ["counts", "own_counts"])
def test_each_worker_answers_for_its_keys_also_after_one_has_died(
    job: str, cluster: Cluster, embedded: Broker, state: Path
) -> None:
    embedded.create("in", 4)
    embedded.append("in", [(word, word) for word in WORDS])
    handle = cluster.submit(spec_of(job, embedded, state, heartbeat_timeout=3.0))
    upper = [word.upper() for word in WORDS] if job == "counts" else WORDS
    assert handle.query("counts", []) == []  # waits for the workers to start
    until(lambda: handle.query("counts", [*upper, "nothing"]) == [1, 1, 1, 1, None], LONG, 0.05)
    with pytest.raises(InvalidSetting) as raised:
        handle.query("count", ["a"])
    assert raised.value.advice == "Operators with a table to query: counts"
    before = handle.status()
    os.kill(before.workers[0].pid, signal.SIGKILL)
    assert handle.query("counts", [*upper, "nothing"]) == [1, 1, 1, 1, None]
    embedded.append("in", [(word, word) for word in WORDS])
    until(lambda: handle.query("counts", upper) == [2, 2, 2, 2], LONG, 0.05)
    assert len(until_status(handle, lambda status: status.recoveries).workers) == 2
    handle.ask_to_stop()
    handle.until_ended(LONG)
    with pytest.raises(JobNotFound):
        handle.query("counts", upper)

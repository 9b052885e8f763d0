"""The end of a job on Ray, as several people ask for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rayflow.checkpoint.manifest import read_savepoint
from rayflow.checkpoint.open import open_store
from rayflow.core.errors import JobNotFound, ObjectExists, RayflowError
from rayflow.runtimes.ray.client import Cluster
from tests.e2e.brokers import Broker
from tests.ray.submitting import LONG, spec_of, until_status

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


@pytest.mark.more
def test_a_job_says_whether_it_was_drained_after_a_stop(cluster: Cluster, embedded: Broker, state: Path) -> None:
    embedded.create("in", 2)
    embedded.append("in", [("k", "a"), ("l", "b"), ("k", "a")])
    job = cluster.submit(spec_of("windows", embedded, state))
    until_status(job, lambda status: status.records_in == 3)
    job.ask_to_stop()
    status = job.stop(drain=True, timeout=LONG)  # before the last barrier, or too late
    assert (status.state, embedded.by_key("out")) in [("done", {"a": [2], "b": [1]}), ("stopped", {})]


@pytest.mark.more
def test_each_of_several_savepoints_is_written_or_refused(
    cluster: Cluster, embedded: Broker, state: Path, tmp_path: Path
) -> None:
    embedded.create("in", 2)
    embedded.append("in", [("k", "a"), ("l", "b"), ("k", "a")])
    one, two, late = (f"file:{tmp_path / name}" for name in ("one", "two", "late"))
    job = cluster.submit(spec_of("counts", embedded, state))
    job.ask_to_stop(savepoint=one)
    job.ask_to_stop(drain=True, savepoint=two)  # its workers are not even there
    status = job.until_ended(LONG)
    assert (status.state, status.savepoints) == ("done", [one, two])
    for uri in (one, two):
        assert read_savepoint(open_store(uri)).epoch == status.epoch
    with pytest.raises(RayflowError, match="ended before the savepoint"):
        job.ask_to_stop(savepoint=late)
    job.ask_to_stop(savepoint=two)  # which is written
    job.remove()

    again = cluster.submit(spec_of("counts", embedded, state))
    with pytest.raises(ObjectExists):
        again.ask_to_stop(savepoint=one)
    with pytest.raises(ObjectExists):
        again.stop(savepoint=one, timeout=LONG)
    assert not again.status().ended
    status = again.stop(savepoint=late, timeout=LONG)
    assert (status.state, status.savepoints) == ("stopped", [late])


@pytest.mark.more
def test_a_handle_of_a_removed_job_does_not_touch_a_new_job_of_that_name(
    cluster: Cluster, embedded: Broker, state: Path
) -> None:
    embedded.create("in", 2)
    before = cluster.submit(spec_of("counts", embedded, state))
    before.until_running(LONG)
    before.remove()
    after = cluster.submit(spec_of("counts", embedded, state))
    after.until_running(LONG)
    before.remove()
    for ask in (before.status, before.until_ended, before.stop):
        with pytest.raises(JobNotFound):
            ask()
    assert after.stop(timeout=LONG).state == "stopped"


@pytest.mark.more
def test_a_stop_does_not_wait_long_for_a_client_that_is_gone(cluster: Cluster, embedded: Broker, state: Path) -> None:
    embedded.create("in", 2)
    job = cluster.submit(spec_of("counts", embedded, state))
    job._ask(job._actor.stop, False, None, "its process is gone")
    assert job.stop(timeout=LONG).state == "stopped"
    with pytest.raises(JobNotFound):
        cluster.job(job.name)


@pytest.mark.more
def test_everybody_who_stops_a_job_gets_its_last_status(cluster: Cluster, embedded: Broker, state: Path) -> None:
    embedded.create("in", 2)
    embedded.append("in", [("k", "a"), ("l", "b")])
    job = cluster.submit(spec_of("counts", embedded, state))
    until_status(job, lambda status: status.records_in == 2)
    with ThreadPoolExecutor() as several:
        asked = [several.submit(cluster.job(job.name).stop, timeout=LONG) for _ in range(6)]
        statuses = [each.result() for each in asked]
    assert {(status.state, status.records_in) for status in statuses} == {("stopped", 2)}
    with pytest.raises(JobNotFound):
        cluster.job(job.name)

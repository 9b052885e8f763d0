"""What a job on Ray does when something is killed, hangs, fails, or is missing: its output stays exact."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from rayflow.core.errors import (
    NotEnoughResources,
    ObjectExists,
    RayflowError,
    UserFunctionFailed,
)
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.ray.client import Cluster, JobHandle
from tests.e2e.brokers import Broker
from tests.kafka.client import until
from tests.ray.machines import Machines
from tests.ray.payments import Feeding, Payments
from tests.ray.submitting import LONG, failure_of, spec_of, until_commits, until_status

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

HEARTBEAT = 3.0


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def under_load(
    cluster: Cluster, broker: Broker, state: Path, workers: int = 2, target: str = "two_stages"
) -> Iterator[JobHandle]:
    """`two_stages` runs and gets payments all the time; at the end all must have come out once."""
    payments = Payments(broker, "two-stages", seed=7)
    payments.feed(500)
    name = broker.name("two-stages")
    job = cluster.submit(spec_of(target, broker, state, workers=workers, heartbeat_timeout=HEARTBEAT, name=name))
    job.until_running(LONG)
    with Feeding(payments):
        until_commits(job)
        yield job
        until_commits(job)
    payments.until_counted(LONG)
    assert job.stop(drain=True, timeout=LONG).state == "done"
    payments.check()


def recovered(job: JobHandle, before: JobStatus) -> JobStatus:
    """Wait for the first commit after the recovery that follows `before`."""
    return until_status(
        job,
        lambda s: len(s.recoveries) > (len(before.recoveries) if s.pid == before.pid else 0) and s.state == "running",
    )


def test_a_killed_worker_is_replaced_and_the_other_stays(cluster: Cluster, embedded: Broker, state: Path) -> None:
    with under_load(cluster, embedded, state) as job:
        before = job.status()
        kill(before.workers[0].pid)
        after = recovered(job, before)
        assert after.workers[0].pid != before.workers[0].pid
        assert after.workers[1].pid == before.workers[1].pid


def test_a_killed_coordinator_goes_on_without_being_submitted_again(
    cluster: Cluster, embedded: Broker, state: Path
) -> None:
    with under_load(cluster, embedded, state) as job:
        before = job.status()
        kill(before.pid)
        after = recovered(job, before)
        assert after.pid != before.pid
        assert after.epoch > before.epoch


@pytest.mark.more
def test_worker_and_coordinator_killed_together(cluster: Cluster, embedded: Broker, state: Path) -> None:
    with under_load(cluster, embedded, state) as job:
        before = job.status()
        kill(before.workers[1].pid)
        kill(before.pid)
        recovered(job, before)


OUT_OF_REACH = """\
import ray
from tests.ray.job_files import two_stages

ray.kill = lambda actor, **_: two_stages.__dict__.setdefault("kept", []).append(actor)
"""
"""A job whose coordinator cannot end a worker, and does not let go of it, as when its node is cut off."""


def test_a_worker_that_hangs_is_given_up_and_can_do_no_harm_when_it_goes_on(
    machines: Machines, cluster: Cluster, embedded: Broker, state: Path, tmp_path: Path
) -> None:
    file = tmp_path / "out_of_reach.py"
    file.write_text(OUT_OF_REACH)
    with under_load(cluster, embedded, state, target=str(file)) as job:
        before = job.status()
        zombie = psutil.Process(before.workers[0].pid)
        zombie.suspend()
        after = recovered(job, before)
        assert zombie.pid not in {worker.pid for worker in after.workers}
        assert zombie.status() == psutil.STATUS_STOPPED
        zombie.resume()
        _, alive = psutil.wait_procs([zombie], LONG)
        assert not alive
        until_commits(job)
    said = "".join(log.read_text() for log in machines.temporary.glob(f"ray/session_*/logs/worker-*-{zombie.pid}.err"))
    assert "the coordinator does not answer: this worker exits" in said


@pytest.mark.more
def test_a_worker_that_hangs_in_a_function_does_not_hold_up_the_others_recovery(
    cluster: Cluster, embedded: Broker, state: Path, tmp_path: Path
) -> None:
    flag = tmp_path / "hangs"
    flag.touch()
    embedded.create("in", 2)
    embedded.append("in", [("k", "word")])
    parameters = {"tag": embedded.tag, "hangs": str(flag)}
    job = cluster.submit(spec_of("counts", embedded, state, parameters=parameters, heartbeat_timeout=HEARTBEAT))
    before = job.until_running(LONG)
    hanging = int(until(flag.read_text, LONG))
    flag.unlink()
    (other,) = [worker.pid for worker in before.workers if worker.pid != hanging]
    kill(other)
    until(lambda: embedded.by_key("out") == {"WORD": [1]}, LONG, 0.1)
    assert hanging not in {worker.pid for worker in job.status().workers}
    job.stop(timeout=LONG)


def test_a_lost_node_is_left_for_another(machines: Machines, cluster: Cluster, embedded: Broker, state: Path) -> None:
    lost = machines.add()
    with under_load(cluster, embedded, state, workers=3) as job:
        before = job.status()
        assert lost.node_id in {worker.node for worker in before.workers}
        machines.lose(lost)
        after = recovered(job, before)
        assert lost.node_id not in {worker.node for worker in after.workers}


@pytest.mark.more
def test_workers_come_and_go_under_load(cluster: Cluster, embedded: Broker, state: Path) -> None:
    with under_load(cluster, embedded, state) as job:
        for workers in (4, 1, 3):
            status = job.rescale(workers)
            assert len(status.workers) == workers
            until_commits(job, status.epoch)
        assert len(job.status().pauses) == 3
        assert job.status().recoveries == []


@pytest.mark.more
def test_a_rescale_beyond_the_cluster_is_refused_and_the_job_goes_on(
    cluster: Cluster, embedded: Broker, state: Path
) -> None:
    payments = Payments(embedded, "two-stages", seed=2)
    payments.feed(200)
    job = cluster.submit(spec_of("two_stages", embedded, state, cpus=3.0, start_timeout=10.0))
    before = job.until_running(LONG)
    with pytest.raises(NotEnoughResources):
        job.rescale(3)
    payments.feed(200)
    payments.until_counted(LONG)
    after = job.status()
    assert (after.state, after.attempt, len(after.workers)) == ("running", before.attempt, 2)
    assert job.rescale(2).state == "running"


@pytest.mark.more
def test_a_rescale_that_is_taken_back_says_so(cluster: Cluster, embedded: Broker, state: Path) -> None:
    with under_load(cluster, embedded, state, workers=1) as job, ThreadPoolExecutor(1) as other:
        asked = other.submit(job.rescale, 3)
        until_status(job, lambda status: status.state == "rescaling" or len(status.workers) == 3)
        assert len(job.rescale(1).workers) == 1
        with pytest.raises(RayflowError, match="a later rescale, to 1"):
            asked.result(LONG)
        assert job.status().recoveries == []


@pytest.mark.more
def test_a_function_that_fails_ends_the_job_and_says_where(cluster: Cluster, embedded: Broker, state: Path) -> None:
    embedded.create("in", 2)
    embedded.append("in", [("k", "word"), ("k", "poison")])
    job = cluster.submit(spec_of("counts", embedded, state))
    error = failure_of(job)
    assert isinstance(error, UserFunctionFailed)
    assert (error.operator, error.job) == ("upper", job.name)
    status = job.status()
    assert (status.state, status.attempts) == ("failed", 1)
    assert UserFunctionFailed.code in status.cause
    assert "poison" not in status.cause
    lines = [json.loads(line) for line in job.logs()[1]]
    workers = [line["pid"] for line in lines if line["message"] == "a worker is ready"]
    assert len(workers) == 2
    until(lambda: not any(map(psutil.pid_exists, workers)), LONG)
    kill(status.pid)  # its end outlives its coordinator
    until_ended = until(lambda: _ended_again(job, status.pid), LONG)
    assert (until_ended.state, until_ended.cause, until_ended.epoch) == ("failed", status.cause, status.epoch)
    assert any(json.loads(line)["message"] == "the job had ended" for line in job.logs()[1])


def _ended_again(job: JobHandle, pid: int) -> JobStatus | None:
    status = job.status()
    return status if status.pid != pid and status.state == "failed" else None


@pytest.mark.more
def test_a_stop_is_not_forgotten_when_the_coordinator_dies(cluster: Cluster, embedded: Broker, state: Path) -> None:
    payments = Payments(embedded, "two-stages", seed=5)
    payments.feed(500)
    job = cluster.submit(spec_of("two_stages", embedded, state))
    status = job.until_running(LONG)
    payments.until_counted(LONG)
    job.ask_to_stop(drain=True)
    kill(status.pid)
    assert job.until_ended(LONG).state == "done"
    payments.check()


@pytest.mark.more
def test_a_job_that_is_stopped_while_it_starts_publishes_first(cluster: Cluster, embedded: Broker, state: Path) -> None:
    payments = Payments(embedded, "two-stages", seed=6)
    payments.feed(500)
    job = cluster.submit(spec_of("two_stages", embedded, state, until_end=True))
    assert job.stop(drain=True, timeout=LONG).state == "done"
    again = cluster.submit(spec_of("two_stages", embedded, state, until_end=True))
    assert again.until_ended(LONG).state == "done"
    payments.check()


@pytest.mark.more
def test_a_bounded_job_that_is_rescaled_meanwhile_comes_to_its_end(
    cluster: Cluster, embedded: Broker, state: Path
) -> None:
    payments = Payments(embedded, "two-stages", seed=7)
    payments.feed(40_000)  # 4,000 polls: far more than it reads before it is asked
    job = cluster.submit(spec_of("two_stages", embedded, state, until_end=True, max_poll_records=10))
    job.until_running(LONG)
    job.rescale(1)
    assert job.until_ended(LONG).state == "done"
    payments.check()


@pytest.mark.more
def test_new_partitions_are_taken_up_while_the_job_runs(cluster: Cluster, on_kafka: Broker, state: Path) -> None:
    on_kafka.create("in", 1)
    on_kafka.append("in", [(None, "a"), (None, "b")])
    job = cluster.submit(spec_of("counts", on_kafka, state))
    job.until_running(LONG)
    on_kafka.kafka.grow(on_kafka.name("in"), 3)
    on_kafka.kafka.produce(on_kafka.name("in"), [(None, b"a", 1, partition) for partition in range(3)])
    until(lambda: on_kafka.by_key("out") == {"A": [1, 2, 3, 4], "B": [1]}, LONG, 0.2)
    assert job.status().recoveries == []
    job.stop(timeout=LONG)


@pytest.mark.more
def test_a_savepoint_carries_a_job_to_a_changed_one_elsewhere(
    cluster: Cluster, embedded: Broker, state: Path, tmp_path: Path
) -> None:
    embedded.create("in", 2)
    embedded.append("in", [("k", "a"), ("l", "b"), ("k", "a")])
    job = cluster.submit(spec_of("counts", embedded, state))
    job.until_running(LONG)
    until(lambda: len(embedded.read("out")) == 3, LONG, 0.1)
    uri = f"file:{tmp_path / 'savepoint'}"
    before = job.status().epoch
    assert before < job.savepoint(uri) <= job.status().epoch
    with pytest.raises(ObjectExists):
        job.stop(savepoint=uri, timeout=LONG)
    assert job.status().state == "running"
    last = f"file:{tmp_path / 'last'}"
    assert job.stop(savepoint=last, timeout=LONG).state == "stopped"

    embedded.append("in", [("k", "a"), ("l", "b")])
    options: dict[str, Any] = {"from_savepoint": last, "checkpoints": f"file:{tmp_path / 'other'}", "workers": 3}
    upgraded = cluster.submit(spec_of("more", embedded, tmp_path / "elsewhere", name=job.name, **options))
    upgraded.until_running(LONG)
    until(lambda: len(embedded.read("longest")) == 2, LONG, 0.1)
    upgraded.stop(timeout=LONG)
    assert embedded.by_key("out") == {"A": [1, 2, 3], "B": [1, 2]}
    assert embedded.by_key("longest") == {"A": ["A"], "B": ["B"]}


@pytest.mark.more
def test_a_savepoint_carries_a_job_to_another_cluster_and_another_number_of_workers(
    machines: Machines, on_kafka: Broker, state: Path, tmp_path: Path
) -> None:
    payments = Payments(on_kafka, "two-stages", seed=9)
    payments.feed(500)
    last = f"file:{tmp_path / 'last'}"
    with Cluster(machines.address) as cluster:
        job = cluster.submit(spec_of("two_stages", on_kafka, state))
        job.until_running(LONG)
        payments.until_counted(LONG)
        assert job.stop(savepoint=last, timeout=LONG).state == "stopped"
        job.remove()

    payments.feed(500)
    options: dict[str, Any] = {"from_savepoint": last, "checkpoints": f"file:{tmp_path / 'other'}", "workers": 3}
    with Machines(3) as others, Cluster(others.address) as cluster:
        again = cluster.submit(spec_of("two_stages", on_kafka, tmp_path / "elsewhere", name=job.name, **options))
        again.until_running(LONG)
        payments.until_counted(LONG)
        assert again.stop(drain=True, timeout=LONG).state == "done"
    payments.check()

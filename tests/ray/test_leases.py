"""What a coordinator owes its workers while its thread does something else."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from rayflow.runtimes.ray.client import Cluster
from rayflow.runtimes.ray.leases import LEASE
from tests.e2e.brokers import Broker
from tests.kafka.client import until
from tests.ray.submitting import LONG, until_commits
from tests.ray.test_failures import HEARTBEAT, under_load

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

BUSY = """\
import time
from pathlib import Path

from rayflow.runtimes.ray import leases
from rayflow.runtimes.ray.coordinator_loop import CoordinatorLoop
from tests.ray.job_files import two_stages

FILE, serve = Path({file!r}), CoordinatorLoop._serve
leases.PATIENCE = {patience}


def busy(self):
    serve(self)
    if FILE.exists():
        seconds = float(FILE.read_text())
        FILE.unlink()
        time.sleep(seconds)


CoordinatorLoop._serve = busy
"""
"""A job whose coordinator's thread does something else, for as many seconds as a file says."""


def busy_job(folder: Path, patience: float) -> tuple[str, Path]:
    """The job's file, and the file that makes its coordinator busy."""
    seconds, file = folder / "seconds", folder / "busy.py"
    file.write_text(BUSY.format(file=str(seconds), patience=patience))
    return str(file), seconds


def test_workers_live_while_the_coordinators_thread_is_busy_for_two_leases(
    cluster: Cluster, embedded: Broker, state: Path, tmp_path: Path
) -> None:
    file, seconds = busy_job(tmp_path, 20.0)
    with under_load(cluster, embedded, state, target=file) as job:
        before = job.status()
        seconds.write_text(str(2 * LEASE * HEARTBEAT))
        until(lambda: not seconds.exists(), LONG)
        after = until_commits(job)
        assert [worker.pid for worker in after.workers] == [worker.pid for worker in before.workers]
        assert after.attempts == before.attempts


@pytest.mark.more
def test_a_coordinator_whose_thread_hangs_for_good_is_replaced_and_its_workers_end(
    cluster: Cluster, embedded: Broker, state: Path, tmp_path: Path
) -> None:
    file, seconds = busy_job(tmp_path, 1.0)
    with under_load(cluster, embedded, state, target=file) as job:
        before = job.status()
        workers = [psutil.Process(worker.pid) for worker in before.workers]
        seconds.write_text("1e6")
        until(lambda: not psutil.pid_exists(before.pid), LONG, 0.1)
        _, alive = psutil.wait_procs(workers, LONG)
        assert not alive
        until_commits(job, since=before.epoch)

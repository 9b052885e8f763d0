"""What is told of a job that cannot run on a cluster, and of a cluster that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray

from rayflow.core.errors import (
    ClusterUnavailable,
    JobFileFailed,
    JobNameTaken,
    JobNotFound,
    NotEnoughResources,
    RayflowError,
    VersionMismatch,
)
from rayflow.runtimes.ray.client import Cluster
from tests.e2e.brokers import Broker
from tests.ray.machines import Machines
from tests.ray.submitting import LONG, spec_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


@pytest.mark.more
@pytest.mark.parametrize(
    ("text", "reason"),
    [("import a_module_that_only_laptops_have\n", "ModuleNotFoundError"), ("1 / 0\n", "ZeroDivisionError")],
)
def test_a_file_that_does_not_import_there_is_told(
    text: str, reason: str, cluster: Cluster, embedded: Broker, state: Path, tmp_path: Path
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(text)
    job = cluster.submit(spec_of(str(file), embedded, state, name="broken"))
    with pytest.raises(JobFileFailed, match=rf"broken\.py:1: {reason}"):
        job.until_running(LONG)
    job.remove()
    with pytest.raises(JobNotFound):
        cluster.job("broken")


@pytest.mark.more
def test_a_module_that_only_workers_lack_is_told(
    cluster: Cluster, embedded: Broker, state: Path, tmp_path: Path
) -> None:
    file = tmp_path / "half.py"
    file.write_text(
        "import threading\n"
        "if not any(t.name == 'rayflow-coordinator' for t in threading.enumerate()):\n"
        "    import a_module_that_only_heads_have\n"
        "from tests.ray.job_files import counts\n"
    )
    embedded.create("in", 2)
    job = cluster.submit(spec_of(str(file), embedded, state, name=f"counts{embedded.tag}"))
    with pytest.raises(JobFileFailed, match="a_module_that_only_heads_have"):
        job.until_running(LONG)


@pytest.mark.more
def test_too_few_processors_are_told_with_what_is_there(cluster: Cluster, embedded: Broker, state: Path) -> None:
    embedded.create("in", 2)
    job = cluster.submit(spec_of("counts", embedded, state, workers=3, cpus=4.0, start_timeout=10.0))
    with pytest.raises(NotEnoughResources, match=r"needs 4 CPU, and .* of the cluster's 8 are free"):
        job.until_running(LONG)


@pytest.mark.more
def test_a_name_is_taken_until_its_job_has_ended(cluster: Cluster, embedded: Broker, state: Path) -> None:
    embedded.create("in", 2)
    spec = spec_of("counts", embedded, state, workers=1)
    job = cluster.submit(spec)
    job.until_running(LONG)
    with pytest.raises(JobNameTaken):
        cluster.submit(spec)
    job.ask_to_stop()
    assert job.until_ended(LONG).state == "stopped"
    again = cluster.submit(spec_of("counts", embedded, state, workers=1))
    assert again.until_running(LONG).state == "running"


def test_no_cluster_is_told() -> None:
    with pytest.raises(ClusterUnavailable), Cluster("127.0.0.1:1"):
        pass


def test_another_version_of_ray_is_told(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "__version__", "2.0.1")
    with pytest.raises(VersionMismatch, match=r"Ray: 2\.0\.1"), Cluster(machines.address):
        pass


@pytest.mark.more
def test_another_version_of_rayflow_on_a_node_is_told(
    machines: Machines, cluster: Cluster, embedded: Broker, state: Path, tmp_path: Path
) -> None:
    file = tmp_path / "elsewhere.py"
    file.write_text(
        "import threading\n"
        "import rayflow.runtimes.ray.worker_actor as worker\n"
        "if not any(t.name == 'rayflow-coordinator' for t in threading.enumerate()):\n"
        "    worker.__version__ = '0.0.1'\n"
        "from tests.ray.job_files import counts\n"
    )
    embedded.create("in", 2)
    job = cluster.submit(spec_of(str(file), embedded, state, name=f"counts{embedded.tag}"))
    with pytest.raises(VersionMismatch, match=r"has rayflow 0\.0\.1, the coordinator"):
        job.until_running(LONG)


def test_a_job_that_the_cluster_does_not_know_is_told(cluster: Cluster) -> None:
    with pytest.raises(RayflowError) as caught:
        cluster.job("nobody")
    assert isinstance(caught.value, JobNotFound)

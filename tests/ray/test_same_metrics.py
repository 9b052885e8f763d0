"""A job on Ray exports what it exports in one process, durations that its workers measure included."""

from __future__ import annotations

import json
import urllib.request
from functools import partial
from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest

from rayflow.core.metrics import Metrics
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.local.runtime import LocalRuntime
from rayflow.runtimes.ray.client import Cluster, JobHandle
from rayflow.runtimes.ray.spec import JobSpec
from tests.e2e.brokers import Broker
from tests.kafka.client import until
from tests.ray.submitting import LONG, spec_of
from tests.runtimes.exported import samples, total

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

JOB = """\
import rayflow as rf

job = rf.Job("timed")
lines = job.stream("in", value=str, timestamp=lambda line: 1_000, watermark=rf.monotonic())
lines.flat_map(str.split).key_by(lambda word: word).count(name="counts", emit="record").to("out")
"""
LINES = [(None, "one two"), (None, "two three")]


def scraped(job: JobHandle) -> str:
    """What the coordinator serves."""
    lines = [json.loads(line) for line in job.logs()[1]]
    (url,) = [line["url"] for line in lines if line["message"] == "metrics served"]
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def test_a_job_exports_the_same_metrics_on_ray_as_in_one_process(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "timed.py"
    file.write_text(JOB)
    shown = []
    for name, exported in (("local", exported_locally), ("ray", partial(exported_on, cluster))):
        broker = Broker(f"embedded:{tmp_path / name / 'log'}", tag="")
        broker.create("in", 2)
        broker.append("in", LINES)
        shown.append(exported(spec_of(str(file), broker, tmp_path / name, name="timed", metrics_port=0, parameters={})))
        broker.close()
    local, ray = shown
    assert samples(ray) == samples(local)
    for text in shown:
        assert total(text, "rayflow_end_to_end_latency_seconds_count") == 4  # one result a word
        assert total(text, "rayflow_end_to_end_latency_seconds_sum") > 4 * 3_600
        assert total(text, "rayflow_publish_duration_seconds_count") >= 1


def exported_on(cluster: Cluster, spec: JobSpec) -> str:
    """What a job on Ray exports once it has done everything."""
    job = cluster.submit(spec)
    job.until_running(LONG)
    until(lambda: complete(scraped(job)), LONG)
    text = scraped(job)
    job.stop(timeout=LONG)
    return text


def exported_locally(spec: JobSpec) -> str:
    """What a run in one process exports then."""
    metrics = Metrics("timed")

    def text() -> str:
        return generate_latest(metrics.registry).decode()

    def on_progress(_: JobStatus) -> None:
        if complete(text()):
            runtime.stop()

    runtime = LocalRuntime(spec.plan(), spec.options, metrics=metrics, on_progress=on_progress)
    runtime.run()
    return text()


def complete(text: str) -> bool:
    """Whether everything is read and published, and the lag has been looked at."""
    return total(text, "rayflow_end_to_end_latency_seconds_count") == 4 and "rayflow_lag_records{" in text

"""The metrics of a job on a cluster, as its coordinator serves them; without Ray."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import InvalidSetting
from rayflow.core.ids import TaskId
from rayflow.core.metrics import METRICS
from rayflow.engine.events import BarrierInjected, EpochDone
from rayflow.operators.base import OperatorCounters
from rayflow.runtimes.hosting.worker_metrics import Figures, TaskFigures, WorkerMetrics
from rayflow.runtimes.ray.watching.metrics import JobMetrics

TASK = TaskId("s1", 2)


@dataclass
class Written:
    """What the metrics look at of a manifest."""

    bytes: int


def committed(size: int) -> Manifest:
    manifest: Any = Written(size)
    return manifest


def told(records: int, attempt: int = 1, task: TaskId = TASK, **more: Any) -> WorkerMetrics:
    operators = {"filter": OperatorCounters(records_in=records, records_out=records // 2)}
    figures = Figures([TaskFigures(task, 10, 3, 1_000, operators)], [("orders", task.partition, 7)])
    return WorkerMetrics(attempt, staged=64, figures=figures, **more)


@pytest.fixture
def metrics() -> Iterator[JobMetrics]:
    metrics = JobMetrics("revenue", "kafka://broker:9092")
    metrics.serve(0, "127.0.0.1")
    yield metrics
    metrics.close()


def scraped(metrics: JobMetrics) -> dict[tuple[str, ...], float]:
    """Every sample by its name and its labels' values (by label), without the job's."""
    assert metrics.address is not None
    with urllib.request.urlopen(f"http://{metrics.address}/metrics", timeout=5) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    known = {metric.name for metric in METRICS}
    found = {}
    for family in families:
        for sample in family.samples:
            assert sample.labels.pop("job_name") == "revenue"
            found[(sample.name, *sample.labels.values())] = sample.value
            name = family.name.removesuffix("_created")  # prometheus-client adds the time of birth of each counter
            assert {name, f"{name}_total"} & known
    return found


def test_what_the_workers_tell_is_served_for_the_whole_job(metrics: JobMetrics) -> None:
    metrics.look(1, {0: told(10), 1: told(20, task=TaskId("s1", 3))})
    found = scraped(metrics)
    assert found["rayflow_records_in_total", "filter", "2"] == 10
    assert found["rayflow_records_in_total", "filter", "3"] == 20
    assert found["rayflow_records_out_total", "filter", "3"] == 10
    assert found["rayflow_lag_records", "2", "orders"] == 7
    assert found["rayflow_state_rows", "2", "s1"] == 10
    assert found["rayflow_pending_rows", "2", "s1"] == 3
    assert found["rayflow_watermark_lag_seconds", "2", "s1"] > 0
    assert found[("rayflow_staged_bytes",)] == 128
    assert found["rayflow_broker_outage", "kafka://broker:9092"] == 0
    assert found[("rayflow_attempt",)] == 1


def test_counters_rise_by_what_is_new_and_go_on_in_the_next_attempt_elsewhere(metrics: JobMetrics) -> None:
    metrics.look(1, {0: told(10)})
    metrics.look(1, {0: told(15)})
    same = told(5, attempt=2)
    metrics.look(2, {0: told(99), 1: same})  # what an old attempt's worker still says does not count
    metrics.look(2, {1: same})
    found = scraped(metrics)
    assert found["rayflow_records_in_total", "filter", "2"] == 20
    assert found[("rayflow_restarts_total",)] == 1


def test_an_epoch_is_complete_when_its_last_worker_has_published_it(metrics: JobMetrics) -> None:
    metrics.sent(BarrierInjected(4))
    metrics.sent(BarrierInjected(4))
    metrics.committed(committed(900), (0, 1))
    metrics.received(EpochDone(0, 4))
    assert ("rayflow_epoch",) not in scraped(metrics)
    metrics.received(EpochDone(1, 4))
    found = scraped(metrics)
    assert found[("rayflow_epoch",)] == 4
    assert found[("rayflow_checkpoint_bytes",)] == 900
    assert found[("rayflow_epoch_duration_seconds_count",)] == 1
    assert metrics.epoch_seconds >= found[("rayflow_checkpoint_duration_seconds_sum",)]


def test_one_worker_that_waits_for_the_broker_shows(metrics: JobMetrics) -> None:
    metrics.look(1, {0: told(1), 1: WorkerMetrics(1, outage="no broker")})
    assert scraped(metrics)["rayflow_broker_outage", "kafka://broker:9092"] == 1


def test_a_worker_shows_until_it_is_gone(metrics: JobMetrics) -> None:
    metrics.look(1, {0: told(1, busy=0.5, memory=1 << 20), 1: told(1, backpressured=0.25)})
    found = scraped(metrics)
    assert found["rayflow_worker_busy_ratio", "0"] == 0.5
    assert found["rayflow_worker_memory_bytes", "0"] == 1 << 20
    assert found["rayflow_worker_blocked_ratio", "1"] == 0.25
    metrics.look(1, {0: told(2)})
    assert ("rayflow_worker_busy_ratio", "1") not in scraped(metrics)


def test_a_taken_port_refuses_a_new_job_but_not_one_that_runs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        metrics = JobMetrics("revenue", "kafka://broker:9092")
        with pytest.raises(InvalidSetting, match=str(port)):
            metrics.serve(port, "127.0.0.1")
        metrics.serve(port, "127.0.0.1", again=True)
        assert metrics.address is None
        metrics.close()

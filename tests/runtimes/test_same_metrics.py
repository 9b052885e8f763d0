"""What a run in one process exports is what a job on Ray exports, fed with the same measurements; without Ray."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest

import rayflow as rf
from rayflow.core.metrics import METRICS, Metrics
from rayflow.engine.events import BarrierInjected, EpochDone
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.metrics_feed import MetricsFeed
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.worker_metrics import Figures, WorkerMetrics
from rayflow.runtimes.local import observer
from rayflow.runtimes.local.runtime import LocalRuntime
from rayflow.runtimes.ray.watching.metrics import JobMetrics
from tests.runtimes.exported import samples, total
from tests.runtimes.ray.test_metrics import committed

BROKER = "embedded:/log"


def words() -> rf.Job:
    job = rf.Job("words")
    lines = job.stream(
        "lines", value=str, timestamp=lambda line: 1_000, watermark=rf.monotonic(), sample=["one two", "two three"]
    )
    lines.flat_map(str.split).key_by(lambda word: word).count(name="counts").to("counts")
    return job


def test_both_runtimes_export_the_same_metrics_with_the_same_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []

    class Kept(MetricsFeed):
        def look(self, attempt: int, workers: Mapping[int, WorkerMetrics]) -> None:
            sent.append(pickle.dumps((attempt, workers)))
            super().look(attempt, workers)

    monkeypatch.setattr(observer, "MetricsFeed", Kept)
    monkeypatch.setattr(observer, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(observer, "ENDS_EVERY", 0.0)
    metrics = Metrics("words")
    LocalRuntime(
        plan_of(words()),
        RunOptions(broker=f"embedded:{tmp_path / 'log'}", state=tmp_path, until_end=True),
        metrics=metrics,
    ).run()
    on_ray = JobMetrics("words", BROKER)
    on_ray.sent(BarrierInjected(1))
    on_ray.committed(committed(900), (0,))
    on_ray.received(EpochDone(0, 1))
    for message in sent:
        on_ray.look(*pickle.loads(message))
    local_text, ray_text = (generate_latest(each.registry).decode() for each in (metrics, on_ray._metrics))
    assert samples(local_text) == samples(ray_text)
    assert {metric.name for metric in METRICS} <= {
        line.split()[2] for line in ray_text.splitlines() if "# TYPE" in line
    }
    for text in (local_text, ray_text):
        assert total(text, "rayflow_end_to_end_latency_seconds_count") == 3  # a change of each word's count
        assert total(text, "rayflow_publish_duration_seconds_count") == 1
        assert total(text, "rayflow_records_in_total") == total(local_text, "rayflow_records_in_total") > 0


def test_durations_of_a_worker_that_took_a_slot_over_are_added() -> None:
    metrics = JobMetrics("words", BROKER)

    def told(process: str, seconds: list[float], attempt: int = 1) -> dict[int, WorkerMetrics]:
        figures = Figures(process=process)
        for each in seconds:
            figures.publish.observe(each)
        return {0: WorkerMetrics(attempt, figures=figures)}

    metrics.look(1, told("a", [0.1, 0.2]))
    metrics.look(1, told("a", [0.1, 0.2, 0.3]))
    metrics.look(2, told("a", [0.1, 0.2, 0.3, 0.4]))  # still of the attempt before: its durations count
    metrics.look(2, told("b", [0.5], attempt=2))
    text = generate_latest(metrics._metrics.registry).decode()
    assert total(text, "rayflow_publish_duration_seconds_count") == 5
    assert total(text, "rayflow_publish_duration_seconds_sum") == pytest.approx(1.5)

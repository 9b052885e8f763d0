"""The metrics of a job: what is declared, what a scrape shows, and that the docs say the same."""

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from rayflow.core.distribution import SECONDS, Distribution
from rayflow.core.errors import InvalidSetting
from rayflow.core.histogram import DistributionHistogram
from rayflow.core.ids import TaskId
from rayflow.core.metrics import METRICS, Metrics, reference
from rayflow.operators.base import OperatorCounters

TASK = TaskId("s2", 3)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"job_name": "revenue", **labels})


def fed() -> Metrics:
    metrics = Metrics("revenue")
    metrics.operator(TASK, "filter", OperatorCounters(records_in=5, records_out=3))
    took = Distribution()
    took.observe_since([0], 1_000)
    metrics.latency("sink", took)
    metrics.publications(took)
    metrics.lag("orders", 3, 12)
    metrics.watermark(TASK, 4_000, 6_500)
    metrics.epoch(7, seconds=0.2, checkpoint_seconds=0.1, checkpoint_bytes=1_000)
    metrics.state(TASK, rows=10, pending=2)
    metrics.staged(64)
    metrics.attempt(1)
    metrics.outage("kafka://a:9092", True)
    metrics.worker(0, busy=0.5, blocked=0.1, memory=1_000)
    return metrics


def test_a_scrape_shows_every_declared_metric_and_no_other() -> None:
    text = generate_latest(fed().registry).decode()
    shown = {line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE")}
    created = {name for name in shown if name.endswith("_created")}
    declared = {metric.name: metric.kind for metric in METRICS}
    assert {name: kind for name, kind in shown.items() if name not in created} == declared


def test_every_metric_has_its_declared_labels() -> None:
    labels = {metric.name: {"job_name", *metric.labels} for metric in METRICS}
    for family in fed().registry.collect():
        for sample in family.samples:
            name = next((name for name in labels if sample.name in (name, f"{name}_sum")), None)
            if name is not None:
                assert set(sample.labels) == labels[name]


def test_names_follow_the_conventions_of_prometheus() -> None:
    for metric in METRICS:
        assert metric.name.startswith("rayflow_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.description.endswith(".")


def test_an_operators_counts_are_taken_over_as_they_rise() -> None:
    metrics = Metrics("revenue")
    counts = OperatorCounters(records_in=5)
    metrics.operator(TASK, "filter", counts)
    counts.records_in = 9
    counts.late = 1
    metrics.operator(TASK, "filter", counts)
    assert value(metrics, "rayflow_records_in_total", operator="filter", partition="3") == 9
    assert value(metrics, "rayflow_late_records_total", operator="filter", partition="3") == 1


def test_a_restarted_operator_counts_on_top_of_what_it_had() -> None:
    metrics = Metrics("revenue")
    metrics.operator(TASK, "filter", OperatorCounters(records_in=5))
    metrics.operator(TASK, "filter", OperatorCounters(records_in=7))
    assert value(metrics, "rayflow_records_in_total", operator="filter", partition="3") == 12


def test_each_attempt_after_the_first_is_a_restart() -> None:
    metrics = Metrics("revenue")
    metrics.attempt(4)
    assert value(metrics, "rayflow_restarts_total") == 0
    metrics.attempt(5)
    assert (value(metrics, "rayflow_restarts_total"), value(metrics, "rayflow_attempt")) == (1, 5)


def test_it_is_served_over_http_until_closed() -> None:
    server = fed().serve(0)
    try:
        with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=10) as answer:
            assert 'rayflow_epoch{job_name="revenue"} 7.0' in answer.read().decode()
        with pytest.raises(InvalidSetting, match="metrics cannot be served on 127"):
            Metrics("other").serve(int(server.address.rpartition(":")[2]))
    finally:
        server.close()


def test_the_docs_show_the_declared_metrics() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
    assert reference() in page.read_text(), "write what python -m rayflow.core.metrics prints into the page"


def test_importing_rayflow_does_not_import_what_only_a_run_needs() -> None:
    heavy = "prometheus_client pydantic pydantic_settings structlog rich confluent_kafka obstore"
    code = f"import sys, rayflow, rayflow.cli; print([n for n in '{heavy}'.split() if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@given(st.lists(st.lists(st.integers(0, 700_000), max_size=50), max_size=5), st.integers(0, 700_000))
def test_a_column_is_counted_as_if_each_value_had_been_observed(columns: list[list[int]], now: int) -> None:
    registry = CollectorRegistry()
    histogram = DistributionHistogram("latency", "Latency.", ("operator",), registry)
    one_by_one, shown_before = Distribution(), Distribution()
    for column in columns:
        for timestamp in column:
            one_by_one.observe((now - timestamp) / 1000)
        known = shown_before.copy()
        known.observe_since(column, now)
        histogram.add(("sink",), known.since(shown_before))
        shown_before = known
    assert shown_before.within == one_by_one.within
    ages = [now - timestamp for column in columns for timestamp in column]

    def shown(name: str, **labels: str) -> float:
        return registry.get_sample_value(name, {"operator": "sink", **labels}) or 0.0

    for bound in SECONDS:
        assert shown("latency_bucket", le=str(bound)) == sum(age <= bound * 1000 for age in ages)
    assert shown("latency_bucket", le="+Inf") == shown("latency_count") == len(ages)
    assert shown("latency_sum") == pytest.approx(sum(ages) / 1000)

"""The measured part of a job's status: sums over workers, and rates of the last seconds."""

from __future__ import annotations

from typing import Any

import pytest

from rayflow.runtimes.hosting.overview import RATE_OVER, Overview, worker_status
from rayflow.runtimes.hosting.status import JobStatus, WorkerStatus
from rayflow.runtimes.hosting.worker_metrics import Counts, WorkerMetrics


def told(slot: int, records: int, **more: Any) -> tuple[WorkerStatus, WorkerMetrics]:
    counts = Counts(records, 2 * records, errors=1, late=2, dead_letters=3)
    measured = WorkerMetrics(1, [f"s1/{slot}"], counts, **more)
    return worker_status(slot, "host", "", 7, measured), measured


def test_a_status_has_the_sums_of_its_workers_and_of_those_that_are_gone() -> None:
    status = JobStatus("revenue")
    workers = [told(0, 10, lag=5, watermark=9_000, rows=2, staged=64), told(1, 20, lag=7, watermark=4_000, rows=3)]
    Overview(status, 100.0).measured(workers, Counts(100, 50, 1, 1, 1), 102.5)
    assert (status.records_in, status.records_out) == (130, 110)
    assert (status.errors, status.late, status.dead_letters) == (3, 5, 7)
    assert (status.lag, status.watermark, status.rows, status.staged) == (12, 4_000, 5, 64)
    assert [(worker.slot, worker.records_in, worker.tasks) for worker in status.workers] == [
        (0, 10, ["s1/0"]),
        (1, 20, ["s1/1"]),
    ]
    assert status.elapsed == 2.5


def test_what_no_worker_knows_is_not_known() -> None:
    status = JobStatus("revenue", lag=3, watermark=1)
    Overview(status, 0.0).measured([told(0, 1)], Counts(), 1.0)
    assert (status.lag, status.watermark) == (None, None)


def test_the_rates_are_those_of_the_last_seconds() -> None:
    status = JobStatus("revenue")
    overview = Overview(status, 0.0)
    for tenth in range(200):
        now = tenth / 10
        overview.measured([told(0, int(100 * min(now, 10.0)))], Counts(), now)
        if tenth == 0:
            assert status.rates == (0.0, 0.0)
        elif now == 8.0:
            assert status.rates == pytest.approx((100.0, 200.0), rel=0.05)
        elif now > 10.0 + RATE_OVER + 0.2:
            assert status.rates == (0.0, 0.0)

"""Which failures end a job, and how long its recoveries and pauses last."""

from __future__ import annotations

import pytest

from rayflow.core.errors import BrokerUnavailable, UserFunctionFailed, WorkerLost
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.ray import interruptions as module
from rayflow.runtimes.ray.interruptions import Interruptions


class Clock:
    """The monotonic clock of the module."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def status() -> JobStatus:
    return JobStatus("job")


@pytest.fixture
def job(status: JobStatus, clock: Clock) -> Interruptions:
    return Interruptions(status, 2)


def test_a_recovery_lasts_from_the_first_failure_to_the_next_commit(
    job: Interruptions, status: JobStatus, clock: Clock
) -> None:
    job.attempt_started()
    job.failed(WorkerLost("one is gone"))
    clock.now += 2.0
    job.attempt_begins()
    job.failed(WorkerLost("another is gone"))
    clock.now += 3.0
    job.attempt_begins()
    job.attempt_started()
    assert status.recoveries == []
    assert [job.committed(), job.committed()] == [5.0, None]
    assert status.recoveries == [5.0]
    assert job.attempts == 3


def test_the_recovery_of_a_new_coordinator_process_begins_with_the_process(
    job: Interruptions, status: JobStatus, clock: Clock
) -> None:
    job.taken_over()
    assert job.established
    clock.now += 4.0
    job.committed()
    assert status.recoveries == [4.0]


def test_a_pause_lasts_until_records_are_processed(job: Interruptions, status: JobStatus, clock: Clock) -> None:
    job.attempt_started()
    job.paused()
    clock.now += 1.5
    job.attempt_begins()
    job.attempt_started()
    job.attempt_started()
    assert status.pauses == [1.5]


def test_attempts_in_a_row_that_commit_nothing_are_bounded(job: Interruptions) -> None:
    error = WorkerLost("gone")
    job.failed(error)
    job.attempt_begins()
    job.committed()
    assert job.failed(error) == 0.0
    job.attempt_begins()
    for _ in range(2):
        assert job.failed(error)
    assert job.failed(error) is None


def test_an_error_that_another_attempt_cannot_mend_ends_the_job(job: Interruptions) -> None:
    assert job.failed(UserFunctionFailed("your function")) is None


def test_an_unreachable_broker_ends_only_a_job_that_has_never_processed_records(job: Interruptions) -> None:
    assert job.failed(BrokerUnavailable("no broker")) is None
    job.attempt_started()
    assert job.failed(BrokerUnavailable("no broker")) is not None

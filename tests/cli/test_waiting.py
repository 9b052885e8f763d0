"""Commands that wait for a job, against a job that is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import Result

from rayflow.cli.jobs import finding
from rayflow.runtimes.hosting.status import JobStatus
from tests.cli.conftest import log_lines

Run = Callable[..., Result]


class Job:
    """Answers with a status that the test sets."""

    def __init__(self, status: JobStatus) -> None:
        self.name = status.name
        self.removed = False
        self._status = status

    def status(self) -> JobStatus:
        return self._status

    def remove(self) -> None:
        self.removed = True


def serve(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the commands find this job."""

    @contextmanager
    def job_at(*_: object) -> Iterator[Any]:
        yield job

    monkeypatch.setattr(finding, "job_at", job_at)


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_a_drain_of_a_job_that_had_ended_without_one_fails(
    state: Any, rayflow: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(JobStatus("words", state, "the cause", runtime="ray"))
    serve(job, monkeypatch)
    result = rayflow("stop", "words", "--drain")
    assert result.exit_code == 1
    assert log_lines(result.stderr)[-1]["message"] == (f"nothing was drained, because the job had {state}: the cause")
    assert not job.removed
    assert rayflow("stop", "words").exit_code == 0
    assert job.removed


def test_a_drain_of_a_job_that_is_done_removes_it(rayflow: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(JobStatus("words", "done", runtime="ray"))
    serve(job, monkeypatch)
    assert rayflow("stop", "words", "--drain").stdout == "words removed from the cluster\n"
    assert job.removed

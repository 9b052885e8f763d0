"""The status of a job."""

from __future__ import annotations

from dataclasses import fields

from rayflow.runtimes.hosting.status import JobStatus


def test_a_snapshot_stays_as_it_is_while_the_status_changes() -> None:
    status = JobStatus("job", stages={"a": 1}, pauses=[0.5])
    before = status.snapshot()
    assert before == status
    for each in fields(JobStatus):
        value = getattr(status, each.name)
        if isinstance(value, (list, dict)):
            assert getattr(before, each.name) is not value, each.name

"""Commands that wait for a job, against a job that is none."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from click.testing import Result

from rayflow.cli.jobs import finding
from rayflow.cli.jobs.waiting import waiting_for
from rayflow.cli.root import cli
from rayflow.core.errors import WorkerLost
from rayflow.runtimes.hosting.status import JobStatus
from tests.cli.conftest import log_lines
from tests.kafka.client import until

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

    def stop(self, **_: object) -> JobStatus:
        """Wait until the terminal shows what the job waits for."""
        until(lambda: not isinstance(sys.stderr, Terminal) or "no CPU is free" in sys.stderr.getvalue(), 30)
        return JobStatus(self.name, "stopped", epoch=7)

    def savepoint(self, uri: str) -> int:
        return self.stop().epoch


class Terminal(StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


WAITING = JobStatus("words", "waiting", "no CPU is free", runtime="ray")


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


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (("stop", "words"), "words stopped at epoch 7"),
        (("savepoint", "words", "file:/there"), "savepoint of epoch 7 written to file:/there"),
    ],
)
def test_a_command_that_waits_shows_on_a_terminal_what_for(
    command: tuple[str, ...],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve(Job(WAITING), monkeypatch)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    cli.main(command, standalone_mode=False)
    assert "(no CPU is free)" in terminal.getvalue()
    assert line in capsys.readouterr().out


def test_it_shows_nothing_elsewhere(rayflow: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(Job(WAITING), monkeypatch)
    assert rayflow("stop", "words").output == "words stopped at epoch 7\n"


def test_a_job_that_does_not_answer_meanwhile_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    job = Job(WAITING)

    def silent() -> JobStatus:
        asked.set()
        raise WorkerLost("the coordinator is gone")

    monkeypatch.setattr(job, "status", silent)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    control: Any = job
    with waiting_for(control):
        assert asked.wait(30)
    assert terminal.getvalue() == ""


def test_a_savepoint_needs_a_place(rayflow: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(Job(WAITING), monkeypatch)
    for command in (("savepoint", "words", "file:"), ("stop", "words", "--savepoint", "file:")):
        result = rayflow(*command)
        assert (result.exit_code, "file: has no path" in result.stderr) == (2, True)

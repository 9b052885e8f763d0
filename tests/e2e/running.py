"""Running jobs in this process: to their end, or in a thread while the test goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from rayflow.api.job import Job
from rayflow.core.clock import system_clock
from rayflow.core.errors import RayflowError
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.hosting.steps import STEPS
from rayflow.runtimes.local.runtime import LocalRuntime
from rayflow.runtimes.machine.journal import Journal
from tests.e2e.brokers import Broker
from tests.kafka.client import until

INTERVAL = 50
"""Between two checkpoints, ms."""


class Crash(Exception):
    """The process ends here, as far as a test can do that within one."""


def crash_at(step: str) -> Callable[[str], None]:
    """An `on_step` that raises Crash at the first time that a step comes. Refuses a step that there is not."""
    assert step in STEPS, f"there is no step {step!r}"

    def on_step(name: str) -> None:
        if name == step:
            raise Crash

    return on_step


def options_of(broker: Broker, state: Path, **options: Any) -> RunOptions:
    """Options of a run on a test's broker."""
    options.setdefault("checkpoint_interval", INTERVAL)
    return RunOptions(broker=broker.url, broker_config=broker.config, state=state, **options)


def run(
    job: Job,
    broker: Broker,
    state: Path,
    *,
    clock: Callable[[], int] = system_clock,
    on_step: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> JobStatus:
    """Run a job up to the end of what there is."""
    options.setdefault("until_end", True)
    return LocalRuntime(plan_of(job), options_of(broker, state, **options), clock=clock, on_step=on_step).run()


class Running:
    """A job that runs in a thread of its own. A context manager: leaving it stops the job and raises its error.

    Attributes:
        progress: as reported last. states: every state that was reported, in order, without repetitions.
        error: what the run has raised.
    """

    def __init__(
        self,
        job: Job,
        broker: Broker,
        state: Path,
        *,
        clock: Callable[[], int] = system_clock,
        on_step: Callable[[str], None] = lambda _: None,
        journal: Journal | None = None,
        **options: Any,
    ) -> None:
        self.progress = JobStatus(job.name)
        self.states: list[str] = []
        self.error: RayflowError | None = None
        self.runtime = LocalRuntime(
            plan_of(job),
            options_of(broker, state, **options),
            on_progress=self._on_progress,
            clock=clock,
            on_step=on_step,
            journal=journal,
        )
        self._thread = threading.Thread(target=self._run, name=f"test-{job.name}", daemon=True)
        self._thread.start()

    def until(self, condition: Callable[[JobStatus], object], seconds: float = 60.0) -> JobStatus:
        """Wait for a progress report that fulfils `condition`; raises what the run raises meanwhile."""

        def met() -> JobStatus | None:
            if self.error is not None:
                raise self.error
            return self.progress if condition(self.progress) else None

        return until(met, seconds)  # type: ignore[no-any-return]

    def failure(self, seconds: float = 60.0) -> RayflowError:
        """Wait until the run fails; the error."""
        self._thread.join(seconds)
        assert self.error is not None, f"the job is {self.progress.state} instead of failing"
        return self.error

    def stop(self) -> JobStatus:
        """Ask for a clean end, and wait for it. Raises the run's error."""
        self.runtime.stop()
        return self.finish()

    def finish(self, seconds: float = 60.0) -> JobStatus:
        """Wait for the end. Raises the run's error."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"the job did not end: {self.progress}"
        if self.error is not None:
            raise self.error
        return self.progress

    def _run(self) -> None:
        try:
            self.runtime.run()
        except RayflowError as error:
            self.error = error

    def _on_progress(self, progress: JobStatus) -> None:
        self.progress = progress
        if not self.states or self.states[-1] != progress.state:
            self.states.append(progress.state)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.runtime.stop()
        self._thread.join(60)
        if error is None:
            assert not self._thread.is_alive(), f"the job did not end: {self.progress}"
            if self.error is not None:
                raise self.error

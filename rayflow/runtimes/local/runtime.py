"""The local runtime: runs a whole job in one process, on the calling thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rayflow.checkpoint.open import open_store
from rayflow.core.clock import Clock, system_clock
from rayflow.core.errors import Fenced, InvariantBroken, RayflowError
from rayflow.core.ids import TaskId
from rayflow.core.logging import get_logger
from rayflow.engine.barrier_schedule import AttemptEnding
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.epoch_times import EpochTimes
from rayflow.runtimes.hosting.messages import Ends
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.ports import OnStep, Ports, no_step
from rayflow.runtimes.hosting.samples import write_samples
from rayflow.runtimes.hosting.start import choose_start
from rayflow.runtimes.hosting.status import JobState, JobStatus
from rayflow.runtimes.local.attempt import LocalAttempt
from rayflow.runtimes.local.fencing import Fencing
from rayflow.runtimes.local.observer import Observer, first_status
from rayflow.runtimes.local.requests import EndedAtOnce, RunRequests
from rayflow.runtimes.local.server import ControlServer
from rayflow.runtimes.machine.connectors import OpenConnectors
from rayflow.runtimes.machine.directory import JobDirectory
from rayflow.runtimes.machine.garbage import collected_seldom
from rayflow.runtimes.machine.journal import Journal
from rayflow.runtimes.machine.ports import MakePorts, machine_ports
from rayflow.state.base import Store
from rayflow.state.lmdb_store import LmdbStore

if TYPE_CHECKING:
    from rayflow.core.metrics import Metrics  # it imports a web server

log = get_logger("rayflow.local")


class LocalRuntime:
    """Runs a job in this process.

    >>> import rayflow as rf, tempfile
    >>> from pathlib import Path
    >>> from rayflow.plan.compile import plan_of
    >>> job = rf.Job("shout")
    >>> job.stream("words", value=str, sample=["hello", "world"]).map(str.upper).to("loud-words")
    >>> with tempfile.TemporaryDirectory() as state:
    ...     status = LocalRuntime(plan_of(job), RunOptions(state=Path(state), until_end=True)).run()
    >>> status.state, status.records_in, status.records_out
    ('done', 2, 2)
    """

    def __init__(
        self,
        plan: JobPlan,
        options: RunOptions,
        *,
        on_progress: Callable[[JobStatus], None] | None = None,
        metrics: Metrics | None = None,
        on_step: OnStep = no_step,
        clock: Clock = system_clock,
        ports: MakePorts | None = None,
        journal: Journal | None = None,
        target: str = "",
    ) -> None:
        """`on_progress` receives the status about four times per second. `on_step` is called before and after each I/O,
        with the name of the step. `ports`: creates the drivers' ports; None: those of this machine. `journal`: keeps
        the run's log lines; None: `rayflow logs` finds none. `target`: the job file, for display."""
        self._plan = plan
        self._options = options
        self._on_step = on_step
        self._clock = clock
        self._make_ports = ports or machine_ports
        self._ends: Ends = {}
        self._requests = RunRequests(
            options.savepoint_at_stop,
            job=plan.name,
            checkpoints=options.checkpoint_store(plan.name),
            folders=options.folders,
        )
        status = first_status(plan.name, target, options.broker_url, options.checkpoint_store(plan.name))
        self._observer = Observer(status, on_progress, metrics, clock)
        self._server = ControlServer(self._observer.status, self._requests, journal)

    def stop(self) -> None:
        """Stop the job after a final checkpoint. Safe to call from signal handlers and other threads."""
        self._requests.stop()

    def run(self) -> JobStatus:
        """Run until the end (`until_end`), `stop`, or an error. Raises RayflowError; the next run then resumes from the
        last complete checkpoint.

        During the run, other processes of the same user can watch and control it: see `local.control`.
        """
        try:
            ending = self._run()
        except EndedAtOnce:
            status = self._finish("stopped")
        except BaseException as error:
            known = error if isinstance(error, RayflowError) else None
            self._finish("failed", known or InvariantBroken(f"the run ended with {type(error).__name__}"))
            raise
        else:
            status = self._finish("stopped" if ending == "stop" else "done")
        return status

    def _finish(self, state: JobState, error: RayflowError | None = None) -> JobStatus:
        self._requests.close(self._plan.name)
        status = self._observer.finish(state, "" if error is None else str(error), self._requests.last.written)
        self._server.finish(status, error)
        return status

    def _run(self) -> AttemptEnding:
        """Run all attempts. Returns how the last one has ended."""
        options = self._options
        name = self._plan.name
        with JobDirectory(options.job_folder(name), name) as directory, collected_seldom():
            self._server.open(directory.path)
            connectors = OpenConnectors.of_run(options)
            try:
                self._requests.check_at_stop()
                write_samples(self._plan, connectors)
                store = open_store(options.checkpoint_store(name))
                ports = self._make_ports(store, connectors, clock=self._clock, on_step=self._on_step)
                choose_start(self._plan, options, ports)
                fencing = Fencing(store)
                while (ending := self._run_attempt(directory, ports, fencing)) == "restart":
                    log.info("starting a new attempt", job=name)
                self._requests.write_last(store)
                return ending
            finally:
                connectors.close()
                self._server.retract()

    def _run_attempt(self, directory: JobDirectory, ports: Ports, fencing: Fencing) -> AttemptEnding:
        """Run one attempt to its end. Returns how it has ended."""

        def open_state(task: TaskId) -> Store:
            return LmdbStore(directory.task(task))

        def on_epoch(times: EpochTimes) -> None:
            fencing.completed()
            self._observer.on_epoch(times)

        attempt = LocalAttempt(
            self._plan,
            self._options,
            ports,
            open_state,
            ends=self._ends,
            savepoints=self._requests.savepoints,
            queries=self._requests.queries,
            on_epoch=on_epoch,
            on_commit=self._observer.on_commit,
        )
        try:
            attempt.start()
            while attempt.finished is None:
                attempt.step()
                self._requests.take(attempt)
                self._observer.look(attempt)
            self._observer.look(attempt, force=True)
            return attempt.finished.ending
        except Fenced as error:
            if not fencing.continues(attempt.coordinator.coordinator.attempt):
                raise
            log.warning(
                "a process without a newer claim took the publisher's slot: recovering",
                job=self._plan.name,
                reason=error.what,
            )
            return "restart"
        finally:
            attempt.close()

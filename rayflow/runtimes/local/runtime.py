"""The local runtime: runs a whole job in one process, on the calling thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rayflow.checkpoint.manifest import newest_manifest
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.savepoint import write_savepoint
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.clock import Clock, system_clock
from rayflow.core.ids import TaskId
from rayflow.core.logging import get_logger
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.messages import Ends
from rayflow.runtimes.hosting.options import Progress, RunOptions
from rayflow.runtimes.hosting.ports import OnStep, Ports, no_step
from rayflow.runtimes.hosting.samples import write_samples
from rayflow.runtimes.hosting.start import choose_start
from rayflow.runtimes.local.attempt import LocalAttempt
from rayflow.runtimes.local.observer import Observer
from rayflow.runtimes.machine.connectors import OpenConnectors
from rayflow.runtimes.machine.directory import JobDirectory
from rayflow.runtimes.machine.garbage import collected_seldom
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
    ...     progress = LocalRuntime(plan_of(job), RunOptions(state=Path(state), until_end=True)).run()
    >>> progress.state, progress.records_in, progress.records_out
    ('done', 2, 2)
    """

    def __init__(
        self,
        plan: JobPlan,
        options: RunOptions,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        metrics: Metrics | None = None,
        on_step: OnStep = no_step,
        clock: Clock = system_clock,
        ports: MakePorts | None = None,
    ) -> None:
        """`on_progress` is called about four times a second; `on_step` before and after each I/O,
        with its name. `ports`: makes the drivers' ports; None: those of this machine."""
        self._plan = plan
        self._options = options
        self._on_step = on_step
        self._clock = clock
        self._make_ports = ports or machine_ports
        self._stop = False
        self._ends: Ends = {}
        self._observer = Observer(plan, options.broker_url, on_progress, metrics, clock)

    def stop(self) -> None:
        """Stop the job after a final checkpoint. Safe to call from signal handlers and other threads."""
        self._stop = True

    def run(self) -> Progress:
        """Run until the end (`until_end`), `stop`, or an error. Raises RayflowError; the next run then resumes from the
        last complete checkpoint."""
        options = self._options
        name = self._plan.name
        with JobDirectory(options.job_folder(name), name) as directory, collected_seldom():
            connectors = OpenConnectors.of_run(options)
            try:
                write_samples(self._plan, connectors)
                store = open_store(options.checkpoint_store(name))
                choose_start(store, options, name, self._clock)
                ports = self._make_ports(store, connectors, clock=self._clock, on_step=self._on_step)
                while self._run_attempt(directory, ports):
                    log.info("starting a new attempt", job=name)
                if options.savepoint_at_stop is not None:
                    self._write_savepoint(store, options.savepoint_at_stop)
            finally:
                connectors.close()
        return self._observer.finish()

    def _run_attempt(self, directory: JobDirectory, ports: Ports) -> bool:
        """One attempt to its end. True if another one has to follow."""

        def open_state(task: TaskId) -> Store:
            return LmdbStore(directory.task(task))

        attempt = LocalAttempt(
            self._plan, self._options, ports, open_state, ends=self._ends, on_epoch=self._observer.on_epoch
        )
        stopping = False
        try:
            attempt.start()
            while attempt.finished is None:
                attempt.step()
                if self._stop and not stopping:
                    stopping = True
                    attempt.stop()
                self._observer.look(attempt)
            self._observer.look(attempt, force=True)
        finally:
            attempt.close()
        return attempt.finished.restart

    def _write_savepoint(self, store: CheckpointStore, uri: str) -> None:
        manifest = newest_manifest(store)
        if manifest is None:
            return
        write_savepoint(store, manifest, open_store(uri))
        log.info("savepoint written", job=self._plan.name, epoch=manifest.epoch, uri=uri)

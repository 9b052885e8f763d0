"""The local runtime: a whole job in one process, on the calling thread."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from rayflow.checkpoint.manifest import newest_manifest
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.savepoint import write_savepoint
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.clock import Clock, system_clock
from rayflow.core.errors import RayflowError
from rayflow.core.ids import TaskId
from rayflow.core.logging import get_logger
from rayflow.core.topics import ConnectorSpec
from rayflow.engine.coordinator import Coordinator
from rayflow.engine.coordinator_options import CoordinatorOptions
from rayflow.engine.events import PartitionsAdded
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.connectors import Connectors
from rayflow.runtimes.garbage import collected_seldom
from rayflow.runtimes.local.attempt import Attempt
from rayflow.runtimes.local.background import Background
from rayflow.runtimes.local.directory import JobDirectory
from rayflow.runtimes.local.hosting import Hosting
from rayflow.runtimes.local.observer import Observer
from rayflow.runtimes.local.sources import Sources
from rayflow.runtimes.messages import Ends
from rayflow.runtimes.options import Progress, RunOptions
from rayflow.runtimes.samples import write_samples
from rayflow.runtimes.start import choose_start
from rayflow.state.base import Store
from rayflow.state.lmdb_store import LmdbStore

if TYPE_CHECKING:
    from rayflow.core.metrics import Metrics  # it imports a web server

log = get_logger("rayflow.local")

PARTITIONS_EVERY = 10.0
"""Seconds between two looks for new partitions of the sources."""


def no_step(name: str) -> None:
    """What is told of the steps of a run that nobody tests."""


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
        on_step: Callable[[str], None] = no_step,
        clock: Clock = system_clock,
    ) -> None:
        """`on_progress` is called about four times a second; `on_step` before and after everything that is done to
        the outside world, with its name."""
        self._plan = plan
        self._options = options
        self._on_step = on_step
        self._clock = clock
        self._stop = False
        self._ends: Ends = {}
        self._broker = options.broker or f"embedded:{options.state.absolute() / 'log'}"
        self._observer = Observer(plan, self._broker, on_progress, metrics, clock)

    def stop(self) -> None:
        """Ask for a last checkpoint and the end. Safe from signal handlers and other threads."""
        self._stop = True

    def run(self) -> Progress:
        """Run until the end (`until_end`), `stop`, or an error. Raises RayflowError; the state is then that of the
        last complete checkpoint, and another run goes on from there."""
        options = self._options
        with JobDirectory(options.state, self._plan.name) as directory, collected_seldom():
            connectors = Connectors(ConnectorSpec(self._broker, tuple(sorted(options.broker_config.items()))))
            try:
                write_samples(self._plan, connectors)
                store = open_store(options.checkpoints or directory.checkpoints)
                choose_start(store, self._options, self._plan.name, self._clock)
                while self._run_attempt(directory, connectors, store):
                    log.info("starting a new attempt", job=self._plan.name)
                if options.savepoint_at_stop is not None:
                    self._write_savepoint(store, options.savepoint_at_stop)
            finally:
                connectors.close()
        return self._observer.finish()

    def _run_attempt(self, directory: JobDirectory, connectors: Connectors, store: CheckpointStore) -> bool:
        """One attempt to its end. True if another one has to follow."""
        sources = Sources(self._plan, connectors, self._clock)
        coordinator = Coordinator(
            self._plan,
            sources.partitions(),
            CoordinatorOptions(
                lineage=uuid.uuid4().hex,
                interval=self._options.checkpoint_interval or self._plan.checkpoint_interval,
                drop_state=self._options.drop_state,
                allow_new_partitions=self._options.allow_new_partitions,
                systems=sources.systems(),
                new_lineage=self._options.new_lineage,
                lost_marker=self._options.lost_marker,
            ),
        )

        def open_task_store(task: TaskId) -> Store:
            return LmdbStore(directory.task(task))

        hosting = Hosting(
            self._plan, store, open_task_store, clock=self._clock, memory_limit=self._options.memory_limit
        )
        attempt = Attempt(
            self._plan,
            self._options,
            coordinator,
            hosting,
            sources,
            connectors,
            store,
            ends=self._ends,
            clock=self._clock,
            on_step=self._on_step,
            on_epoch=self._observer.on_epoch,
        )
        watch = _PartitionWatch(self._plan, connectors, sources)
        stopping = False
        try:
            attempt.start()
            while attempt.finished is None:
                attempt.step()
                if self._stop and not stopping:
                    stopping = True
                    attempt.stop()
                elif watch.gained():
                    log.info("a source has more partitions", job=self._plan.name)
                    attempt.tell(PartitionsAdded())
                self._observer.look(attempt)
            self._observer.look(attempt, force=True)
        finally:
            watch.close()
            attempt.close()
        return attempt.finished.restart

    def _write_savepoint(self, store: CheckpointStore, uri: str) -> None:
        manifest = newest_manifest(store)
        if manifest is None:
            return
        write_savepoint(store, manifest, open_store(uri))
        log.info("savepoint written", job=self._plan.name, epoch=manifest.epoch, uri=uri)


class _PartitionWatch:
    """Looks now and then, off the loop, whether a source has gained partitions."""

    def __init__(self, plan: JobPlan, connectors: Connectors, sources: Sources) -> None:
        self._sources = sources
        self._background = Background()
        self._gained = False
        self._next = time.monotonic() + PARTITIONS_EVERY

    def gained(self) -> bool:
        """True once, when a source has more partitions than the attempt reads."""
        self._background.collect()
        if time.monotonic() >= self._next and not self._background.waiting:
            self._next = time.monotonic() + PARTITIONS_EVERY
            self._background.call(self._look, self._compare)
        gained, self._gained = self._gained, False
        return gained

    def _look(self) -> dict[str, int] | None:
        try:
            return self._sources.partitions()
        except RayflowError:  # an outage is told by whoever reads and publishes; here it only means: look again later
            return None

    def _compare(self, found: dict[str, int] | None) -> None:
        if found is None:
            return
        placed = self._sources.placed()
        self._gained = any(count > placed.get(source, count) for source, count in found.items())

    def close(self) -> None:
        """Stop looking."""
        self._background.close()

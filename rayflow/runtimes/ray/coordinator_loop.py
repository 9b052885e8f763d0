"""The thread of the coordinator's process: one attempt after the other, until the job ends."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray

from rayflow.checkpoint.manifest import Manifest, newest_manifest
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.savepoint import write_savepoint
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.clock import system_clock
from rayflow.core.errors import BrokerUnavailable, RayflowError, UnknownTopic, WorkerLost
from rayflow.core.ids import TaskId, WorkerId
from rayflow.core.logging import get_logger
from rayflow.core.topics import ConnectorSpec
from rayflow.engine.coordinator import Coordinator
from rayflow.engine.coordinator_options import CoordinatorOptions
from rayflow.engine.events import BarrierRequested, PartitionsAdded, SourcesExhausted, StopRequested
from rayflow.engine.topology import Topology
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.connectors import Connectors
from rayflow.runtimes.hosted_coordinator import HostedCoordinator
from rayflow.runtimes.local.background import Background
from rayflow.runtimes.local.sinks import Sinks
from rayflow.runtimes.local.sources import Sources
from rayflow.runtimes.messages import Failed
from rayflow.runtimes.ray.deployment import ENDED, Deployment, read_deployment, write_deployment
from rayflow.runtimes.ray.journal import Journal, LogLines
from rayflow.runtimes.ray.metrics import JobMetrics
from rayflow.runtimes.ray.pool import Pool, cpus
from rayflow.runtimes.ray.restarts import Restarts
from rayflow.runtimes.ray.spec import JobSpec
from rayflow.runtimes.ray.status import JobStatus, WorkerStatus
from rayflow.runtimes.ray.worker_actor import Peers
from rayflow.runtimes.samples import write_samples
from rayflow.runtimes.start import choose_start

log = get_logger("rayflow.coordinator")

WAIT = 0.005
"""Seconds that a turn without work waits for a message."""
CHECK_EVERY = 0.1
PARTITIONS_EVERY = 10.0


@dataclass(slots=True)
class Savepoint:
    """A savepoint that somebody waits for."""

    uri: str
    epoch: int | None = None
    error: Exception | None = None
    written: bool = False


class CoordinatorLoop:
    """Takes a job from its submission to its end. `run` on a thread of its own; the rest from any thread."""

    def __init__(self, spec: JobSpec, me: Any, journal: Journal) -> None:
        self.journal = journal
        self.pool = Pool(spec, me)
        self.status = JobStatus(
            spec.name,
            "starting",
            submission=spec.submission,
            target=spec.target,
            broker=spec.broker,
            checkpoints=spec.checkpoints,
            since=time.time(),
        )
        self.ended = threading.Event()
        self.error: Exception | None = None
        self._spec = spec
        self._restarts = Restarts(spec.max_restarts)
        self._connectors = Connectors(ConnectorSpec(spec.broker, tuple(sorted(spec.options.broker_config.items()))))
        self._requests: deque[Callable[[], None]] = deque()
        self._wake = threading.Event()
        self._hosted: HostedCoordinator | None = None
        self._placement: dict[TaskId, WorkerId] = {}
        self._workers = spec.workers
        self._ending: str | None = None
        self._savepoint_at_end = spec.options.savepoint_at_stop
        self._savepoints: list[Savepoint] = []
        self._fault: float | None = None
        self._pause: float | None = None
        self._committed = False
        self._started_once = False
        self._partitions = Background()
        self._metrics = JobMetrics(spec.name, spec.broker)
        self._gone = (0, 0, 0)
        self._rates: deque[tuple[float, int, int]] = deque(maxlen=50)

    # From other threads

    def post(self, slot: WorkerId, generation: int, number: int, attempt: int, body: object) -> None:
        """A worker said something."""
        self.pool.post(slot, generation, number, attempt, body)
        self._wake.set()

    def request(self, call: Callable[[], None]) -> None:
        """Have the loop's thread do something."""
        self._requests.append(call)
        self._wake.set()

    def stop(self, *, drain: bool, savepoint: str | None) -> None:
        """End the job after a last checkpoint, with everything fired if `drain`."""
        self._ending = "drain" if drain else "stop"
        self._savepoint_at_end = savepoint or self._savepoint_at_end
        self.status.state = "stopping"
        self._tell_ending()

    def rescale(self, workers: int) -> None:
        """Go on with this many workers."""
        if workers != self._workers:
            log.info("rescaling", job=self._spec.name, before=self._workers, after=workers)
            self._workers = workers
            self._save("running")
            self.pool.resize(range(workers))  # they begin while the tasks still run
            self.status.state = "rescaling"

    def savepoint(self, savepoint: Savepoint) -> None:
        """Write a savepoint of the next checkpoint."""
        self._savepoints.append(savepoint)
        if self._hosted is not None and self._hosted.started:
            self._hosted.tell(BarrierRequested(0))

    @property
    def settled(self) -> bool:
        """Whether the job runs with the workers that are wanted."""
        hosted = self._hosted
        return hosted is not None and hosted.started and len(hosted.workers) == self._workers

    # The thread

    def run(self) -> None:
        """The job's life."""
        try:
            self._live()
        except RayflowError as error:
            error.job = error.job or self._spec.name
            self._fail(error)
        except Exception as error:  # a fault of ours or of a library: kept as the cause of the job's end
            log.exception("the coordinator has failed", job=self._spec.name)
            self._fail(error)
        finally:
            self.pool.close()
            self._partitions.close()
            self._connectors.close()
            self._metrics.close()
            self.ended.set()

    def _live(self) -> None:
        store = open_store(self._spec.checkpoints)
        self._store = store
        before = read_deployment(store)
        if before is not None and before.submission == self._spec.submission:
            if before.state in ENDED:  # this coordinator's process died after the job's end
                self.status.state, self.status.cause = before.state, before.cause
                return
            self._workers = before.workers
            self._fault = time.monotonic()
        plan = self._spec.plan()
        again = before is not None and before.submission == self._spec.submission
        if self._spec.metrics_port is not None:
            self._metrics.serve(self._spec.metrics_port, self._spec.metrics_address, again=again)
        if not again:
            write_samples(plan, self._connectors)
            choose_start(store, self._spec.options, self._spec.name, system_clock)
            self._workers = self._spec.workers or self._default_workers(plan)
            self._save("running")
        while True:
            try:
                if not self._attempt(plan, store):
                    break
            except (RayflowError, ray.exceptions.RayError) as error:
                self._recover(error)
        if self._savepoint_at_end is not None:
            self._write_savepoint(Savepoint(self._savepoint_at_end))
        self._end("done" if self._ending != "stop" else "stopped")

    def _attempt(self, plan: JobPlan, store: CheckpointStore) -> bool:
        """One attempt to its end. True if another one has to follow."""
        self._committed = False
        slots = tuple(range(self._workers))
        self._see_losses()
        self.pool.resize(slots)
        while not self.pool.ready(slots):
            if self._ending is not None:
                return False
            self._serve()
            self.pool.check()
            self._wait()
        self.pool.shrink(slots)
        sources = Sources(plan, self._connectors)
        options = self._spec.options
        coordinator = Coordinator(
            plan,
            sources.partitions(),
            CoordinatorOptions(
                lineage=uuid.uuid4().hex,
                interval=options.checkpoint_interval or plan.checkpoint_interval,
                workers=slots,
                drop_state=options.drop_state,
                allow_new_partitions=options.allow_new_partitions,
                systems=sources.systems(),
                new_lineage=options.new_lineage,
                lost_marker=options.lost_marker,
            ),
        )
        hosted = HostedCoordinator(
            plan,
            coordinator,
            slots,
            store,
            retain=options.retain,
            clock=system_clock,
            earlier=self._placement,
            send=self._send,
            create_topics=partial(self._create_topics, plan),
            on_commit=self._on_commit,
        )
        self._hosted = hosted
        self._met = 0
        try:
            hosted.start()
            return self._drive(plan, hosted, sources)
        finally:
            self._hosted = None
            hosted.close()

    def _see_losses(self) -> None:
        """Take out every worker that is known to be gone."""
        while True:
            try:
                self.pool.check()
            except WorkerLost as error:
                log.warning("a worker is lost", job=self._spec.name, reason=error.what)
            else:
                return

    def _drive(self, plan: JobPlan, hosted: HostedCoordinator, sources: Sources) -> bool:
        next_check = next_look = 0.0
        told_end = False
        while hosted.finished is None:
            worked = hosted.step()
            for _, attempt, body in self.pool.messages():
                worked = True
                if isinstance(body, LogLines):
                    self.journal.add(body.lines)
                elif attempt == hosted.coordinator.attempt:
                    if isinstance(body, Failed):
                        raise body.error
                    hosted.receive(body)
                    self._metrics.received(body)
            self._serve()
            now = time.monotonic()
            if now >= next_check:
                next_check = now + CHECK_EVERY
                self.pool.check()
                if hosted.started and not told_end:
                    told_end = self._tell_changes(hosted)
                self._show(plan, hosted)
            if hosted.started:
                self._placement = hosted.placement
                if not self._started_once or self.status.state in ("starting", "recovering"):
                    self._started_once = True
                    self.status.state = "running"
                if now >= next_look:
                    next_look = now + PARTITIONS_EVERY
                    self._look_for_partitions(hosted, sources)
            self._partitions.collect()
            if not worked:
                self._wait()
        self.pool.look(timeout=1.0)
        self._sum_up()
        if hosted.finished.restart:
            self._pause = time.monotonic()
        return hosted.finished.restart

    def _tell_changes(self, hosted: HostedCoordinator) -> bool:
        """Tell the coordinator what is wanted: an end, or other workers once they are ready. True if it was told."""
        if self._ending is not None:
            self._tell_ending()
            return True
        slots = range(self._workers)
        if set(slots) != set(hosted.workers) and self.pool.ready(slots):
            hosted.tell(PartitionsAdded())
            return True
        return False

    def _tell_ending(self) -> None:
        hosted = self._hosted
        if hosted is not None and hosted.started and self._ending is not None:
            hosted.tell(SourcesExhausted() if self._ending == "drain" else StopRequested())

    def _serve(self) -> None:
        while self._requests:
            self._requests.popleft()()

    def _wait(self) -> None:
        self._wake.wait(WAIT)
        self._wake.clear()

    def _send(self, slot: WorkerId, body: object) -> None:
        assert self._hosted is not None
        attempt = self._hosted.coordinator.attempt
        if attempt != self._met:
            self._met = attempt
            peers = Peers(self.pool.addresses())
            for each in range(self._workers):
                self.pool.tell(each, attempt, peers)
        self._metrics.sent(body)
        self.pool.tell(slot, attempt, body)

    def _recover(self, error: Exception) -> None:
        """Decide what follows a failed attempt. Raises `error` when nothing does."""
        if not isinstance(error, RayflowError):
            error = WorkerLost(f"a call through Ray has failed: {type(error).__name__}", job=self._spec.name)
        if self._fault is None:
            self._fault = time.monotonic()
        delay = self._restarts.after(error, progressed=self._committed)
        if delay is None or (isinstance(error, BrokerUnavailable) and not self._started_once):
            raise error
        log.warning("recovering", job=self._spec.name, reason=str(error), delay=delay)
        self.status.state, self.status.cause = "recovering", str(error)
        until = time.monotonic() + delay
        while time.monotonic() < until and self._ending is None:
            self._serve()
            self._wait()

    def _on_commit(self, manifest: Manifest) -> None:
        self._committed = True
        now = time.monotonic()
        if self._fault is not None:
            self.status.recoveries.append(now - self._fault)
            self._fault = None
        if self._pause is not None:
            self.status.pauses.append(now - self._pause)
            self._pause = None
        status = self.status
        status.epoch, status.committed, status.checkpoint_bytes = manifest.epoch, time.time(), manifest.bytes
        if self._hosted is not None:
            self._metrics.committed(manifest, self._hosted.workers)
        if status.state in ("recovering", "rescaling"):
            status.state, status.cause = "running", ""
        for savepoint in self._savepoints:
            self._write_savepoint(savepoint, manifest)
        self._savepoints.clear()

    def _write_savepoint(self, savepoint: Savepoint, manifest: Manifest | None = None) -> None:
        try:
            manifest = newest_manifest(self._store) if manifest is None else manifest
            if manifest is not None:
                write_savepoint(self._store, manifest, open_store(savepoint.uri))
                savepoint.epoch = manifest.epoch
                log.info("savepoint written", job=self._spec.name, epoch=manifest.epoch, uri=savepoint.uri)
        except RayflowError as error:
            savepoint.error = error
        savepoint.written = True

    def _default_workers(self, plan: JobPlan) -> int:
        """A worker per partition of the widest source, as long as CPUs last."""
        widest = max(Sources(plan, self._connectors).partitions().values(), default=1)
        free, _ = cpus()
        return max(1, min(widest, int(free // self._spec.cpus) if self._spec.cpus else widest))

    def _create_topics(self, plan: JobPlan, topology: Topology) -> None:
        sinks = Sinks(plan, self._connectors)
        for topic in sinks.create_topics(topology):
            log.info("created a topic", job=self._spec.name, topic=topic)
        sinks.close()

    def _look_for_partitions(self, hosted: HostedCoordinator, sources: Sources) -> None:
        def look() -> dict[str, int] | None:
            try:
                return sources.partitions()
            except (BrokerUnavailable, UnknownTopic):  # told by whoever reads; here it only means: look again later
                return None

        def compare(found: dict[str, int] | None) -> None:
            known = {} if hosted.topology is None else hosted.topology.sources
            if found is not None and any(count > known.get(source, count) for source, count in found.items()):
                log.info("a source has more partitions", job=self._spec.name)
                hosted.tell(PartitionsAdded())

        if not self._partitions.waiting:
            self._partitions.call(look, compare)

    def _show(self, plan: JobPlan, hosted: HostedCoordinator) -> None:
        self.status.attempt = hosted.coordinator.attempt
        self.status.attempts = self._restarts.total + 1
        self.status.stages = {} if hosted.topology is None else dict(hosted.topology.stages)
        self.status.epoch_ms = self._metrics.epoch_seconds * 1000
        self._metrics.look(self.status.attempt, {slot: m.vitals for slot, m in self.pool.members.items()})
        self._sum_up()

    def _sum_up(self) -> None:
        """Put together what the workers have told of themselves."""
        status, now = self.status, time.monotonic()
        status.workers = []
        lags, watermarks, outages = [], [], []
        records_in, records_out, errors = self._gone
        for slot, member in sorted(self.pool.members.items()):
            vitals, birth = member.vitals, member.birth
            if birth is None:
                continue
            heard = now - member.heard
            status.workers.append(
                WorkerStatus(
                    slot,
                    birth.host,
                    birth.node,
                    birth.pid,
                    vitals.tasks,
                    vitals.records_in,
                    vitals.records_out,
                    vitals.busy,
                    vitals.backpressured,
                    vitals.memory,
                    heard,
                )
            )
            records_in += vitals.records_in
            records_out += vitals.records_out
            errors += vitals.errors
            lags.append(vitals.lag)
            watermarks.append(vitals.watermark)
            outages.append(vitals.outage)
        if status.state in ("running", "waiting"):
            outage = next((outage for outage in outages if outage), None)
            status.state, status.cause = ("waiting", outage) if outage else ("running", "")
        self._rates.append((now, records_in, records_out))
        first = self._rates[0]
        passed = max(now - first[0], 1e-9)
        status.rates = ((records_in - first[1]) / passed, (records_out - first[2]) / passed)
        status.records_in, status.records_out, status.errors = records_in, records_out, errors
        known = [lag for lag in lags if lag is not None]
        status.lag = sum(known) if known else None
        marks = [mark for mark in watermarks if mark is not None]
        status.watermark = min(marks) if marks else None

    def _fail(self, error: Exception) -> None:
        self.error = error
        self.status.cause = str(error)
        log.error("the job has failed", job=self._spec.name, reason=str(error))
        self._end("failed")

    def _end(self, state: Any) -> None:
        self.status.state = state
        with contextlib.suppress(RayflowError):  # the end is kept in memory as well
            self._save(state)
        log.info("ended", job=self._spec.name, state=state)

    def _save(self, state: Any) -> None:
        write_deployment(self._store, Deployment(self._spec.submission, self._workers, state, self.status.cause))

"""The coordinator of one attempt: starts it, runs its epochs, ends it. Pure: events in, orders out.

docs/concepts/exactly-once.md describes the protocol, with the names used here: `engine.startup` has the steps of a
start, `engine.epochs` those of an epoch.
"""

from __future__ import annotations

from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import Attempt, Epoch
from rayflow.engine.barrier_schedule import AttemptEnding, BarrierSchedule
from rayflow.engine.coordinator_options import CoordinatorOptions
from rayflow.engine.epochs import Epochs
from rayflow.engine.events import (
    BarrierRequested,
    BaseWritten,
    CoordinatorEvent,
    EndRequested,
    EpochDone,
    ManifestConflict,
    ManifestWritten,
    PartitionsAdded,
    PublishedRecorded,
    SegmentAcked,
    SourcesExhausted,
    TasksStarted,
    Tick,
)
from rayflow.engine.orders import Order
from rayflow.engine.phase import Phase
from rayflow.engine.startup import Startup
from rayflow.plan.physical import JobPlan


class Coordinator:
    """Runs one attempt from its claim to its end. One epoch is in flight at a time.

    Call `start()` first. An error that it raises ends the attempt; orders that it returned before remain valid.
    """

    def __init__(self, plan: JobPlan, options: CoordinatorOptions) -> None:
        self._plan = plan
        self._options = options
        self._startup = Startup(plan, options)
        self._barriers = BarrierSchedule(options.interval)
        self._epochs: Epochs | None = None

    def start(self) -> list[Order]:
        """Start the attempt."""
        return self._startup.begin()

    def handle(self, event: CoordinatorEvent) -> list[Order]:
        """Handle one event. Raises Fenced, and the errors of `engine.recovery` and `engine.topology`."""
        match event:
            case Tick():
                self._barriers.now = event.now
                return self._tick(event.changed)
            case BarrierRequested():
                self._barriers.request()
                return self._tick(True)
            case SourcesExhausted():
                return self._end("complete" if self._options.keep_open else "drain")
            case EndRequested(ending):
                self._barriers.end_job(ending)
                return self._tick(True)
            case PartitionsAdded():
                return self._end("restart")
            case TasksStarted():
                return self._run(event)
            case (
                SegmentAcked()
                | ManifestWritten()
                | ManifestConflict()
                | EpochDone()
                | PublishedRecorded()
                | BaseWritten()
            ):
                if self._epochs is None:
                    raise InvariantBroken(f"{type(event).__name__} before tasks were started", job=self._plan.name)
                return self._epochs.handle(event)
            case _:
                return self._startup.handle(event)

    @property
    def phase(self) -> Phase:
        """The attempt's phase."""
        return self._startup.phase if self._epochs is None else self._epochs.phase

    @property
    def attempt(self) -> Attempt:
        """The attempt's number; 0 until it is claimed."""
        return self._startup.attempt

    @property
    def lineage(self) -> str:
        """The lineage being resumed or started; empty until recovery has decided."""
        return "" if self._startup.point is None else self._startup.point.lineage

    @property
    def epoch(self) -> Epoch:
        """The last epoch whose barrier was sent; 0 until recovery has found the starting point."""
        if self._epochs is not None:
            return self._epochs.epoch
        return 0 if self._startup.point is None else self._startup.point.epoch

    @property
    def final_barrier_sent(self) -> bool:
        """Whether the last barrier was sent: records read after it are not processed in this attempt."""
        return self._epochs is not None and self._epochs.final is not None

    def _run(self, event: TasksStarted) -> list[Order]:
        self._startup.handle(event)
        point = self._startup.point
        assert point is not None
        self._epochs = Epochs(self._plan, self._options, self.attempt, point, self._barriers)
        return self._epochs.begin()

    def _end(self, ending: AttemptEnding) -> list[Order]:
        self._barriers.end(ending)
        return self._tick(True)

    def _tick(self, changed: bool) -> list[Order]:
        return [] if self._epochs is None else self._epochs.tick(changed)

    def validate(self) -> None:
        """Raises InvariantBroken for an invalid state. Tests call it after each step."""
        if self._epochs is not None:
            self._epochs.validate()

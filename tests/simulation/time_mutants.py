"""Deliberate faults in event time and in what an attempt must get done, beside those of the protocol in `mutants`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from typing import Any

from rayflow.core.ids import WATERMARK_MIN
from rayflow.engine.barrier_schedule import BarrierSchedule
from rayflow.engine.event_time import ChannelTimes, EventTime
from rayflow.engine.worker import Worker
from rayflow.runtimes.hosting.sinks import Sinks
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.jobs import Shape
from tests.simulation.mutants import SMALL, Mutant, Patch


def lowest_input_taken_for_the_highest(patch: Patch) -> None:
    def highest(self: EventTime) -> bool:
        advance(self)
        active = [stream.watermark for id, stream in self._streams.items() if id not in self._idle_streams]
        active += [mark for times in self._exchanges.values() if (mark := times.lowest()) is not None]
        before, self.watermark = self.watermark, max([*active, self.watermark])
        self.entries.update(dict.fromkeys(self.entries, self.watermark))
        return self.watermark > before

    advance = EventTime.advance
    patch.setattr(EventTime, "advance", highest)


def event_time_stands_still(patch: Patch) -> None:
    advance = EventTime.advance
    patch.setattr(EventTime, "advance", lambda self: self.watermark == WATERMARK_MIN and advance(self))


def idle_partitions_hold_time_back(patch: Patch) -> None:
    patch.setattr(EventTime, "look", lambda self, since, until, undelivered=(): None)


def idle_channels_hold_time_back(patch: Patch) -> None:
    patch.setattr(EventTime, "on_idle", lambda self, channel: None)


def idle_until_the_next_look(patch: Patch) -> None:
    patch.setattr(EventTime, "on_records", lambda self, stream: None)


def idle_channels_stay_idle(patch: Patch) -> None:
    on_watermark = ChannelTimes.on_watermark

    def still(self: ChannelTimes, channel: Any, watermark: int) -> None:
        was_idle = channel in self.idle
        on_watermark(self, channel, watermark)
        if was_idle:
            self.idle.add(channel)

    patch.setattr(ChannelTimes, "on_watermark", still)


def records_alone_are_no_change(patch: Patch) -> None:
    handle = Worker.handle

    def only_state(self: Worker, event: Any) -> Any:
        actions = handle(self, event)
        self.changed = self.changed and any(task.state.pending_rows for task in self.tasks.values())
        return actions

    patch.setattr(Worker, "handle", only_state)


def checkpoints_only_when_asked_for(patch: Patch) -> None:
    due = BarrierSchedule.due

    def never_due(self: BarrierSchedule, changed: bool) -> bool:
        self._last = self.now
        return due(self, changed)

    patch.setattr(BarrierSchedule, "due", never_due)


def publishing_takes_its_time(patch: Patch) -> None:
    publish = Sinks.publish

    def slowly(self: Sinks, *what: Any) -> Iterator[str]:
        yield from repeat("waiting", 1000)
        yield from publish(self, *what)

    patch.setattr(Sinks, "publish", slowly)


IDLING = Shape(
    partitions=4, stages=3, branches=("windows",), filtered=False, disorder=1, window=200, timer=1, interval=100,
    idle=300, other=2, lag=100,
)  # fmt: skip
STATELESS = replace(SMALL, partitions=2, branches=("pass",))

TIME_MUTANTS = [
    Mutant("lowest input taken for the highest", lowest_input_taken_for_the_highest, 20),
    Mutant("event time stands still", event_time_stands_still, 20),
    Mutant("idle partitions hold time back", idle_partitions_hold_time_back, 20, IDLING, Faults()),
    Mutant("idle channels hold time back", idle_channels_hold_time_back, 20, IDLING, Faults()),
    Mutant("idle until the next look", idle_until_the_next_look, 20),
    Mutant("idle channels stay idle", idle_channels_stay_idle, 20),
    Mutant("records alone are no change", records_alone_are_no_change, 30),
    Mutant("no checkpoints of a stateless job", records_alone_are_no_change, 5, STATELESS),
    Mutant("checkpoints only when asked for", checkpoints_only_when_asked_for, 20),
    Mutant("publishing takes its time", publishing_takes_its_time, 20),
]

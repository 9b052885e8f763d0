"""Windows of event time: an aggregate, or a fold, per key and window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any

from rayflow.api.specs.window import WINDOWS, WindowSpec
from rayflow.core.batch import Batch
from rayflow.core.ids import WATERMARK_MAX, WATERMARK_MIN
from rayflow.core.outputs import LATE, OUT, Input
from rayflow.operators.base import Operator, OperatorContext, Outputs, Passing
from rayflow.operators.failing import DeadLetters, Failures, without
from rayflow.operators.loops import Loops
from rayflow.operators.reducing import results_of
from rayflow.operators.registry import runs

Loader = Callable[[Any], Any]
OpenWindow = tuple[int, int, dict[Any, Any], Loader]
"""A window's start and end (ms), its rows in the open epoch, and the function that loads an earlier row."""


@runs(WindowSpec)
class WindowOperator(Operator):
    """Keeps one accumulator per key and window in the state "windows", whose namespaces are the windows' ends.

    A window [start, end) takes records until the watermark reaches end + grace. A record is compared with the
    operator's watermark or, if it was behind it, the watermark that its source partition had when it was read
    (`Batch.lateness`), whichever is higher. So results do not depend on how the input was cut into batches. A record
    that is late for all its windows is counted once, and goes to the LATE output unchanged, if that output is used.

    emit="final": when a window closes, one result per key, with the timestamp end - 1, windows in order of their end,
    keys in order of their encoding. emit="updates": the new result for each record and window at once, with the
    record's timestamp; nothing is emitted when the window closes. The result of a fold is its accumulator, without the
    window's bounds.
    """

    def __init__(self, spec: WindowSpec) -> None:
        self.spec = spec
        self.updates = spec.emit == "updates"
        # A final result has the time of its window's end, and is emitted when event time is later by the grace.
        self.held = 0 if self.updates else spec.grace
        self.tumbles = spec.window.size == spec.window.every
        loops = Loops(spec.reducer)
        self.loop = loops.tumbling(spec.window, self.updates) if self.tumbles else loops.hopping(self.updates)
        self.finish = loops.finish(windowed=True, dropped=True)

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self.table = context.state.nested(context.operator, WINDOWS.name)
        self.failures = Failures(context, self.spec.reducer.on_error)
        self.watermark = WATERMARK_MIN

    def process(self, batch: Batch, input: Input) -> Outputs:
        outputs: list[tuple[str, Batch]] = []
        limits = self._limits(batch)
        if limits is not None:
            batch, limits = self._set_late_apart(batch, limits, outputs)
            if not batch:
                return outputs
        if self.tumbles:
            dead, results = self._tumble(batch)
        else:
            dead, results = self._hop(batch, limits)
        outputs += dead
        if self.updates:
            outputs.append((OUT, results))
        return outputs

    def on_watermark(self, watermark: int, inputs: Mapping[Input, int]) -> Passing:
        latest = self.watermark
        for end in self.table.namespaces(watermark - self.spec.grace):
            if not self.updates:
                items = self.table.scan(end)
                yield from results_of(
                    self.finish, self.failures, items, repeat(end - 1), end - self.spec.window.size, end
                )
            self.table.drop(end)
            latest = end + self.spec.grace
        # The end of a bounded run closes all windows, but records of a later run are not behind it.
        ended = watermark >= WATERMARK_MAX
        self.watermark = latest if ended else watermark
        return watermark if ended else watermark - self.held

    def given_for(self, passed: int) -> int:
        return passed + self.held

    def last_event_time(self) -> int | None:
        ends = self.table.namespaces()
        return ends[-1] + self.spec.grace if ends else None

    def _limits(self, batch: Batch) -> list[int] | None:
        """The watermark to compare with each record; None if no record of the batch can be late for any window."""
        watermark, lateness = self.watermark, batch.lateness
        if lateness is not None:
            return [own if own > watermark else watermark for own in lateness]
        window = self.spec.window
        oldest = min(batch.timestamps)
        first_end = (oldest - window.size) // window.every * window.every + window.every + window.size
        if first_end + self.spec.grace > watermark:
            return None
        return [watermark] * len(batch)

    def _set_late_apart(
        self, batch: Batch, limits: list[int], outputs: list[tuple[str, Batch]]
    ) -> tuple[Batch, list[int]]:
        """The records that are in time for at least their last window, the one that begins last."""
        every = self.spec.window.every
        open_for = self.spec.window.size + self.spec.grace
        in_time = [
            stamp - stamp % every + open_for > limit for stamp, limit in zip(batch.timestamps, limits, strict=True)
        ]
        late = in_time.count(False)
        if not late:
            return batch, limits
        self.context.counters.late += late
        if self.spec.late:
            outputs.append((LATE, batch.select([not timely for timely in in_time])))
        return batch.select(in_time), [limit for limit, timely in zip(limits, in_time, strict=True) if timely]

    def _tumble(self, batch: Batch) -> tuple[DeadLetters, Batch]:
        results: list[Any] = []
        remaining = iter(batch.keys)
        records = zip(remaining, batch.values, batch.timestamps)  # noqa: B905 - columns of one length
        run, table = self.loop.run, self.table

        def open_window(end: int) -> tuple[dict[Any, Any], Loader]:
            return table.rows(end), partial(table.load, end)

        rejected, dead = self.failures.each(batch, remaining, lambda: run(records, open_window, results.append))
        if not self.updates:
            return dead, batch
        return dead, without(batch, rejected).with_results(results)

    def _hop(self, batch: Batch, limits: Sequence[int] | None) -> tuple[DeadLetters, Batch]:
        results: list[Any] = []
        keys: list[Any] = []
        timestamps: list[int] = []
        emits = (results.append, keys.append, timestamps.append)
        remaining = iter(batch.keys)
        each_limit = repeat(self.watermark) if limits is None else limits
        records = zip(remaining, batch.values, batch.timestamps, each_limit)  # noqa: B905 - as above
        run, opened = self.loop.run, self._open_windows
        _, dead = self.failures.each(batch, remaining, lambda: run(records, opened, *emits))
        return dead, Batch.made(self.context.origin, keys, results, timestamps)

    def _open_windows(self, timestamp: int, limit: int) -> tuple[int, int, list[OpenWindow]]:
        """The windows of `timestamp` that are open if the watermark is `limit`, oldest first, and the span of
        timestamps [begin, until) that have the same windows."""
        size, every, grace = self.spec.window.size, self.spec.window.every, self.spec.grace
        newest = timestamp - timestamp % every
        ended = (timestamp - size) // every * every + size  # the newest end that is not after `timestamp`
        begin = max(newest, ended)
        until = min(newest, ended) + every
        table = self.table
        windows: list[OpenWindow] = [
            (end - size, end, table.rows(end), partial(table.load, end))
            for end in range(ended + every, newest + size + 1, every)
            if end + grace > limit
        ]
        return begin, until, windows

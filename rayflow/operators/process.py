"""`process`: runs the user's own operator, a ProcessFunction, with state and timers per key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from typing import Any

from rayflow.api.process import ProcessFunction, TimerClock, has_timers
from rayflow.api.specs.process import CLOCK_TIMERS, CLOCK_TTL_TIMERS, TIMERS, TTL_TIMERS, ProcessSpec
from rayflow.api.state import StateDescriptor, states_of
from rayflow.core.batch import Batch
from rayflow.core.errors import InvalidJob, UserFunctionFailed
from rayflow.core.ids import WATERMARK_MAX, WATERMARK_MIN
from rayflow.core.outputs import OUT, Input, Output
from rayflow.operators.base import Operator, OperatorContext, Outputs, Passing
from rayflow.operators.expiry import Sweep, TimeToLive
from rayflow.operators.failing import DeadLetters, Failures, users_line, without
from rayflow.operators.functions import recorded, warn_of_parts
from rayflow.operators.live_state import LiveList, LiveMap, LiveValue
from rayflow.operators.process_context import RecordContext
from rayflow.operators.reducing import CHUNK
from rayflow.operators.registry import runs
from rayflow.operators.timers import Timers


@runs(ProcessSpec)
class ProcessOperator(Operator):
    """One instance of the function per task. Results have the record's key, timestamp and headers, or the key and time
    of the timer.

    A failed record emits nothing. If the job continues (`on_error`), changes to state that the function made before it
    raised are kept. A failure in `on_timer` is an error of that timer.

    State: each declared state under its own name, timers under "timers" and "timers.processing", the internal timers of
    TTLs under "timers.ttl" and "timers.ttl-processing".
    """

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self._looked = False

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self.failures = Failures(context, self.spec.on_error)
        self.timer_failures = Failures(context, self.spec.on_error, during="a timer")
        self.watermark = WATERMARK_MIN
        self.function: ProcessFunction[Any, Any, Any] = self._make()
        self.timers = self._open_timers()
        why = "its class has no on_timer" if self.spec.keyed else "the stream is not keyed"
        self.moment = RecordContext(context.operator, context.clock, self.timers, why)
        self.sweep: Sweep | None = None
        self.live: dict[str, LiveValue | LiveList | LiveMap] = {}
        for descriptor in states_of(type(self.function)):
            self._bind(descriptor)

    def process(self, batch: Batch, input: Input) -> Outputs:
        moment, run = self.moment, self.function.process
        first: list[Any] | None = None
        if not self._looked:
            self._looked, first = True, []
            run = recorded(run, first)
        moment.place(batch.origin, self.watermark, self.watermark)
        produced: list[list[Any]] = []
        remaining = iter(batch.values)
        headers = repeat(None) if batch.headers is None else batch.headers
        records = zip(remaining, batch.keys, batch.timestamps, batch.offsets, headers)  # noqa: B905 - of one length

        def step() -> None:
            for value, moment.key, moment.timestamp, moment.offset, own in records:
                moment.headers = [] if own is None else list(own)
                results = run(value, moment)
                produced.append([] if results is None else list(results))

        rejected, dead = self.failures.each(batch, remaining, step)
        self._expect_states()
        if first is not None:
            warn_of_parts(self.context, "process()", first, (str, bytes, dict))
        kept = without(batch, rejected)
        indexes = list(chain.from_iterable(map(repeat, range(len(produced)), map(len, produced))))
        return (*dead, (OUT, kept.take(indexes).with_values(list(chain.from_iterable(produced)))))

    def on_watermark(self, watermark: int, inputs: Mapping[Input, int]) -> Passing:
        before, self.watermark = self.watermark, watermark
        last = self.last_event_time() if watermark >= WATERMARK_MAX else None
        if self.timers:
            yield from self._fire(self.timers["event"], watermark, before)
        if watermark >= WATERMARK_MAX:
            # The end of a bounded run fires timers, but it is not a time at which state can expire.
            self.watermark = before if last is None else max(before, last)
        elif self.sweep is not None:
            self.sweep.on_watermark(watermark)
        return watermark

    def on_clock(self, now: int) -> Iterator[tuple[Output, Batch]]:
        if self.timers:
            yield from self._fire(self.timers["processing"], now, self.watermark)
        if self.sweep is not None:
            self.sweep.on_clock(now, self.watermark)

    def shown(self, table: str, rows: list[tuple[Any, Any]]) -> list[Any]:
        # Also what has expired, until it is removed: the time of now would hide rows that the open epoch has renewed.
        return [row[0] for _, row in rows]

    def last_event_time(self) -> int | None:
        return self.timers["event"].table.last_time if self.timers else None

    def _fire(self, timers: Timers, upto: int, floor: int) -> Iterator[tuple[Output, Batch]]:
        moment, origin = self.moment, self.context.origin
        moment.place(origin, self.watermark, floor)
        made = _Made()
        for at, key in timers.fire(upto):
            moment.key, moment.timestamp, moment.headers, moment.offset = key, at, [], -1
            try:
                results = self.function.on_timer(at, moment)
                made.add(key, at, [] if results is None else list(results))
            except Exception as error:  # noqa: BLE001 - whatever the user's code raises is a failed timer
                failed = Batch.one(origin, key, None, at)
                dead: DeadLetters = self.timer_failures.one(failed, 0, error)
                yield from dead
            if len(made.values) >= CHUNK:
                self._expect_states()
                yield OUT, made.batch(self.context)
                made = _Made()
        self._expect_states()
        yield OUT, made.batch(self.context)

    def _make(self) -> ProcessFunction[Any, Any, Any]:
        try:
            made: ProcessFunction[Any, Any, Any] = self.spec.make()
        except Exception as error:
            line = users_line(error.__traceback__) or "a built-in function"
            what = f"{type(error).__name__} while the ProcessFunction was created, at {line}"
            raise UserFunctionFailed(what, operator=self.context.operator, advice="Correct its __init__") from error
        return made

    def _open_timers(self) -> dict[TimerClock, Timers]:
        if not (self.spec.keyed and has_timers(type(self.function))):
            return {}
        state, operator = self.context.state, self.context.operator
        return {
            "event": Timers(state.timers(operator, TIMERS.name)),
            "processing": Timers(state.timers(operator, CLOCK_TIMERS.name)),
        }

    def _bind(self, descriptor: StateDescriptor) -> None:
        """Replace a descriptor by its live state."""
        operator, state, name = self.context.operator, self.context.state, descriptor.name
        if not self.spec.keyed:
            raise InvalidJob(
                f"State {name!r} belongs to a key, but the stream is not keyed",
                operator=operator,
                advice="Put .key_by(fn) or .group_by_key() before .process(...)",
            )
        ttl = None
        if descriptor.ttl is not None:
            if self.sweep is None:
                by_event = state.timers(operator, TTL_TIMERS.name)
                self.sweep = Sweep(by_event, state.timers(operator, CLOCK_TTL_TIMERS.name))
            ttl = TimeToLive(name, descriptor.ttl, self.sweep, self.moment)
        live: LiveValue | LiveList | LiveMap
        if descriptor.kind == "value":
            live = LiveValue(state.values(operator, name), descriptor.default, self.moment, ttl)
        elif descriptor.kind == "list":
            live = LiveList(state.nested(operator, name), self.moment, ttl)
        else:
            live = LiveMap(state.nested(operator, name), self.moment, ttl)
        if ttl is not None and self.sweep is not None:
            self.sweep.register(name, live, ttl)
        self.function.__dict__[name] = self.live[name] = live

    def _expect_states(self) -> None:
        """Raise InvalidJob if the function has replaced a state: all keys would share what stands there now."""
        own = self.function.__dict__
        if self.live.items() <= own.items():
            return
        state = next(
            state for state in states_of(type(self.function)) if own.get(state.name) is not self.live[state.name]
        )
        raise InvalidJob(
            f"{type(self.function).__name__} replaced its state {state.name!r} by an attribute",
            job=self.context.job,
            operator=self.context.operator,
            advice=state.to_change,
        )


class _Made:
    """The timers' results."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.values: list[Any] = []
        self.timestamps: list[int] = []

    def add(self, key: Any, at: int, results: list[Any]) -> None:
        self.keys += repeat(key, len(results))
        self.values += results
        self.timestamps += repeat(at, len(results))

    def batch(self, context: OperatorContext) -> Batch:
        return Batch.made(context.origin, self.keys, self.values, self.timestamps)

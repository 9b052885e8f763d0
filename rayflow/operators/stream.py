"""`stream`: decodes the records of a source, sets their event time, and computes the watermark."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, chain, repeat
from operator import lt, sub
from typing import Any

from rayflow.api.specs.stream import StreamSpec
from rayflow.core.batch import Batch
from rayflow.core.errors import DecodeFailed
from rayflow.core.ids import WATERMARK_MIN
from rayflow.core.outputs import OUT, Input
from rayflow.operators.base import Operator, OperatorContext, Outputs
from rayflow.operators.failing import DeadLetters, Failures, without
from rayflow.operators.registry import runs
from rayflow.operators.time_column import (
    SECONDS,
    TIMES_1000,
    are_times,
    checked_time,
    is_ascending,
    look_like_seconds,
)
from rayflow.serde.base import Serde


@runs(StreamSpec)
class StreamOperator(Operator):
    """Decodes one source partition. Its output has event times and, for records behind the watermark, their lateness.

    The watermark is the newest timestamp so far, less `out_of_order`, less 1 ms. A timestamp in the future is accepted
    and advances the watermark, so the records after it are late. (If the clocks of a source cannot be trusted, correct
    or refuse such times in `timestamp=`.) An invalid timestamp (negative, not an int, or after the year 9999, as micro-
    and nanoseconds would be) is an error of that record. `timestamp=` is not called for a null value (a tombstone): it
    keeps the broker's timestamp.

    Dead letters contain the raw bytes, whatever failed.

    Attributes:
        max_timestamp: the newest timestamp so far; WATERMARK_MIN before the first record.
        watermark: the current event time; WATERMARK_MIN before the first record, and always without a watermark
            strategy.
        last_arrival: when records arrived last, or were known to wait (ms of the wall clock).
    """

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        self.max_timestamp = WATERMARK_MIN
        self._looked = spec.timestamp is None

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        spec = self.spec
        self.key_failures = Failures(context, spec.on_error, DecodeFailed, f"decode the key as {spec.key.name}")
        self.value_failures = Failures(context, spec.on_error, DecodeFailed, f"decode the value as {spec.value.name}")
        self.time_failures = Failures(context, spec.on_error)
        self.last_arrival = context.clock()

    @property
    def watermark(self) -> int:
        delay = self.spec.watermark.out_of_order
        if delay is None or self.max_timestamp == WATERMARK_MIN:
            return WATERMARK_MIN
        return self.max_timestamp - delay - 1

    def idle(self, since: int, until: int) -> bool:
        """Whether nothing arrived for `idle_after` ms of wall clock, so that this partition must not hold event time
        back.

        Only silence while the job listened counts, from `since` to `until` (ms).
        """
        return self.spec.idle_after is not None and until - max(self.last_arrival, since) >= self.spec.idle_after

    def snapshot(self) -> int:
        """The part of the checkpoint that makes the same records late after a recovery: `max_timestamp`."""
        return self.max_timestamp

    def restore(self, max_timestamp: int) -> None:
        """Restore a snapshot."""
        self.max_timestamp = max_timestamp

    def process(self, batch: Batch, input: Input) -> Outputs:
        self.last_arrival = self.context.clock()
        spec, raw = self.spec, batch
        keys, rejected, dead_keys = _decode(spec.key, raw.keys, raw, self.key_failures)
        raw = without(raw, rejected)
        values, rejected, dead_values = _decode(spec.value, raw.values, raw, self.value_failures)
        decoded = without(raw.with_keys(keys), rejected).with_values(values)
        raw = without(raw, rejected)
        decoded, dead_times = self._with_times(raw, decoded)
        if decoded:
            lateness = self._advance(decoded.timestamps)
            decoded = decoded if lateness is None else decoded.with_lateness(lateness)
        return (*dead_keys, *dead_values, *dead_times, (OUT, decoded))

    def _with_times(self, raw: Batch, decoded: Batch) -> tuple[Batch, DeadLetters]:
        """`decoded` with event times. `raw` has the same records, for the dead letter output."""
        dead: DeadLetters = ()
        fn = self.spec.timestamp
        times = decoded.timestamps
        if fn is not None:
            times, rejected, dead = self._ask(fn, raw, decoded)
            raw, decoded = without(raw, rejected), without(decoded, rejected)
        if not are_times(times):
            check = _broker_time if fn is None else checked_time
            times, rejected, more = self.time_failures.attempt(check, times, raw)
            decoded, dead = without(decoded, rejected), (*dead, *more)
        if not self._looked:
            self._looked = True
            if look_like_seconds(times):
                self.context.warn(SECONDS, TIMES_1000)
        return decoded.with_timestamps(times), dead

    def _ask(self, fn: Callable[[Any], int], raw: Batch, decoded: Batch) -> tuple[list[Any], list[int], DeadLetters]:
        if None not in raw.values:
            return self.time_failures.attempt(fn, decoded.values, raw)
        pairs = list(zip(decoded.values, decoded.timestamps, strict=True))
        return self.time_failures.attempt(lambda pair: pair[1] if pair[0] is None else fn(pair[0]), pairs, raw)

    def _advance(self, times: list[int]) -> list[int] | None:
        """Raise the newest timestamp. Returns the watermark before each record, or None if no record was behind it."""
        before = self.max_timestamp
        ascending = is_ascending(times)
        self.max_timestamp = max(before, times[-1] if ascending else max(times))
        delay = self.spec.watermark.out_of_order
        if delay is None or (ascending and times[0] >= before - delay - 1) or min(times) >= self.watermark:
            return None
        start = max(before, WATERMARK_MIN + delay + 1)
        met = list(map(sub, accumulate(chain((start,), times[:-1]), max), repeat(delay + 1)))
        return met if any(map(lt, times, met)) else None


def _decode(
    serde: Serde[Any], column: list[Any], raw: Batch, failures: Failures
) -> tuple[list[Any], list[int], DeadLetters]:
    """A decoded column, the indexes of the records that cannot be decoded, and these as dead letters."""
    if serde.name == "bytes":
        return column, [], ()
    try:
        return serde.decode(column), [], ()
    except Exception:  # noqa: BLE001 - whatever a serde raises; decoding is pure, so the second pass finds the records
        one = serde.decode_one
        return failures.attempt(lambda data: None if data is None else one(data), column, raw)


def _broker_time(time: int) -> int:
    if are_times([time]):
        return time
    raise DecodeFailed(
        "The broker gives no usable timestamp for the record", advice="Take event time from the value: timestamp="
    )

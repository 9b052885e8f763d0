"""Sinks: encode records and stage them for the end of the epoch."""

from __future__ import annotations

from typing import Any

from rayflow.api.specs.outputs import SinkSpec
from rayflow.core.batch import BYTES, Batch, EncodedBatch, Headers
from rayflow.core.errors import EncodeFailed, UserFunctionFailed
from rayflow.core.outputs import Input
from rayflow.operators.base import Operator, OperatorContext, Outputs
from rayflow.operators.failing import DeadLetters, Failures, without
from rayflow.operators.registry import runs
from rayflow.operators.time_column import SECONDS, TIMES_1000, are_times, checked_time, look_like_seconds
from rayflow.serde.base import Serde

MERGE_UP_TO = 2_000
"""Batches are merged up to this number of records; a larger batch is staged unchanged."""

OVERHEAD = 128
"""Bytes of a staged record besides its key and value: three objects and their places in lists."""


@runs(SinkSpec)
class SinkOperator(Operator):
    """Encodes records; the runtime takes them at the end of the epoch, or at once (at-least-once).

    `timestamp=` and `headers=` are not called for a null value (a tombstone), which keeps its own. Dead letters of
    records that cannot be encoded contain their Python objects; the dead letter sink encodes them in another way.

    Attributes:
        staged: the batches encoded since the last `take`.
        staged_bytes: their size, an estimate.
    """

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        self.staged: list[EncodedBatch] = []
        self.staged_bytes = 0
        self._looked = False

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        spec = self.spec
        self.function_failures = Failures(context, spec.on_error)
        self.key_failures = Failures(context, spec.on_error, EncodeFailed, f"encode the key as {spec.key.name}")
        self.value_failures = Failures(context, spec.on_error, EncodeFailed, f"encode the value as {spec.value.name}")

    def process(self, batch: Batch, input: Input) -> Outputs:
        spec = self.spec
        dead: DeadLetters = ()
        if spec.timestamp is not None:
            times, batch, dead = self._ask(spec.timestamp, batch, batch.timestamps)
            if not are_times(times):
                times, batch, more = self.function_failures.apply(checked_time, times, batch)
                dead += more
            if not self._looked:
                self._looked = True
                if look_like_seconds(times):
                    self.context.warn(SECONDS, TIMES_1000)
            batch = batch.with_timestamps(times)
        if spec.headers is not None:
            given = spec.headers
            headers, batch, more = self._ask(
                lambda value: _checked_headers(given(value)), batch, batch.headers or [[]] * len(batch)
            )
            batch = batch.with_headers(headers)
            dead += more
        keys, rejected, more = _encode(spec.key, batch.keys, batch, self.key_failures)
        batch, dead = without(batch, rejected), dead + more
        values, rejected, more = _encode(spec.value, batch.values, batch, self.value_failures)
        dead += more
        if rejected:
            encoded_keys = without(batch.with_keys(keys), rejected)
            keys, batch = encoded_keys.keys, encoded_keys
        if values:
            self._stage(keys, values, batch.timestamps, batch.headers)
        return dead

    def take(self) -> list[EncodedBatch]:
        """The staged output, merged into few batches; afterwards nothing is staged."""
        staged, self.staged = self.staged, []
        self.staged_bytes = 0
        return staged

    def _ask(self, fn: Any, batch: Batch, own: list[Any]) -> tuple[list[Any], Batch, DeadLetters]:
        if None not in batch.values:
            return self.function_failures.apply(fn, batch.values, batch)
        pairs = list(zip(batch.values, own, strict=True))
        return self.function_failures.apply(lambda pair: pair[1] if pair[0] is None else fn(pair[0]), pairs, batch)

    def _stage(
        self,
        keys: list[bytes | None],
        values: list[bytes | None],
        timestamps: list[int],
        headers: list[Headers] | None,
    ) -> None:
        self.staged_bytes += len(values) * OVERHEAD + _bytes_in(keys) + _bytes_in(values)
        if len(values) > MERGE_UP_TO:
            self.staged.append(EncodedBatch(self.spec.topic.name, keys, values, timestamps, headers))
            return
        last = self.staged[-1] if self.staged else None
        if last is None or len(last) + len(values) > MERGE_UP_TO or (last.headers is None) != (headers is None):
            own = None if headers is None else list(headers)
            self.staged.append(EncodedBatch(self.spec.topic.name, list(keys), list(values), list(timestamps), own))
            return
        last.keys += keys
        last.values += values
        last.timestamps += timestamps
        if last.headers is not None and headers is not None:
            last.headers += headers


def _bytes_in(column: list[bytes | None]) -> int:
    try:
        return sum(map(len, column))  # type: ignore[arg-type]
    except TypeError:  # there are nulls
        return sum(map(len, filter(None, column)))


def _checked_headers(headers: Any) -> Headers:
    checked = list(headers or ())
    for header in checked:
        if not (isinstance(header, tuple) and len(header) == 2):
            what = f"headers= returned a {type(headers).__name__} of {type(header).__name__}"
            raise UserFunctionFailed(what, advice="Return a list with (str, bytes) or (str, None) for each header")
        name, content = header
        if type(name) is not str or not (content is None or type(content) is bytes):
            what = f"headers= returned a header ({type(name).__name__}, {type(content).__name__})"
            raise UserFunctionFailed(what, advice="Return (str, bytes) or (str, None) for each header")
    return checked


def _encode(
    serde: Serde[Any], column: list[Any], batch: Batch, failures: Failures
) -> tuple[list[bytes | None], list[int], DeadLetters]:
    """An encoded column, the indexes of the records that cannot be encoded, and these as dead letters."""
    try:
        encoded = serde.encode(column)
        own = type(serde).__module__[:8] == "rayflow."
        if own or (len(encoded) == len(column) and BYTES.issuperset(map(type, encoded))):
            return encoded, [], ()
    except Exception:  # noqa: BLE001 - whatever a serde raises; encoding is pure: the second pass finds the records
        pass
    one = serde.encode_one
    return failures.attempt(lambda value: None if value is None else _checked_bytes(one(value)), column, batch)


def _checked_bytes(data: Any) -> bytes:
    if type(data) is not bytes:
        raise EncodeFailed(f"The serde gave a {type(data).__name__}", advice="Let its encode_one return bytes")
    return data

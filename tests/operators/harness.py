"""Runs one operator by hand: batches in, batches out, over state that survives a recovery.

Only this file calls operators; the tests call a bench. So a change of an operator's contract is one change here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rayflow.api.specs.base import OperatorSpec
from rayflow.core.batch import Batch, EncodedBatch, Headers, Origin
from rayflow.core.ids import TaskId
from rayflow.core.outputs import IN, OUT, Output
from rayflow.operators.base import Operator, OperatorContext
from rayflow.operators.registry import build
from rayflow.operators.sink import SinkOperator
from rayflow.operators.stream import StreamOperator
from rayflow.plan.physical import OperatorPlan
from rayflow.serde.codec import Codec
from rayflow.state.base import Stamp
from rayflow.state.memory_store import MemoryStore
from rayflow.state.task_state import TaskState

ORIGIN = Origin("orders", 3)


def batch_of(
    values: Sequence[Any],
    keys: Sequence[Any] | None = None,
    timestamps: Sequence[int] | None = None,
    *,
    first_offset: int = 100,
    headers: list[Headers] | None = None,
    lateness: list[int] | None = None,
) -> Batch:
    """A batch of the topic "orders", partition 3, at offsets from 100."""
    count = len(values)
    return Batch(
        ORIGIN,
        list(keys) if keys is not None else [None] * count,
        list(values),
        list(timestamps) if timestamps is not None else list(range(1_000, 1_000 + count)),
        range(first_offset, first_offset + count),
        headers,
        lateness,
    )


class Bench:
    """One operator in one task; `now` is the wall clock."""

    def __init__(self, spec: OperatorSpec) -> None:
        self.spec = spec
        self.store = MemoryStore()
        self.now = 1_700_000_000_000
        self.epoch = 0
        self._open()

    def _open(self) -> None:
        self.state = TaskState(self.store, Codec())
        self._operator: Operator = build(OperatorPlan("op", "kind", "label", self.spec, {}))
        self.warnings: list[str] = []
        self.context = OperatorContext("job", "op", TaskId("stage", 3), self.state, lambda: self.now, told=self._told)
        self._operator.open(self.context)

    def _told(self, operator: str, what: str, advice: str) -> None:
        assert operator == "op"
        assert advice
        self.warnings.append(what)

    @property
    def counters(self) -> Any:
        return self.context.counters

    def process(self, batch: Batch) -> dict[str, Batch]:
        return by_port(self._operator.process(batch, IN))

    def send(self, values: Sequence[Any], keys: Sequence[Any] | None = None, *args: Any, **kw: Any) -> list[Any]:
        """The values that come out of OUT."""
        out = self.process(batch_of(values, keys, *args, **kw)).get(OUT)
        return [] if out is None else out.values

    def watermark(self, watermark: int) -> Batch:
        return by_port(self.watermark_outputs(watermark)).get(OUT, _empty())

    def watermark_outputs(self, watermark: int) -> list[tuple[Output, Batch]]:
        """What the watermark makes the operator emit, batch by batch, without empty ones."""
        return [output for output in self._operator.on_watermark(watermark, {IN: watermark}) if len(output[1])]

    def clock(self, now: int) -> Batch:
        self.now = now
        return by_port(self._operator.on_clock(now)).get(OUT, _empty())

    def end_epoch(self) -> list[tuple[Output, Batch]]:
        """What the end of the epoch makes the operator emit, batch by batch; nothing is sealed."""
        return list(self._operator.on_epoch_end())

    def last_event_time(self) -> int | None:
        """The latest event time that the end of a bounded run would fire."""
        return self._operator.last_event_time()

    def table(self) -> dict[Any, Any]:
        """The rows of the table that the operator keeps."""
        return dict(self._operator.table.scan())  # type: ignore[attr-defined]

    def checkpoint(self) -> Batch:
        """End the epoch, seal and complete it; returns what the operator emitted at its end."""
        emitted = by_port(self.end_epoch()).get(OUT, _empty())
        self.epoch += 1
        self.state.seal()
        self.state.complete(Stamp("lineage", self.epoch))
        return emitted

    def recover(self) -> None:
        """As after a crash: a new operator over the last completed checkpoint."""
        self._open()

    def rows(self) -> int:
        """Rows in the store after a checkpoint."""
        self.checkpoint()
        return self.state.row_count()


class SourceBench(Bench):
    """The operator of a stream: the newest event time of its partition, and whether it is idle."""

    def _open(self) -> None:
        super()._open()
        assert isinstance(self._operator, StreamOperator)
        self._stream = self._operator

    @property
    def event_time(self) -> int:
        """The watermark of the partition."""
        return self._stream.watermark

    def idle(self, since: int, until: int) -> bool:
        return self._stream.idle(since, until)

    def recover(self) -> None:
        """As after a crash: what the checkpoint says of the source is restored."""
        newest = self._stream.snapshot()
        super().recover()
        self._stream.restore(newest)


class SinkBench(Bench):
    """The operator of a sink: what it has staged."""

    def _open(self) -> None:
        super()._open()
        assert isinstance(self._operator, SinkOperator)
        self._sink = self._operator

    @property
    def staged_bytes(self) -> int:
        return self._sink.staged_bytes

    def take(self) -> list[EncodedBatch]:
        """Take what is staged."""
        return self._sink.take()


def _empty() -> Batch:
    return Batch(ORIGIN, [], [], [], [])


def by_port(outputs: Iterable[tuple[str, Batch]]) -> dict[str, Batch]:
    """What came out of each output as one batch. Checks that columns are of one length."""
    found: dict[str, Batch] = {}
    for output, batch in outputs:
        columns = [batch.keys, batch.timestamps, batch.offsets, batch.headers, batch.lateness]
        assert {len(column) for column in columns if column is not None} <= {len(batch.values)}
        if not len(batch):
            continue
        if output not in found:
            found[output] = batch
            continue
        before = found[output]
        found[output] = Batch(
            before.origin,
            before.keys + batch.keys,
            before.values + batch.values,
            before.timestamps + batch.timestamps,
            [*before.offsets, *batch.offsets],
            (before.headers or []) + (batch.headers or []) or None,
        )
    return found

"""`to_table`: the newest value of each key."""

from __future__ import annotations

from itertools import islice
from typing import Any

from rayflow.api.specs.table import VALUES, LatestSpec
from rayflow.core.batch import Batch
from rayflow.core.failures import Stop
from rayflow.core.outputs import OUT, Input
from rayflow.operators.base import Operator, OperatorContext, Outputs
from rayflow.operators.changed_keys import ChangedKeys
from rayflow.operators.failing import Failures
from rayflow.operators.reducing import CHUNK
from rayflow.operators.registry import runs
from rayflow.serde.keys import all_as_equal


@runs(LatestSpec)
class LatestOperator(Operator):
    """Keeps the newest value per key in the state "values". None deletes the key and is emitted as None (a tombstone).

    Records with a null key belong to no row: they are dropped and counted. emit="record" emits every update.
    emit="epoch" emits the newest value of each key at the end of the epoch, in the order in which the keys first
    arrived, each with the newest timestamp of the key's records in the epoch.
    """

    def __init__(self, spec: LatestSpec) -> None:
        self.each_record = spec.emit == "record"

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self.table = context.state.values(context.operator, VALUES.name)
        self.failures = Failures(context, Stop())
        self.changed: dict[Any, None] = {}
        self.times = ChangedKeys()

    def process(self, batch: Batch, input: Input) -> Outputs:
        if None in batch.keys:
            keyed = [key is not None for key in batch.keys]
            self.context.counters.dropped += keyed.count(False)
            batch = batch.select(keyed)
            if not batch:
                return ()
        batch = batch.with_keys(all_as_equal(batch.keys))
        latest = self._newest_of(batch)
        if None in batch.values:
            for key, value in latest.items():
                self.table.delete(key) if value is None else self.table.put(key, value)
        else:
            self.table.rows.update(latest)
        if self.each_record:
            return ((OUT, batch),)
        self.changed.update(dict.fromkeys(latest))
        self.times.note(batch)
        return ()

    def on_epoch_end(self) -> Outputs:
        changed, self.changed = iter(self.changed), {}
        origin, get, time = self.context.origin, self.table.rows.get, self.times.take().__getitem__
        while keys := list(islice(changed, CHUNK)):
            yield OUT, Batch.made(origin, keys, list(map(get, keys)), list(map(time, keys)))

    def _newest_of(self, batch: Batch) -> dict[Any, Any]:
        latest: dict[Any, Any] = {}
        remaining = iter(batch.keys)
        records = zip(remaining, batch.values)  # noqa: B905 - columns of one length
        self.failures.each(batch, remaining, lambda: latest.update(records))
        return latest

"""Tables: an aggregate, or a fold, per key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rayflow.api.specs.table import VALUES, TableSpec
from rayflow.core.batch import Batch
from rayflow.core.errors import UserFunctionFailed
from rayflow.core.outputs import OUT, Input
from rayflow.operators.base import Operator, OperatorContext, Outputs
from rayflow.operators.changed_keys import ChangedKeys
from rayflow.operators.failing import Failures, without
from rayflow.operators.loops import Loops
from rayflow.operators.reducing import results_of
from rayflow.operators.registry import runs


@runs(TableSpec)
class TableOperator(Operator):
    """Keeps one accumulator per key in the state "values".

    emit="record": one result per record, with its timestamp, in input order. emit="epoch": at the end of the epoch, the
    newest result of each changed key, in the order in which the keys first changed, each with the newest timestamp of
    the key's records in the epoch. Results have no headers, because they belong to no single record.
    """

    def __init__(self, spec: TableSpec) -> None:
        self.spec = spec
        self.each_record = spec.emit == "record"
        loops = Loops(spec.reducer)
        self.loop = loops.table(emit=self.each_record)
        self.finish = loops.finish(windowed=False, dropped=False)

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self.table = context.state.values(context.operator, VALUES.name)
        self.failures = Failures(context, self.spec.reducer.on_error)
        self.changed = ChangedKeys()

    def process(self, batch: Batch, input: Input) -> Outputs:
        self.table.prefetch(batch.keys)
        rows, load, run = self.table.rows, self.table.load, self.loop.run
        results: list[Any] = []
        remaining = iter(batch.keys)
        records = zip(remaining, batch.values)  # noqa: B905 - columns of one length; strict would cost
        rejected, dead = self.failures.each(batch, remaining, lambda: run(records, rows, load, results.append))
        if rejected:
            batch = without(batch, rejected)
        if self.each_record:
            return (*dead, (OUT, batch.with_results(results)))
        self.changed.note(batch)
        return dead

    def shown(self, table: str, rows: list[tuple[Any, Any]]) -> list[Any]:
        results: list[Any] = []
        try:
            self.finish.run(rows, 0, 0, results.append)
        except Exception as error:
            raise UserFunctionFailed(
                f"{type(error).__name__} while the result of a row was computed", operator=self.context.operator
            ) from error
        return results

    def on_epoch_end(self) -> Iterator[tuple[str, Batch]]:
        if self.each_record:
            return iter(())
        changed, rows = self.changed.take(), self.table.rows
        if len(changed) < len(rows):  # a record that failed has loaded a row, and left it as it was
            rows = {key: row for key, row in rows.items() if key in changed}
        return results_of(self.finish, self.failures, rows.items(), map(changed.__getitem__, rows))

"""Operators that only choose where records go: `group_by_key`, `merge`, `split`."""

from __future__ import annotations

from rayflow.api.specs.routing import GroupByKeySpec, MergeSpec, SplitSpec
from rayflow.core.batch import Batch
from rayflow.core.outputs import OUT, Input, Output
from rayflow.operators.base import Operator, OperatorContext, Outputs
from rayflow.operators.failing import Failures
from rayflow.operators.registry import runs
from rayflow.serde.keys import all_as_equal


@runs(GroupByKeySpec)
class GroupByKeyOperator(Operator):
    """Passes records on, except those with a null key: they belong to no group, and may be in any partition.

    Keys that are equal in Python become one key, as with `key_by`.
    """

    def process(self, batch: Batch, input: Input) -> Outputs:
        if None in batch.keys:
            keyed = [key is not None for key in batch.keys]
            self.context.counters.dropped += keyed.count(False)
            batch = batch.select(keyed)
        return ((OUT, batch.with_keys(all_as_equal(batch.keys))),)


@runs(MergeSpec)
class MergeOperator(Operator):
    """Passes every batch on. The records of each stream stay in order."""


@runs(SplitSpec)
class SplitOperator(Operator):
    """Evaluates the branches in order, a column at a time. Records that no branch takes go to OUT."""

    def __init__(self, spec: SplitSpec) -> None:
        self.spec = spec

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self.failures = Failures(context, self.spec.on_error)

    def process(self, batch: Batch, input: Input) -> Outputs:
        outputs: list[tuple[Output, Batch]] = []
        for name, predicate in self.spec.branches:
            results, rest, dead = self.failures.apply(predicate, batch.values, batch)
            outputs += dead
            outputs.append((name, rest.select(results)))
            batch = rest.select([not taken for taken in results])
        outputs.append((OUT, batch))
        return outputs

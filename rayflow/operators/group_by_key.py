"""`group_by_key`: keeps the source's keys and partitioning."""

from __future__ import annotations

from rayflow.api.specs.routing import GroupByKeySpec
from rayflow.core.batch import Batch
from rayflow.core.outputs import OUT, Input
from rayflow.operators.base import Operator, Outputs
from rayflow.operators.registry import runs
from rayflow.serde.keys import all_as_equal


@runs(GroupByKeySpec)
class GroupByKeyOperator(Operator):
    """Passes records on, but those with a null key: they belong to no group, and any partition may hold them.

    Keys that Python holds for equal become one, as `key_by` has it.
    """

    def process(self, batch: Batch, input: Input) -> Outputs:
        if None in batch.keys:
            keyed = [key is not None for key in batch.keys]
            self.context.counters.dropped += keyed.count(False)
            batch = batch.select(keyed)
        return ((OUT, batch.with_keys(all_as_equal(batch.keys))),)

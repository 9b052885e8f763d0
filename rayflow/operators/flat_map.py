"""`flat_map`: value -> any number of values."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any

from rayflow.api.specs.functions import FlatMapSpec
from rayflow.core.batch import Batch
from rayflow.core.outputs import OUT, Input
from rayflow.operators.base import Outputs
from rayflow.operators.failing import without
from rayflow.operators.function import FunctionOperator
from rayflow.operators.registry import runs


@runs(FlatMapSpec)
class FlatMapOperator(FunctionOperator):
    """Emits each value that the function's iterable gives, in order, with key, timestamp and headers of the record.

    None stands for no values. A generator is run to its end at once; when it fails, nothing of that record is emitted.
    """

    def process(self, batch: Batch, input: Input) -> Outputs:
        fn = self.spec.fn
        produced: list[list[Any]] = []
        remaining = iter(batch.values)

        def step() -> None:
            for value in remaining:
                several = fn(value)
                produced.append([] if several is None else list(several))

        rejected, dead = self.failures.each(batch, remaining, step)
        return (*dead, (OUT, self.combine(without(batch, rejected), produced)))

    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        indexes = list(chain.from_iterable(map(repeat, range(len(results)), map(len, results))))
        return batch.take(indexes).with_values(list(chain.from_iterable(results)))

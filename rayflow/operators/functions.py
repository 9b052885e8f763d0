"""Operators that call one function with each value: `map`, `filter`, `flat_map`, `peek`, `key_by`."""

from __future__ import annotations

from abc import abstractmethod
from itertools import chain, repeat
from typing import Any

from rayflow.api.specs.functions import FilterSpec, FlatMapSpec, FunctionSpec, KeyBySpec, MapSpec, PeekSpec
from rayflow.core.batch import Batch
from rayflow.core.outputs import OUT, Input
from rayflow.operators.base import Operator, OperatorContext, Outputs
from rayflow.operators.failing import Failures, without
from rayflow.operators.registry import runs
from rayflow.serde.keys import all_as_equal


class FunctionOperator(Operator):
    """Runs `spec.fn` over the values of each batch, once per record."""

    def __init__(self, spec: FunctionSpec) -> None:
        self.spec = spec

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self.failures = Failures(context, self.spec.on_error)

    def process(self, batch: Batch, input: Input) -> Outputs:
        results, kept, dead = self.failures.apply(self.spec.fn, batch.values, batch)
        return (*dead, (OUT, self.combine(kept, results)))

    @abstractmethod
    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        """The batch to emit; `results` has the function's result for each record of `batch`."""


@runs(MapSpec)
class MapOperator(FunctionOperator):
    """Replaces each value by the function's result. Key, timestamp and headers stay the same."""

    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        return batch.with_values(results)


@runs(FilterSpec)
class FilterOperator(FunctionOperator):
    """Keeps the records for which the function's result is true."""

    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        return batch if all(results) else batch.select(results)


@runs(FlatMapSpec)
class FlatMapOperator(FunctionOperator):
    """Emits each value of the iterable that the function returns, in order, with the record's key, timestamp and
    headers.

    None means no values. A generator is run to its end at once. If it fails, nothing is emitted for this record.
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


@runs(PeekSpec)
class PeekOperator(FunctionOperator):
    """Passes on every record on which the function does not fail. Its result is ignored."""

    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        return batch


@runs(KeyBySpec)
class KeyByOperator(FunctionOperator):
    """Replaces each key by the function's result. The exchange after it moves records to their partitions.

    Keys that are equal in Python become one key, so that the key of a state row does not depend on which came first.
    """

    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        return batch.with_keys(all_as_equal(results))

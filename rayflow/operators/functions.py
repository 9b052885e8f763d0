"""Operators that call one function with each value: `map`, `filter`, `flat_map`, `peek`, `key_by`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from itertools import chain, repeat
from types import NoneType
from typing import Any

from rayflow.api.specs.functions import FilterSpec, FlatMapSpec, FunctionSpec, KeyBySpec, MapSpec, PeekSpec
from rayflow.core.batch import Batch
from rayflow.core.errors import KeyNotUsable
from rayflow.core.outputs import OUT, Input
from rayflow.operators.base import Operator, OperatorContext, Outputs
from rayflow.operators.failing import Failures, without
from rayflow.operators.registry import runs
from rayflow.serde.keys import all_as_equal

_GIVE_A_KEY = "Return a key for every record, filter out those that have none, or set on_error= of key_by()"


class FunctionOperator(Operator):
    """Runs `spec.fn` over the values of each batch, once per record."""

    def __init__(self, spec: FunctionSpec) -> None:
        self.spec = spec
        self.looked = False

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self.failures = Failures(context, self.spec.on_error)

    def process(self, batch: Batch, input: Input) -> Outputs:
        results, kept, dead = self.failures.apply(self.spec.fn, batch.values, batch)
        if not self.looked:
            self.looked = True
            self.look(kept, results)
        return (*dead, (OUT, self.combine(kept, results)))

    def look(self, batch: Batch, results: list[Any]) -> None:
        """Called with the results of the first batch: warn of what is probably a mistake."""

    @abstractmethod
    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        """The batch to emit; `results` has the function's result for each record of `batch`."""


@runs(MapSpec)
class MapOperator(FunctionOperator):
    """Replaces each value by the function's result. Key, timestamp and headers stay the same."""

    def look(self, batch: Batch, results: list[Any]) -> None:
        if set(map(type, results)) == {type(None)} and set(map(type, batch.values)) != {type(None)}:
            self.context.warn(
                "the function of map() returned None for every value of its first batch: null values (tombstones)",
                "If that is not intended, let the function return the new value",
            )

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
        first: list[Any] | None = None
        if not self.looked:
            self.looked, first = True, []
            fn = recorded(fn, first)
        produced: list[list[Any]] = []
        remaining = iter(batch.values)

        def step() -> None:
            for value in remaining:
                several = fn(value)
                produced.append([] if several is None else list(several))

        rejected, dead = self.failures.each(batch, remaining, step)
        if first is not None:
            self.look(batch, first)
        return (*dead, (OUT, self.combine(without(batch, rejected), produced)))

    def look(self, batch: Batch, results: list[Any]) -> None:
        warn_of_parts(self.context, "the function of flat_map()", results, (str, bytes))
        if set(map(type, results)) == {type(None)}:
            self.context.warn(
                "the function of flat_map() returned None for every value of its first batch: there are no results",
                "If that is not intended, let the function return a list of values",
            )

    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        indexes = list(chain.from_iterable(map(repeat, range(len(results)), map(len, results))))
        return batch.take(indexes).with_values(list(chain.from_iterable(results)))


def recorded(fn: Callable[..., Any], results: list[Any]) -> Callable[..., Any]:
    """`fn`, which also appends each result to `results`: for the first batch alone."""

    def call(*arguments: Any) -> Any:
        results.append(result := fn(*arguments))
        return result

    return call


def warn_of_parts(context: OperatorContext, function: str, results: list[Any], single: tuple[type, ...]) -> None:
    """Warn if a result that should be an iterable is of a type in `single`, of which the parts would be emitted."""
    for kind in set(map(type, results)):
        if issubclass(kind, single):
            parts = "keys" if issubclass(kind, dict) else "characters"
            context.warn(
                f"{function} returned a {kind.__name__}: its {parts} become the results",
                "Return a list of results, or write yield instead of return",
            )


@runs(PeekSpec)
class PeekOperator(FunctionOperator):
    """Passes on every record on which the function does not fail. Its result is ignored."""

    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        return batch


@runs(KeyBySpec)
class KeyByOperator(FunctionOperator):
    """Replaces each key by the function's result. The exchange after it moves records to their partitions.

    Keys that are equal in Python become one key, so that the key of a state row does not depend on which came first.
    None is no key: records without one would be spread over the partitions of the output.
    """

    def process(self, batch: Batch, input: Input) -> Outputs:
        keys, kept, dead = self.failures.apply(self.spec.fn, batch.values, batch)
        kinds = set(map(type, keys))
        if NoneType in kinds:
            keys, kept, more = self.failures.apply(_not_null, keys, kept)
            kinds.discard(NoneType)
            dead += more
        return (*dead, (OUT, self.combine(kept, all_as_equal(keys, kinds))))

    def combine(self, batch: Batch, results: list[Any]) -> Batch:
        return batch.with_keys(results)


def _not_null(key: Any) -> Any:
    if key is None:
        raise KeyNotUsable("key_by() gave None, which is no key", advice=_GIVE_A_KEY)
    return key

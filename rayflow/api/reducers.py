"""The common part of tables and windows: turns a call of aggregate, reduce, fold or count into a spec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rayflow.api.aggregations import AnyAggregation
from rayflow.api.functions import check_function, returned_type
from rayflow.api.location import invalid
from rayflow.api.on_error import check_on_error
from rayflow.api.results import result_type
from rayflow.api.serdes import serde_of_result
from rayflow.api.specs.reducers import AggregateSpec, FoldSpec, one_more
from rayflow.serde.base import Serde


def aggregate_spec(aggregations: dict[str, Any], options: dict[str, Any], *, windowed: bool) -> AggregateSpec:
    """The spec of `aggregate`. `options`: the keywords that are not aggregations. Raises InvalidJob."""
    for name, option in options.items():
        if isinstance(option, AnyAggregation):
            raise invalid(
                f"an aggregation is named {name!r}, which is an option of aggregate()", "Give it another name"
            )
    result = result_type(aggregations, options["into"], windowed=windowed)
    return AggregateSpec(tuple(aggregations.items()), result, check_on_error(options["on_error"]))


def reduce_spec(fn: Any, on_error: Any) -> FoldSpec:
    """The spec of `reduce`: the first value is the first accumulator. Raises InvalidJob."""
    check_function(fn, "reduce()", "accumulator", "value")
    return FoldSpec(None, fn, check_on_error(on_error))


def fold_spec(initial: Any, fn: Any, on_error: Any) -> FoldSpec:
    """The spec of `fold`. Raises InvalidJob."""
    if isinstance(initial, list | dict | set | bytearray):
        kind = type(initial).__name__
        raise invalid(
            f"fold() begins with one {kind} that all keys would share",
            f"Give a function that makes it: fold({kind}, fn) or fold(lambda: ..., fn)",
        )
    if callable(initial):
        check_function(initial, "fold()")
    check_function(fn, "fold()", "accumulator", "value")
    return FoldSpec(initial if callable(initial) else _constantly(initial), fn, check_on_error(on_error))


def count_spec() -> FoldSpec:
    """The spec of `count`."""
    return FoldSpec(int, one_more)


def serde_of_reducer(spec: AggregateSpec | FoldSpec, value: Serde[Any]) -> Serde[Any]:
    """The serde of results. `value`: the serde of the input values, which `reduce` keeps."""
    if isinstance(spec, AggregateSpec):
        return serde_of_result(spec.result)
    return value if spec.initial is None else serde_of_result(returned_type(spec.fn))


def _constantly(value: Any) -> Callable[[], Any]:
    return lambda: value

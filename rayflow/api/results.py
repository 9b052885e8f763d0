"""The class of an aggregation's results."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import msgspec

from rayflow.api.aggregations import Aggregation, AnyAggregation, BuiltIn
from rayflow.api.functions import check_function
from rayflow.api.location import invalid
from rayflow.serde.record import Record
from rayflow.serde.record_names import is_record_class, register_record

WINDOW_FIELDS = ("window_start", "window_end")


def result_type(aggregations: dict[str, Any], into: type[Any] | None, *, windowed: bool) -> type[Any]:
    """The class of the results: `into`, after checking that its fields can be set, or a new class for the names.

    Raises InvalidJob.
    """
    context = ("key", *WINDOW_FIELDS) if windowed else ("key",)
    _check_names(aggregations)
    if into is None:
        return _made((*context, *aggregations))
    _check_into(into, context, tuple(aggregations))
    return into


def _check_names(aggregations: dict[str, Any]) -> None:
    if not aggregations:
        raise invalid("aggregate() is given no aggregation", "Name at least one: aggregate(orders=rf.count())")
    for name, aggregation in aggregations.items():
        if name in ("key", *WINDOW_FIELDS):
            raise invalid(f"an aggregation is named {name!r}, which results have anyway", "Give it another name")
        if isinstance(aggregation, type) and issubclass(aggregation, AnyAggregation):
            raise invalid(f"aggregation {name!r} is a class", f"Give an instance: {name}={aggregation.__name__}()")
        if not isinstance(aggregation, BuiltIn | Aggregation):
            advice = "Give rf.count(), rf.sum(fn), rf.mean(fn)... or an rf.Aggregation of your own"
            if callable(aggregation):
                advice = f"Call it: {name}=rf.{getattr(aggregation, '__name__', 'count')}(); " + advice
            raise invalid(f"aggregation {name!r} is a {type(aggregation).__name__}", advice)
        _check_functions(name, aggregation)


def _check_functions(name: str, aggregation: Any) -> None:
    if isinstance(aggregation, Aggregation):
        kind = type(aggregation).__name__
        check_function(aggregation.create, f"{kind}.create", gives="an accumulator")
        check_function(aggregation.add, f"{kind}.add", "accumulator", "value", gives="the accumulator")
        check_function(aggregation.result, f"{kind}.result", "accumulator", gives="the result")
    elif aggregation.fn is not None:
        check_function(aggregation.fn, f"{name}=rf.{aggregation.kind}()", "value")


@cache
def _made(names: tuple[str, ...]) -> type[Any]:
    """One class for all results with the same names; its name in state and between stages depends only on them."""
    types = {"window_start": int, "window_end": int}
    made = msgspec.defstruct(
        "Result", [(name, types.get(name, Any)) for name in names], bases=(Record,), frozen=True, module=__name__
    )
    register_record(made, f"rayflow:result({','.join(names)})")
    return made


def _check_into(into: type[Any], context: tuple[str, ...], names: tuple[str, ...]) -> None:
    if not is_record_class(into):
        raise invalid("into= is not a record class", "Give a class made as: class Revenue(rf.Record): ...")
    required, fields = _fields_of(into)
    unknown = [name for name in names if name not in fields]
    if unknown:
        raise invalid(
            f"{into.__name__} has no field for the aggregation {', '.join(unknown)}",
            f"Add the field to {into.__name__}, or rename the aggregation to one of: {', '.join(sorted(fields))}",
        )
    missing = sorted(required - {*context, *names})
    if missing:
        raise invalid(
            f"nothing fills the field {', '.join(missing)} of {into.__name__}",
            f"Add an aggregation of that name, or give the field a default; results have {', '.join(context)}",
        )


def _fields_of(into: type[Any]) -> tuple[set[str], set[str]]:
    """The names of required fields, and of all fields."""
    if issubclass(into, msgspec.Struct):
        fields = msgspec.structs.fields(into)
        return {field.name for field in fields if field.required}, {field.name for field in fields}
    declared = [field for field in dataclasses.fields(into) if field.init]
    needed = {
        field.name
        for field in declared
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    return needed, {field.name for field in declared}

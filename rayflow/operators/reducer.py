"""Aggregations and folds as fragments of source, from which `loops` generates one loop over a batch.

The accumulator of a key is one flat list; each aggregation owns one or two of its slots. In the fragments `v` is the
record's value, `s` the key's accumulator, `a<i>` what aggregation i takes of the value, `n<j>` the next content of slot
j. Whatever can raise comes before anything in the state is changed, so a record that fails leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from rayflow.api.specs.reducers import AggregateSpec, FoldSpec, one_more

PLAIN = frozenset({int, float, str, bytes, bool, type(None)})
"""Types of accumulators that a function cannot change in place, so that emitting them needs no copy."""


@dataclass(slots=True)
class Reducer:
    """One aggregate or fold, taken apart.

    Attributes:
        names: what the fragments refer to besides the variables above.
        evaluate: statements that call the user's functions on the value.
        first, update: statements that compute every `n<j>` for a new accumulator, and from `s`.
        commit: statements that put what `update` computed into `s`. add: statements that put the value into a
            container in `n<j>`; they follow for new accumulators too.
        fresh: per result, its name and the expression for it before anything is committed.
        stored: the same from `s`; what it gives is not changed by later records. last: the same, when `s` is dropped
            at once.
        slots: number of slots.
    """

    names: dict[str, Any] = field(default_factory=dict)
    evaluate: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    update: list[str] = field(default_factory=list)
    commit: list[str] = field(default_factory=list)
    add: list[str] = field(default_factory=list)
    fresh: dict[str, str] = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    slots: int = 0

    def slot(self, first: str, update: str | None, commit: bool = True) -> int:
        """Take a slot: `first` and `update` are expressions, with {s} for its old content. Returns its number."""
        j = self.slots
        self.slots += 1
        self.first.append(f"n{j} = {first}")
        self.update.append(f"n{j} = {(update or '{s}').format(s=f's[{j}]')}")
        if commit:
            self.commit.append(f"s[{j}] = n{j}")
        return j

    def result(self, name: str, fresh: str, stored: str, last: str | None = None) -> None:
        """Name a result; see `fresh`, `stored` and `last`."""
        self.fresh[name] = fresh
        self.stored[name] = stored
        self.last[name] = last or stored


def reducer_of(spec: AggregateSpec | FoldSpec) -> Reducer:
    """The fragments of a reducer; a fold's only result is named ""."""
    reducer = Reducer()
    if isinstance(spec, FoldSpec):
        _fold(reducer, spec)
        return reducer
    for i, (name, aggregation) in enumerate(spec.aggregations):
        if aggregation.kind == "custom":
            _custom(reducer, i, name, aggregation)
            continue
        taken = "v"
        if aggregation.kind != "count" and aggregation.fn is not None:
            taken = f"a{i}"
            reducer.names[f"f{i}"] = aggregation.fn
            reducer.evaluate.append(f"{taken} = f{i}(v)")
        _BUILT_IN[aggregation.kind](reducer, name, taken)
    return reducer


def copied(accumulator: Any) -> Any:
    """A copy that later records do not change; immutable records stand for themselves."""
    if isinstance(accumulator, Struct) and accumulator.__struct_config__.frozen:
        return accumulator
    return deepcopy(accumulator)


def _fold(reducer: Reducer, spec: FoldSpec) -> None:
    if spec.fn is one_more and spec.initial is int:
        j = reducer.slot("1", "{s} + 1")
        reducer.result("", f"n{j}", f"s[{j}]")
        return
    reducer.names.update(fold=spec.fn, initial=spec.initial, plain=PLAIN, copied=copied)
    j = reducer.slot("v" if spec.initial is None else "fold(initial(), v)", "fold({s}, v)")
    reducer.result(
        "",
        f"n{j} if type(n{j}) in plain else copied(n{j})",
        f"s[{j}] if type(s[{j}]) in plain else copied(s[{j}])",
        f"s[{j}]",
    )


def _custom(reducer: Reducer, i: int, name: str, aggregation: Any) -> None:
    for part in ("create", "add", "result"):
        reducer.names[f"{part}{i}"] = getattr(aggregation, part)
    j = reducer.slot(f"add{i}(create{i}(), v)", f"add{i}({{s}}, v)")
    reducer.result(name, f"result{i}(n{j})", f"result{i}(s[{j}])")


def _count(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot("1", "{s} + 1")
    reducer.result(name, f"n{j}", f"s[{j}]")


def _sum(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot(f"0 + {taken}", f"{{s}} + {taken}")
    reducer.result(name, f"n{j}", f"s[{j}]")


def _min(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot(taken, f"{taken} if {taken} < {{s}} else {{s}}")
    reducer.result(name, f"n{j}", f"s[{j}]")


def _max(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot(taken, f"{taken} if {taken} > {{s}} else {{s}}")
    reducer.result(name, f"n{j}", f"s[{j}]")


def _mean(reducer: Reducer, name: str, taken: str) -> None:
    total = reducer.slot(f"0 + {taken}", f"{{s}} + {taken}")
    count = reducer.slot("1", "{s} + 1")
    reducer.result(name, f"n{total} / n{count}", f"s[{total}] / s[{count}]")


def _first(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot(taken, None, commit=False)
    reducer.result(name, f"n{j}", f"s[{j}]")


def _last(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot(taken, taken)
    reducer.result(name, f"n{j}", f"s[{j}]")


def _collect(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot("[]", None, commit=False)
    reducer.add.append(f"n{j}.append({taken})")
    reducer.result(name, f"[*n{j}, {taken}]", f"s[{j}][:]", f"s[{j}]")


def _distinct(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot("set()", None, commit=False)
    reducer.evaluate.append(f"hash({taken})")
    reducer.add.append(f"n{j}.add({taken})")
    reducer.result(name, f"len(n{j}) + ({taken} not in n{j})", f"len(s[{j}])")


_BUILT_IN: dict[str, Callable[[Reducer, str, str], None]] = {
    "count": _count,
    "sum": _sum,
    "min": _min,
    "max": _max,
    "mean": _mean,
    "first": _first,
    "last": _last,
    "collect": _collect,
    "distinct": _distinct,
}

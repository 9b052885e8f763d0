"""Translates aggregations and folds to source fragments, from which `loops` generates one loop over a batch.

The accumulator of a key is one flat list; each aggregation owns one or two of its slots. In the fragments `v` is the
record's value, `s` the key's accumulator, `a<i>` the argument of aggregation i, computed from the value, `n<j>` the
next content of slot j. Everything that can raise precedes every change of state, so a failed record leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from rayflow.api.aggregations import defines
from rayflow.api.specs.reducers import AggregateSpec, FoldSpec, one_more

PLAIN = frozenset({int, float, str, bytes, bool, type(None)})
"""Types of accumulators that a function cannot change in place, so they are emitted without a copy."""


@dataclass(slots=True)
class Reducer:
    """The fragments of one aggregate or fold.

    Attributes:
        names: the objects to which the fragments refer besides the variables above.
        evaluate: statements that call the user's functions on the value.
        first, update: statements that compute every `n<j>` for a new accumulator, and from `s`.
        commit: statements that store the results of `update` in `s`.
        add: statements that add the value to a container in `n<j>`; they follow for new accumulators too.
        fresh: for each result, its name and the expression for it before the commit.
        stored: the same from `s`; later records do not change its value.
        last: the same, if `s` is dropped at once.
        merge: for each slot, the expression for its content in the accumulator of two, `s` and then `o`.
        remove: the same for `s` without the value. Both may reuse and change the containers of an accumulator.
        fixed: for each operation without an expression for some result ("merge", "remove"), the names of these results.
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
    merge: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    fixed: dict[str, list[str]] = field(default_factory=lambda: {"merge": [], "remove": []})
    slots: int = 0

    def slot(
        self,
        name: str,
        first: str,
        update: str | None,
        commit: bool = True,
        *,
        merge: str | None,
        remove: str | None = None,
    ) -> int:
        """Add a slot for the result `name`: expressions, with {s} and {o} for its contents. Returns its number."""
        j = self.slots
        self.slots += 1
        self.first.append(f"n{j} = {first}")
        self.update.append(f"n{j} = {(update or '{s}').format(s=f's[{j}]')}")
        if commit:
            self.commit.append(f"s[{j}] = n{j}")
        for operation, expression in (("merge", merge), ("remove", remove)):
            if expression is None:
                self.fixed[operation].append(name)
        self.merge.append((merge or "").format(s=f"s[{j}]", o=f"o[{j}]"))
        self.remove.append((remove or "").format(s=f"s[{j}]"))
        return j

    def result(self, name: str, fresh: str, stored: str, last: str | None = None) -> None:
        """Add a result; see `fresh`, `stored` and `last`."""
        self.fresh[name] = fresh
        self.stored[name] = stored
        self.last[name] = last or stored


def reducer_of(spec: AggregateSpec | FoldSpec) -> Reducer:
    """The fragments of a reducer. A fold has one result, with the name ""."""
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
    """A copy that later records do not change. Immutable records are not copied."""
    if isinstance(accumulator, Struct) and accumulator.__struct_config__.frozen:
        return accumulator
    return deepcopy(accumulator)


def without_one(collected: list[Any], value: Any) -> list[Any]:
    """A list without the first item that is equal to `value`."""
    rest = list(collected)
    rest.remove(value)
    return rest


def _fold(reducer: Reducer, spec: FoldSpec) -> None:
    if spec.fn is one_more and spec.initial is int:
        j = reducer.slot("", "1", "{s} + 1", merge="{s} + {o}", remove="{s} - 1")
        reducer.result("", f"n{j}", f"s[{j}]")
        return
    merge = spec.fn if spec.initial is None else spec.merge
    reducer.names.update(fold=spec.fn, initial=spec.initial, merge=merge, plain=PLAIN, copied=copied)
    j = reducer.slot(
        "",
        "v" if spec.initial is None else "fold(initial(), v)",
        "fold({s}, v)",
        merge=None if merge is None else "merge({s}, {o})",
    )
    reducer.result(
        "",
        f"n{j} if type(n{j}) in plain else copied(n{j})",
        f"s[{j}] if type(s[{j}]) in plain else copied(s[{j}])",
        f"s[{j}]",
    )


def _custom(reducer: Reducer, i: int, name: str, aggregation: Any) -> None:
    for part in ("create", "add", "result", "merge", "remove"):
        reducer.names[f"{part}{i}"] = getattr(aggregation, part)
    j = reducer.slot(
        name,
        f"add{i}(create{i}(), v)",
        f"add{i}({{s}}, v)",
        merge=f"merge{i}({{s}}, {{o}})" if defines(aggregation, "merge") else None,
        remove=f"remove{i}({{s}}, v)" if defines(aggregation, "remove") else None,
    )
    reducer.result(name, f"result{i}(n{j})", f"result{i}(s[{j}])")


def _count(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot(name, "1", "{s} + 1", merge="{s} + {o}", remove="{s} - 1")
    reducer.result(name, f"n{j}", f"s[{j}]")


def _sum(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot(name, f"0 + {taken}", f"{{s}} + {taken}", merge="{s} + {o}", remove=f"{{s}} - {taken}")
    reducer.result(name, f"n{j}", f"s[{j}]")


def _min(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot(name, taken, f"{taken} if {taken} < {{s}} else {{s}}", merge="{o} if {o} < {s} else {s}")
    reducer.result(name, f"n{j}", f"s[{j}]")


def _max(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot(name, taken, f"{taken} if {taken} > {{s}} else {{s}}", merge="{o} if {o} > {s} else {s}")
    reducer.result(name, f"n{j}", f"s[{j}]")


def _mean(reducer: Reducer, name: str, taken: str) -> None:
    total = reducer.slot(name, f"0 + {taken}", f"{{s}} + {taken}", merge="{s} + {o}", remove=f"{{s}} - {taken}")
    count = reducer.slot(name, "1", "{s} + 1", merge="{s} + {o}", remove="{s} - 1")
    reducer.result(name, f"n{total} / n{count}", f"s[{total}] / s[{count}]")


def _first(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot(name, taken, None, commit=False, merge="{s}")
    reducer.result(name, f"n{j}", f"s[{j}]")


def _last(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot(name, taken, taken, merge="{o}")
    reducer.result(name, f"n{j}", f"s[{j}]")


def _collect(reducer: Reducer, name: str, taken: str) -> None:
    reducer.names["without"] = without_one
    j = reducer.slot(name, "[]", None, commit=False, merge="[*{s}, *{o}]", remove=f"without({{s}}, {taken})")
    reducer.add.append(f"n{j}.append({taken})")
    reducer.result(name, f"[*n{j}, {taken}]", f"s[{j}][:]", f"s[{j}]")


def _distinct(reducer: Reducer, name: str, taken: str) -> None:
    j = reducer.slot(name, "set()", None, commit=False, merge="{s} | {o}")
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

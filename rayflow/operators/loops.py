"""Generates the loop over a batch for one aggregate or fold: all its aggregations in one pass, without interpretation.

The source of every loop is kept beside the function, and tracebacks and debuggers show its lines.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from textwrap import indent
from types import CodeType
from typing import Any
from zlib import crc32

from rayflow.api.specs.reducers import AggregateSpec, FoldSpec
from rayflow.api.specs.window import Window
from rayflow.core.errors import InvalidJob
from rayflow.operators.reducer import Reducer, reducer_of

_TABLE = """\
def loop(records, rows, load, emit):
    get = rows.get
    for k, v in records:
{evaluate}
{reduce}
"""

_TUMBLING = """\
def loop(records, open_window, emit):
    start = end = 0
    for k, v, t in records:
{evaluate}
        if not start <= t < end:
            start = t - t % {size}
            end = start + {size}
            rows, load = open_window(end)
            get = rows.get
{reduce}
"""

_HOPPING = """\
def loop(records, open_windows, emit, emit_key, emit_time):
    begin = until = 0
    seen = None
    for k, v, t, limit in records:
{evaluate}
        if not begin <= t < until or limit != seen:
            begin, until, windows = open_windows(t, limit)
            seen = limit
        changes = []
        for start, end, rows, load in windows:
            get = rows.get
{compute}
            changes.append(({change}))
        for ({change}) in changes:
{apply}
"""

_FINISH = """\
def loop(items, start, end, emit):
    for k, s in items:
        emit({result})
"""

_MERGE = """\
def loop(pairs, emit):
    for s, o in pairs:
        emit([{slots}])
"""

_REMOVE = """\
def loop(records, emit):
    for s, v in records:
{evaluate}
        emit([{slots}])
"""


@dataclass(frozen=True, slots=True)
class Loop:
    """A generated function, and its source."""

    run: Callable[..., None]
    source: str


@lru_cache(maxsize=256)
def _compile(source: str) -> CodeType:
    filename = f"<rayflow loop {crc32(source.encode()):08x}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    return compile(source, filename, "exec")


def _loop(source: str, names: dict[str, Any]) -> Loop:
    scope = dict(names)
    exec(_compile(source), scope)
    return Loop(scope["loop"], source)


class Loops:
    """The loops of one aggregate or fold, each generated when it is requested."""

    def __init__(self, spec: AggregateSpec | FoldSpec) -> None:
        self._spec = spec
        self._reducer: Reducer = reducer_of(spec)
        self._names = dict(self._reducer.names)
        if isinstance(spec, AggregateSpec):
            self._names["Result"] = spec.result

    def table(self, emit: bool) -> Loop:
        """`loop(records, rows, load, emit)`: records are (key, value); `emit`: one result per record."""
        return self._generate(_TABLE, 8, emit)

    def tumbling(self, window: Window, emit: bool) -> Loop:
        """`loop(records, open_window, emit)`: records are (key, value, timestamp), none of them late.

        `open_window(end)` returns the rows of a window and the function that loads one.
        """
        return self._generate(_TUMBLING, 8, emit, windowed=True, size=window.size)

    def hopping(self, emit: bool) -> Loop:
        """`loop(records, open_windows, emit, emit_key, emit_time)`: records are (key, value, timestamp, limit).

        `open_windows(timestamp, limit)` returns the span of timestamps for which its answer is valid, and (start, end,
        rows, load) of each window that is open for a record if the watermark is `limit`. All windows of a record are
        computed before the first one is changed.
        """
        reducer = self._reducer
        names = [f"n{j}" for j in range(reducer.slots)]
        change = ["rows", "s", *names]
        compute = [*_locate(), "if s is None:", *_in(reducer.first), "else:", *_in(reducer.update)]
        if emit:
            compute.append(f"r = {self._result(reducer.fresh, windowed=True)}")
            change.append("r")
        apply = [
            "if s is None:",
            f"    rows[k] = [{', '.join(names)}]",
            "else:",
            *_in(reducer.commit or ["pass"]),
            *reducer.add,
            *(["emit(r)", "emit_key(k)", "emit_time(t)"] if emit else []),
        ]
        source = _HOPPING.format(
            evaluate=_lines(reducer.evaluate, 8),
            compute=_lines(compute, 12),
            change=", ".join(change),
            apply=_lines(apply, 12),
        )
        return _loop(_tidy(source), self._names)

    def finish(self, windowed: bool, dropped: bool) -> Loop:
        """`loop(items, start, end, emit)`: the result of each (key, accumulator). `dropped`: the accumulators are not
        kept."""
        results = self._reducer.last if dropped else self._reducer.stored
        return _loop(_FINISH.format(result=self._result(results, windowed)), self._names)

    def merge(self) -> Loop:
        """`loop(pairs, emit)`: a pair is two accumulators; the values of the first one came earlier. It emits an
        accumulator of both, which replaces them. Raises InvalidJob if one of the results has no merge."""
        self._expect("merge")
        return _loop(_MERGE.format(slots=", ".join(self._reducer.merge)), self._names)

    def remove(self) -> Loop:
        """`loop(records, emit)`: records are (accumulator, value). It emits an accumulator of all values except that
        one, which replaces the old one. Raises InvalidJob if one of the results cannot remove a value."""
        self._expect("remove")
        evaluate = _lines(self._reducer.evaluate, 8)
        source = _REMOVE.format(evaluate=evaluate, slots=", ".join(self._reducer.remove))
        return _loop(_tidy(source), self._names)

    def _expect(self, operation: str) -> None:
        fixed = self._reducer.fixed[operation]
        if fixed:
            named = ", ".join(dict.fromkeys(fixed)) or "this fold"
            raise InvalidJob(
                f"{named} has no {operation}",
                advice=f"Define {operation}() in the rf.Aggregation, or use an aggregation that has it",
            )

    def _generate(self, template: str, depth: int, emit: bool, windowed: bool = False, **parts: int) -> Loop:
        reducer = self._reducer
        result = [f"r = {self._result(reducer.fresh, windowed)}"] if emit else []
        new = f"rows[k] = [{', '.join(f'n{j}' for j in range(reducer.slots))}]"
        reduce = [
            *_locate(),
            "if s is None:",
            *_in([*reducer.first, *result, new, *reducer.add]),
            "else:",
            *_in([*reducer.update, *result, *reducer.commit, *reducer.add]),
            *(["emit(r)"] if emit else []),
        ]
        source = template.format(evaluate=_lines(reducer.evaluate, depth), reduce=_lines(reduce, depth), **parts)
        return _loop(_tidy(source), self._names)

    def _result(self, results: dict[str, str], windowed: bool) -> str:
        """The expression for a result. A record is built with positional arguments as far as its signature allows,
        because this is twice as fast in msgspec."""
        if isinstance(self._spec, FoldSpec):
            return results[""]
        given = {"key": "k", **({"window_start": "start", "window_end": "end"} if windowed else {}), **results}
        arguments: list[str] = []
        positional = True
        for name, parameter in inspect.signature(self._spec.result).parameters.items():
            positional = positional and name in given and parameter.kind is not parameter.KEYWORD_ONLY
            if name in given:
                arguments.append(given[name] if positional else f"{name}={given[name]}")
        return f"Result({', '.join(arguments)})"


def _locate() -> list[str]:
    return ["s = get(k)", "if s is None:", "    s = load(k)"]


def _in(statements: list[str]) -> list[str]:
    return [f"    {statement}" for statement in statements]


def _lines(statements: list[str], depth: int) -> str:
    return indent("\n".join(statements), " " * depth)


def _tidy(source: str) -> str:
    return "\n".join(line for line in source.splitlines() if line.strip()) + "\n"

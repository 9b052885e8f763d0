"""A ProcessFunction whose values say what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rayflow.api.process import Context, ProcessFunction
from rayflow.api.specs.process import ProcessSpec
from tests.operators.harness import Bench


def bench_of(function: type[Any], keyed: bool = True, **kw: Any) -> Bench:
    return Bench(ProcessSpec(function, keyed, **kw))


class Scripted(ProcessFunction[Any, Any, Any]):
    """Each value is a function of (self, ctx)."""

    def process(self, value: Any, ctx: Context) -> Iterable[Any]:
        found = value(self, ctx)
        return [] if found is None else [found]


def run(bench: Bench, key: Any, at: int, act: Any) -> Any:
    """Run one action for one key at one event time; returns its result."""
    results = bench.send([act], [key], [at])
    return results[0] if results else None

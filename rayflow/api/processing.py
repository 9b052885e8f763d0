"""Checks of a ProcessFunction when the job is built."""

from __future__ import annotations

import inspect
import typing
from typing import Any

from rayflow.api.location import invalid
from rayflow.api.process import ProcessFunction, has_timers
from rayflow.api.specs.process import ProcessSpec
from rayflow.api.state import states_of
from rayflow.core.failures import OnError


def process_spec(make: Any, *, keyed: bool, carried: bool, on_error: OnError) -> ProcessSpec:
    """The spec, after creating one instance as a check. `carried`: see Flow; a function without state and timers does
    not need the keys then, so that it adds no exchange. Raises InvalidJob."""
    if isinstance(make, ProcessFunction):
        name = type(make).__name__
        raise invalid(
            f"process() is given one {name} object, which all tasks would share",
            f"Give the class, or a function that makes one: process({name}) or process(lambda: {name}(...))",
        )
    if not callable(make):
        raise invalid(f"process() is given a {type(make).__name__}", "Give a class derived from rf.ProcessFunction")
    function = _class_made_by(make)
    states = states_of(function)
    if not keyed and (states or has_timers(function)):
        what = f"state {states[0].name!r}" if states else "on_timer"
        raise invalid(
            f"{function.__name__} has {what}, which belongs to a key, but the stream is not keyed at this point",
            "Put .key_by(fn) before .process(...), or .group_by_key() to keep the topic's own keys",
        )
    needs_key = keyed and (not carried or bool(states) or has_timers(function))
    return ProcessSpec(make, needs_key, on_error, function)


def _class_made_by(make: Any) -> type[Any]:
    if isinstance(make, type) and not issubclass(make, ProcessFunction):
        raise invalid(f"{make.__name__} is no rf.ProcessFunction", "Derive it: class Mine(rf.ProcessFunction[K, V, R])")
    if inspect.isabstract(make):
        raise invalid(f"{make.__name__} has no process method", "Define process(self, value, ctx)")
    try:
        made = make()
    except Exception as error:
        raise invalid(
            f"process() cannot make its function: {type(error).__name__}: {error}",
            "It is called without arguments, once per task: process(lambda: Mine(limit=3))",
        ) from error
    if not isinstance(made, ProcessFunction):
        raise invalid(
            f"process() is given a function that makes a {type(made).__name__}, not an rf.ProcessFunction",
            "Give the class, or a function without arguments that makes an instance",
        )
    return type(made)


def result_of_process(spec: ProcessSpec) -> Any:
    """R of ProcessFunction[K, V, R] as the class declares it; None if it does not."""
    for base in spec.made.__mro__:
        for generic in getattr(base, "__orig_bases__", ()):
            arguments = typing.get_args(generic)
            if typing.get_origin(generic) is ProcessFunction and len(arguments) == 3:
                return arguments[2]
    return None

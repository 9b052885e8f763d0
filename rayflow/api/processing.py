"""Checks of a ProcessFunction when the job is built."""

from __future__ import annotations

import inspect
import typing
from types import FunctionType, MethodType
from typing import Any

from rayflow.api.functions import check_function, check_iterable
from rayflow.api.location import invalid
from rayflow.api.process import ProcessFunction, has_timers
from rayflow.api.source import attributes_set, attributes_used
from rayflow.api.specs.process import ProcessSpec
from rayflow.api.state import StateDescriptor, states_of
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
    made = _made_by(make)
    function = type(made)
    states = states_of(function)
    _check_states(made, states)
    _check_methods(made)
    if not keyed and (states or has_timers(function)):
        what = f"state {states[0].name!r}" if states else "on_timer"
        raise invalid(
            f"{function.__name__} has {what}, which belongs to a key, but the stream is not keyed at this point",
            "Put .key_by(fn) before .process(...), or .group_by_key() to keep the topic's own keys",
        )
    needs_key = keyed and (not carried or bool(states) or has_timers(function))
    return ProcessSpec(make, needs_key, on_error, function)


def _check_states(made: Any, states: tuple[StateDescriptor, ...]) -> None:
    """States are declared in the class, and are not replaced by attributes."""
    name = type(made).__name__
    for attribute, found in vars(made).items():
        if isinstance(found, StateDescriptor):
            raise invalid(
                f"{name} makes the state {attribute!r} in __init__, where it belongs to no operator",
                f"Declare it in the class, beside its methods: {attribute} = rf.{found.kind}(...)",
            )
    declared = {state.name: state for state in states}
    for attribute in declared.keys() & vars(made).keys():
        raise invalid(
            f"{name} replaces its state {attribute!r} by an attribute, which all keys of a task would share",
            declared[attribute].to_change,
        )
    for method in _methods(made):
        for attribute, line in attributes_set(method):
            if attribute in declared:
                raise invalid(
                    f"{name}.{method.__name__} replaces its state {attribute!r} by an attribute (line {line}), which "
                    "all keys of a task would share",
                    declared[attribute].to_change,
                )


def _check_methods(made: Any) -> None:
    name = type(made).__name__
    check_function(made.process, f"{name}.process", "value", "ctx", gives="")
    check_function(made.on_timer, f"{name}.on_timer", "at", "ctx", gives="")
    for method in (made.process, made.on_timer):
        check_iterable(method, f"{name}.{method.__name__}", records=True)
    if has_timers(type(made)):
        return
    for method in _methods(made):
        for argument in range(1, method.__func__.__code__.co_argcount):
            if attributes_used(method, argument) & {"timer_at", "timer_in"}:
                raise invalid(
                    f"{name}.{method.__name__} sets a timer, but the class has no on_timer to be called then",
                    "Define on_timer(self, at, ctx), or set no timer",
                )


def _methods(made: Any) -> list[MethodType]:
    """The methods of its own class and of the bases between it and ProcessFunction."""
    names = dict.fromkeys(name for base in type(made).__mro__ if base is not ProcessFunction for name in vars(base))
    found = (getattr(made, name) for name in names if isinstance(inspect.getattr_static(made, name), FunctionType))
    return [method for method in found if isinstance(method, MethodType)]


def _made_by(make: Any) -> ProcessFunction[Any, Any, Any]:
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
    return made


def result_of_process(spec: ProcessSpec) -> Any:
    """R of ProcessFunction[K, V, R] as the class declares it; None if it does not."""
    for base in spec.made.__mro__:
        for generic in getattr(base, "__orig_bases__", ()):
            arguments = typing.get_args(generic)
            if typing.get_origin(generic) is ProcessFunction and len(arguments) == 3:
                return arguments[2]
    return None

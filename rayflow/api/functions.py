"""Checks the functions that a job file gives, when the job is built."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from types import UnionType
from typing import Any

from rayflow.api.location import invalid
from rayflow.api.source import gives_nothing, returned_classes, returns_several


def check_function(fn: Any, method: str, *arguments: str, gives: str = "a value") -> None:
    """Raise InvalidJob unless `fn` can be called with these arguments, is not async, and may return something.

    `gives`: what it returns, for the error; "" if nothing is expected of it.
    """
    if not callable(fn):
        raise invalid(
            f"{method} is given a {type(fn).__name__}, not a function",
            f"Give a function of ({', '.join(arguments)})",
        )
    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        raise invalid(f"{method} is given an async function", "Give a plain function: def, not async def")
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return  # a function in C without a signature
    try:
        signature.bind(*arguments)
    except TypeError:
        raise invalid(
            f"{method} calls its function with ({', '.join(arguments)}), but it takes {signature}",
            "Change the function's parameters; for key, timestamp, headers or state use process()",
        ) from None
    if gives and gives_nothing(fn):
        raise invalid(
            f"{method} is given {name_of(fn)}(), which returns nothing",
            f"Let it return {gives}: it has no return statement with a value",
        )


def check_iterable(fn: Any, method: str, *, records: bool) -> None:
    """Raise InvalidJob if `fn` can be seen to return one result instead of an iterable of results.

    Text is always one result. `records`: so are dicts and named tuples, whose items are the parts of a record. An
    annotation does not count where the source shows something else.
    """
    annotated = [] if returns_several(fn) else _members(returned_type(fn))
    for kind in [*annotated, *returned_classes(fn)]:
        if kind is object or kind is Any:
            continue
        items = hasattr(kind, "__iter__") or hasattr(kind, "__getitem__")
        record = records and (issubclass(kind, dict) or hasattr(kind, "_fields"))
        if record or not items or issubclass(kind, str | bytes | bytearray):
            raise invalid(
                f"{method} returns a {kind.__name__}, not an iterable of results",
                "Return a list, or write yield instead of return; [] or None stands for no result",
            )


def _members(kind: Any) -> list[type[Any]]:
    """The classes of an annotation: of X | None those of its parts."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, UnionType):
        return [member for part in typing.get_args(kind) for member in _members(part)]
    found = kind if origin is None else origin
    return [found] if isinstance(found, type) and found is not type(None) else []


def returned_type(fn: Callable[..., Any]) -> Any:
    """The annotated return type of `fn`; for a class, the class; None if unknown."""
    if isinstance(fn, type):
        return fn
    try:
        return typing.get_type_hints(fn).get("return")
    except (TypeError, NameError, AttributeError, SyntaxError):
        return None  # an annotation that only a type checker can resolve


def item_type(iterable: Any) -> Any:
    """R of Iterable[R], list[R], Iterator[R]...; None if unknown."""
    arguments = typing.get_args(iterable)
    return arguments[0] if arguments else None


def name_of(fn: Any) -> str:
    """A function's own name for `describe`; "" for a lambda.

    >>> name_of(len), name_of(lambda value: value)
    ('len', '')
    """
    name = getattr(fn, "__name__", type(fn).__name__)
    return "" if name == "<lambda>" else str(name)

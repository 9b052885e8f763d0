"""Checks the functions that a job file gives, when the job is built."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

from rayflow.api.location import invalid


def check_function(fn: Any, method: str, *arguments: str) -> None:
    """Raise InvalidJob unless `fn` can be called with these arguments and is not async."""
    if not callable(fn):
        raise invalid(
            f"{method} is given a {type(fn).__name__}, not a function",
            f"Give a function of ({', '.join(arguments)})",
        )
    if inspect.iscoroutinefunction(fn):
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

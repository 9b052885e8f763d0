"""Errors with advice, and with the line of the job file, for a method that exists only on another kind of stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rayflow.api.location import invalid


class Misused(NamedTuple):
    """The advice for each method of keyed streams that a class lacks; `also`: for methods of other classes."""

    why: str
    advice: str
    also: tuple[str, ...] = ()


class Misuse:
    """Gives methods that a class lacks on purpose an error with advice.

    A type checker does not see these methods: for it they are missing, as intended.
    """

    __slots__ = ()
    _misused: ClassVar[Misused | None] = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            from rayflow.api.keyed import KeyedStream  # keyed streams are a Misuse themselves

            known = self._misused
            if known is None or name.startswith("_") or not (name in known.also or name in dir(KeyedStream)):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            raise invalid(f".{name}() {known.why}", known.advice)

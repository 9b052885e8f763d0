"""Advice at once, with the line of the job file, for a method that exists on another kind of stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from rayflow.api.location import invalid


class Misuse:
    """Gives the methods that a class lacks on purpose an error with advice.

    A type checker sees none of them: to it they are missing, as they are.
    """

    __slots__ = ()
    _misused: ClassVar[Mapping[str, tuple[str, str]]] = {}

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            known = self._misused.get(name)
            if known is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            raise invalid(f".{name}() {known[0]}", known[1])


def misused(methods: str, why: str, advice: str) -> dict[str, tuple[str, str]]:
    """The same explanation for several methods, named with spaces between them."""
    return dict.fromkeys(methods.split(), (why, advice))

"""Restores the order in which messages were sent."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Ordered(Generic[T]):
    """Sorts the numbered messages of one sender, because Ray starts calls of an async actor in any order.

    >>> ordered = Ordered()
    >>> ordered.arrive(1, "b"), ordered.arrive(0, "a"), ordered.arrive(0, "a")
    ([], ['a', 'b'], [])
    """

    def __init__(self) -> None:
        self._next = 0
        self._early: dict[int, T] = {}

    def arrive(self, number: int, message: T) -> list[T]:
        """The messages that can be handled now, without repeated ones."""
        if number >= self._next:
            self._early[number] = message
        ready: deque[T] = deque()
        while self._next in self._early:
            ready.append(self._early.pop(self._next))
            self._next += 1
        return list(ready)

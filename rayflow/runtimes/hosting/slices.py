"""Work that a thread does in slices, between the records that it processes."""

from __future__ import annotations

from collections.abc import Generator

SLICE = 0.01
"""Seconds that a slice may take before it lets records go on."""

_DONE = object()


class Slices:
    """Generators, each of which `advance` takes one slice further."""

    def __init__(self) -> None:
        self._open: list[Generator[None, None, None]] = []

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, work: Generator[None, None, None]) -> None:
        """Do the first slice at the next `advance`."""
        self._open.append(work)

    def begin(self, work: Generator[None, None, None]) -> None:
        """Do the first slice now."""
        if next(work, _DONE) is not _DONE:
            self._open.append(work)

    def advance(self) -> None:
        """Do one slice of each."""
        for work in list(self._open):
            if next(work, _DONE) is _DONE:
                self._open.remove(work)

    def drop(self) -> None:
        """Leave all of it undone."""
        for work in self._open:
            work.close()
        self._open.clear()

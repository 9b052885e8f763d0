"""Counts the calls that Python makes while something runs: not time, but work, the same on every machine."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any


class Calls:
    """The calls of a run.

    `users`: the file of the user's functions. All other calls are the engine's: rayflow's own functions, the loops that
    it generates, and what they call in libraries.

    Attributes:
        python: by the code that is called: functions, and generators each time they go on.
        built_in: by the code that calls: functions in C that a line of Python calls. What `map`, a codec or a
            list's own methods call by themselves costs little, and is none.
    """

    def __init__(self, users: Path) -> None:
        self._users = str(users)
        self.python: Counter[CodeType] = Counter()
        self.built_in: Counter[CodeType] = Counter()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count in this thread, and in those that start while the block runs."""
        threading.setprofile(self._on_event)
        sys.setprofile(self._on_event)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _on_event(self, frame: FrameType, event: str, _arg: Any) -> None:
        if event == "call":
            self.python[frame.f_code] += 1
        elif event == "c_call":
            self.built_in[frame.f_code] += 1

    def beyond(self, fewer: Calls) -> Calls:
        """What this run called more than another did."""
        more = Calls(Path(self._users))
        for mine, theirs, found in (
            (self.python, fewer.python, more.python),
            (self.built_in, fewer.built_in, more.built_in),
        ):
            found.update({code: times - theirs[code] for code, times in mine.items()})
        return more

    @property
    def of_engine(self) -> int:
        """Python functions that the engine called, the user's left out."""
        return sum(self._engines(self.python).values())

    @property
    def of_engine_built_in(self) -> int:
        """Built-in functions that the engine called."""
        return sum(self._engines(self.built_in).values())

    @property
    def of_user(self) -> list[int]:
        """How often each of the user's functions was called."""
        return [times for code, times in self.python.items() if code.co_filename == self._users and times]

    def most(self, count: int = 10) -> str:
        """What the engine did most, for people to find it."""
        lines = []
        for kind, calls in (("calls of", self.python), ("built-in calls by", self.built_in)):
            for code, times in self._engines(calls).most_common(count):
                lines.append(f"{times:>9,} {kind} {Path(code.co_filename).name}:{code.co_firstlineno} {code.co_name}")
        return "\n".join(["", *lines])

    def _engines(self, calls: Counter[CodeType]) -> Counter[CodeType]:
        return Counter({code: times for code, times in calls.items() if code.co_filename != self._users})

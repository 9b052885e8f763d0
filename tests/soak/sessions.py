"""What belongs to a session: each visit's echo, in order; one closing; reminders that add up."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.soak.job import CLOSED, CLOSES
from tests.soak.wrong import Wrong

if TYPE_CHECKING:
    from tests.soak.expected import Taken


@dataclass(slots=True)
class _Session:
    """A session that is not over. `waiting`: (id, shops by then) of visits without echo; `closes`: event time, ms."""

    closes: int
    taken: int = 0
    echoed: int = 0
    shops: set[str] = field(default_factory=set)
    waiting: deque[tuple[int, int]] = field(default_factory=deque)


class ExpectedSessions:
    """Echoes: visit k of a session as number k, with the number of shops by then; closed once, after its last visit."""

    def __init__(self) -> None:
        self._open: dict[str, _Session] = {}
        self._committed: dict[str, int] = {}

    def take(self, taken: Taken) -> None:
        visit = taken.visit
        session = self._open.get(visit.session)
        if session is None:
            session = self._open[visit.session] = _Session(visit.ts + CLOSES)
        session.taken += 1
        session.shops.add(visit.shop)
        session.waiting.append((visit.id, len(session.shops)))

    def show(self, key: str, value: Any) -> None:
        session = self._open.get(key)
        if session is None or value["session"] != key:
            raise Wrong(f"echoes: {value} of session {key}, which has been closed before or had no visit")
        if value["id"] == CLOSED:
            if (value["n"], session.waiting) != (session.taken, deque()):
                raise Wrong(
                    f"echoes: {key} is closed as {value}; it had {session.taken} visits, {session.echoed} shown"
                )
            del self._open[key]
            self._committed.pop(key, None)
            return
        expected = session.waiting.popleft() if session.waiting else None
        if (value["id"], value["shops"]) != expected or value["n"] != session.echoed + 1:
            raise Wrong(f"echoes: {value}; expected number {session.echoed + 1} with (id, shops) {expected}")
        session.echoed += 1

    def commit(self, taken: Taken) -> None:
        name = taken.visit.session
        session = self._open.get(name)
        if session is None:
            return
        committed = self._committed[name] = self._committed.get(name, 0) + 1
        if session.echoed < committed:
            raise Wrong(f"echoes: visit {taken.visit.id}, at offset {taken.offset}, is lost behind the position")

    def advance(self, watermark: int) -> None:
        for name, session in self._open.items():
            if session.closes <= watermark:
                raise Wrong(f"echoes: {name} is not closed; its timer is at {session.closes}, watermark {watermark}")

    def missing(self) -> int:
        return sum(len(session.waiting) + 1 for session in self._open.values())


class ExpectedReminders:
    """Each visit is counted in one reminder of its session."""

    def __init__(self) -> None:
        self._waiting: dict[str, int] = {}

    def take(self, taken: Taken) -> None:
        name = taken.visit.session
        self._waiting[name] = self._waiting.get(name, 0) + 1

    def show(self, key: str, value: Any) -> None:
        left = self._waiting.get(key, 0) - value["visits"]
        if value["session"] != key or value["visits"] < 1 or left < 0:
            raise Wrong(
                f"reminders: {value} of {key}, of which {self._waiting.get(key, 0)} visits were not counted yet"
            )
        if left:
            self._waiting[key] = left
        else:
            del self._waiting[key]

    def commit(self, taken: Taken) -> None:
        """Reminders come by the wall clock."""

    def advance(self, watermark: int) -> None:
        """Reminders come by the wall clock."""

    def missing(self) -> int:
        return len(self._waiting)

"""The soak's job with four leaks, which its growth must show: memory, threads, open files and rows."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

import rayflow as rf
from tests.soak.job import Echo, Sessions, Visit, job_of

KEPT: list[bytes] = []
FILES: list[int] = []
EVERY = 40
"""Visits between two threads, and two files."""


class Leaking(Sessions):
    """Sessions, and what is never let go of."""

    seen: rf.MapState[int, int] = rf.map()

    def process(self, visit: Visit, ctx: rf.Context) -> Iterable[Echo]:
        self.seen.set(visit.id, 1)
        KEPT.append(bytes(50_000))
        if len(KEPT) % EVERY == 0:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            FILES.append(os.open(os.devnull, os.O_RDONLY))
        return super().process(visit, ctx)


job = job_of(Leaking)

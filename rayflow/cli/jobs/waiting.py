"""Shows what a job does while a command waits for it: on a terminal, the live line of `rayflow run`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rayflow.core.errors import RayflowError

if TYPE_CHECKING:
    from rayflow.cli.live import View
    from rayflow.runtimes.hosting.control import JobControl

EVERY = 0.5
"""Seconds between two polls of the job's status. A command that ends earlier shows nothing."""
PATIENCE = 5.0
"""Seconds that the end of a command waits for a poll in flight: a coordinator may not answer for a minute."""


@contextmanager
def waiting_for(job: JobControl) -> Iterator[None]:
    """Show the job's state, and what it waits for, until the block ends. Nothing where there is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rayflow.cli.live import new_view

    showing = _Showing(job, new_view())
    thread = threading.Thread(target=showing.run, name="rayflow-waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        showing.end()
        thread.join(PATIENCE)


class _Showing:
    """Polls the job on a thread of its own, because the command's thread waits for its answer."""

    def __init__(self, job: JobControl, view: View) -> None:
        self._job = job
        self._view = view
        self._over = threading.Event()
        self._drawing = threading.Lock()
        self._began = False

    def run(self) -> None:
        while not self._over.wait(EVERY):
            with suppress(RayflowError):  # the command reports what is wrong
                status = self._job.status()
                with self._drawing:
                    if self._over.is_set():
                        return
                    if not self._began:
                        self._began = True
                        self._view.start()
                    self._view.show(status)

    def end(self) -> None:
        """Remove the line."""
        with self._drawing:
            self._over.set()
            if self._began:
                self._view.stop()

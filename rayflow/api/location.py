"""The line of the job file that made a call, for errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rayflow.core.errors import InvalidJob

_PACKAGE = str(Path(__file__).parent.parent) + os.sep


def caller_location() -> str:
    """The first frame outside of rayflow as "file.py:12"; "" if there is none."""
    frame = sys._getframe(1)
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


def invalid(what: str, advice: str, location: str | None = None) -> InvalidJob:
    """An InvalidJob whose message begins with the line of the job file (by default: of the call being made)."""
    place = caller_location() if location is None else location
    return InvalidJob(f"{place}: {what}" if place else what, advice=advice)

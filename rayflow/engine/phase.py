"""The phases of an attempt."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """The phase of an attempt, in this order."""

    CLAIMING = "claiming"
    READING = "reading"
    LOOKING = "looking"
    FENCING = "fencing"
    READING_AGAIN = "reading again"
    REPUBLISHING = "republishing"
    MARKING = "marking"
    STARTING = "starting"
    RUNNING = "running"
    CLOSING = "closing"
    FINISHED = "finished"

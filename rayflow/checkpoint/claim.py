"""The contents of an attempt's claim of its number."""

from __future__ import annotations

from dataclasses import dataclass

from rayflow.core.ids import Attempt, WorkerId


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt's claim.

    Attributes:
        slots: those that the attempt may use, and those of all attempts since the last commit, including the committed
            one. The next attempt must fence them all, because an attempt that never commits is in no manifest.
        lineage: the lineage of the attempt's checkpoints if there is none yet. It is that of the store's first attempt,
            so that all attempts to start in one store start the same history; "" if the number was claimed for
            something else.
    """

    attempt: Attempt
    slots: tuple[WorkerId, ...] = ()
    lineage: str = ""

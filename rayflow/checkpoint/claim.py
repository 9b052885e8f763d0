"""What an attempt says of itself when it claims its number."""

from __future__ import annotations

from dataclasses import dataclass

from rayflow.core.ids import Attempt, WorkerId


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt's claim.

    Attributes:
        slots: those that the attempt may use, and those of all attempts since the last commit, that one included:
            whoever comes next must fence them all, since an attempt that never commits is in no manifest.
        lineage: what the attempt's checkpoints are of if there is none yet: that of the store's first attempt, so
            that all who try to begin in one store begin the same history; "" when it was claimed for something else.
    """

    attempt: Attempt
    slots: tuple[WorkerId, ...] = ()
    lineage: str = ""

"""Names of an operator's outputs and inputs."""

from __future__ import annotations

from typing import TypeAlias

Output: TypeAlias = str
"""Name of one output of an operator. Most operators have only OUT; `split` has one per branch."""

OUT: Output = "out"
DEAD_LETTER: Output = "dead_letter"
LATE: Output = "late"

Input: TypeAlias = str
"""Name of one input of an operator. Most operators have only IN; one with several names each of them."""

IN: Input = "in"

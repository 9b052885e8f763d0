"""Names of an operator's outputs and inputs."""

from __future__ import annotations

from typing import TypeAlias

Port: TypeAlias = str
"""Name of one output of an operator. Most operators have only OUT; `split` has one per branch."""

OUT: Port = "out"
DEAD_LETTER: Port = "dead_letter"
LATE: Port = "late"

Input: TypeAlias = str
"""Name of one input of an operator. Most operators have only IN; one with several names each of them."""

IN: Input = "in"

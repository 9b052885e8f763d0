"""Mutants that change nothing that anybody could notice, each with the reason: `equivalent.toml`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import Mutant

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("equivalent.toml")


@dataclass(frozen=True, slots=True)
class Equivalent:
    """A mutant by its file and its first line, before and after, so that it is found wherever the line has moved."""

    file: str
    line: str
    mutant: str
    reason: str

    def is_(self, mutant: Mutant) -> bool:
        """Whether this is that mutant."""
        return (self.file, self.line, self.mutant) == (mutant.file, mutant.before, mutant.after)


def equivalents(file: Path = FILE) -> list[Equivalent]:
    """All that are listed. Raises TypeError for an entry with other fields."""
    return [Equivalent(**entry) for entry in tomllib.loads(file.read_text()).get("equivalent", [])]


def reason_of(mutant: Mutant, listed: Sequence[Equivalent]) -> str:
    """Why a mutant changes nothing; empty if it is not listed."""
    return next((one.reason for one in listed if one.is_(mutant)), "")

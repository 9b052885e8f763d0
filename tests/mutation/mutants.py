"""The mutants of rayflow's packages, and a random choice of them."""

from __future__ import annotations

import difflib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tests.mutation.edits import Edit, compiles, edits

PACKAGES = ("engine", "state", "checkpoint", "operators", "connectors")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file; `file` is relative to the root of the tree."""

    file: str
    edit: Edit
    source: bytes

    @property
    def package(self) -> str:
        """The package below `rayflow` that the file is in."""
        return self.file.split("/")[1]

    @property
    def place(self) -> str:
        """file:line."""
        return f"{self.file}:{self.edit.line}"

    @property
    def mutated(self) -> bytes:
        """The whole file with the change."""
        return self.edit.apply(self.source)

    @property
    def diff(self) -> list[str]:
        """The lines that differ, as `-` and `+`; blank lines that only keep the numbers are left out."""
        before, after = (text.decode().splitlines() for text in (self.source, self.mutated))
        lines = difflib.unified_diff(before, after, n=0, lineterm="")
        return [line for line in lines if not line.startswith(("---", "+++", "@@")) and line.strip() != "+"]

    @property
    def before(self) -> str:
        """The first line that changes, without its indentation."""
        return self.source.decode().splitlines()[self.edit.line - 1].strip()

    @property
    def after(self) -> str:
        """What the first line becomes, without its indentation."""
        return self.mutated.decode().splitlines()[self.edit.line - 1].strip()


def every_mutant(root: Path, packages: Sequence[str] = PACKAGES) -> list[Mutant]:
    """All mutants of the packages of a tree, in the order of files and lines."""
    found: list[Mutant] = []
    for package in packages:
        for path in sorted((root / "rayflow" / package).rglob("*.py")):
            source = path.read_bytes()
            file = path.relative_to(root).as_posix()
            found += [Mutant(file, edit, source) for edit in edits(source)]
    return found


def chosen(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """At most so many of them, at most one of a line, each line as likely as any other; in the order of the draw."""
    lines: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        lines.setdefault(mutant.place, []).append(mutant)
    draw = random.Random(seed)
    places = sorted(lines)
    draw.shuffle(places)
    drawn = (draw.choice(lines[place]) for place in places)
    return list(islice((mutant for mutant in drawn if compiles(mutant.mutated)), count))

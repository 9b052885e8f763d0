"""What came of a run: a line per mutant, a table per package, the survivors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.table import Table

from tests.mutation.equivalent import Equivalent, reason_of
from tests.mutation.mutants import PACKAGES, Mutant
from tests.mutation.trial import Outcome

ENOUGH = 0.95
"""Of the mutants that change behaviour, so many have to die."""


@dataclass
class Report:
    """Outcomes as they come; `listed` are the mutants that are known to change nothing."""

    listed: Sequence[Equivalent]
    outcomes: list[Outcome] = field(default_factory=list)

    def reason(self, outcome: Outcome) -> str:
        """Why a survivor changes nothing; empty for one that was killed or is not listed."""
        return "" if outcome.killed else reason_of(outcome.mutant, self.listed)

    @property
    def killed(self) -> int:
        """How many have been noticed."""
        return sum(outcome.killed for outcome in self.outcomes)

    @property
    def survivors(self) -> list[Outcome]:
        """Those that change behaviour, and nothing noticed."""
        return [outcome for outcome in self.outcomes if not outcome.killed and not self.reason(outcome)]

    @property
    def rate(self) -> float:
        """The killed of those that change behaviour; 1 when there are none."""
        changing = self.killed + len(self.survivors)
        return self.killed / changing if changing else 1.0

    @property
    def enough(self) -> bool:
        """Whether as many died as have to."""
        return self.rate >= ENOUGH

    def line(self, outcome: Outcome, total: int, minutes: float) -> str:
        """A mutant's outcome, and how the run goes."""
        mutant, done = outcome.mutant, len(self.outcomes)
        became = f"killed by {outcome.step}: {outcome.test}" if outcome.killed else "SURVIVED"
        if self.reason(outcome):
            became = "survived, changes nothing"
        return (
            f"[{done}/{total}] {mutant.place} {mutant.edit.kind}: {became} ({outcome.seconds:.0f} s); "
            f"killed {self.rate:.0%}, {done / max(minutes, 1e-9):.1f} a minute"
        )

    def table(self) -> Table:
        """One row a package, and the sum."""
        shown = Table("package", "mutants", "killed", "change nothing", "survived", "killed of those that change")
        packages = [*PACKAGES, *({outcome.mutant.package for outcome in self.outcomes} - {*PACKAGES})]
        for package in packages:
            part = Report(self.listed, [one for one in self.outcomes if one.mutant.package == package])
            if part.outcomes:
                shown.add_row(package, *part._cells())
        shown.add_section()
        shown.add_row("all", *self._cells())
        return shown

    def _cells(self) -> tuple[str, ...]:
        same = len(self.outcomes) - self.killed - len(self.survivors)
        return (*map(str, (len(self.outcomes), self.killed, same, len(self.survivors))), f"{self.rate:.1%}")

    def told(self) -> list[str]:
        """Every mutant that was not killed, as a diff, with the reason if it is known; and listed ones that died."""
        lines: list[str] = []
        for outcome in sorted(self.outcomes, key=lambda outcome: (outcome.mutant.file, outcome.mutant.edit.line)):
            if not outcome.killed:
                lines += described(outcome.mutant)
                lines.append(f"    changes nothing: {reason}" if (reason := self.reason(outcome)) else "    SURVIVED")
            elif reason_of(outcome.mutant, self.listed):
                lines += [*described(outcome.mutant), f"    is listed as equivalent, and was killed: {outcome.test}"]
        return lines


def described(mutant: Mutant) -> list[str]:
    """Place, kind and diff."""
    return [f"{mutant.place} ({mutant.edit.kind})", *(f"    {line}" for line in mutant.diff)]


def gone(listed: Sequence[Equivalent], mutants: Sequence[Mutant]) -> list[Equivalent]:
    """Listed ones that are no mutant of the source any more."""
    return [one for one in listed if not any(one.is_(mutant) for mutant in mutants)]

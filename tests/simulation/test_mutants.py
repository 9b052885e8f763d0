"""The simulation is worth its name only if it finds what is broken: every mutant, within its seeds."""

from __future__ import annotations

import pytest

from rayflow.testing.simulation.simulation import Simulation, SimulationFailed
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.time_mutants import TIME_MUTANTS


def seeds_until_found(mutant: Mutant) -> int | None:
    """How many seeds it takes; None when `found_in` are not enough."""
    for seed in range(mutant.found_in):
        try:
            Simulation(seed, shape=mutant.shape, faults=mutant.faults).run()
        except SimulationFailed as failed:
            if isinstance(failed.__cause__, (AttributeError, NameError, TypeError)):
                raise  # the mutant is broken, not the protocol
            return seed + 1
    return None


@pytest.mark.no_cover
@pytest.mark.parametrize("mutant", [*MUTANTS, *TIME_MUTANTS], ids=lambda mutant: mutant.name)
def test_a_mutant_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.apply(monkeypatch)
    assert seeds_until_found(mutant) is not None

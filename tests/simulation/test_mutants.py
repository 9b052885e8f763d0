"""The simulation is worth its name only if it finds what is broken: every mutant, within its seeds."""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from rayflow.core.errors import (
    CheckpointsBehindOutput,
    InvariantBroken,
    MarkerLost,
    ObjectMissing,
    OutputOfAnotherRun,
)
from rayflow.engine.coordinator import Coordinator
from rayflow.testing import simulation
from rayflow.testing.simulation.simulation import Simulation, SimulationFailed
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.time_mutants import TIME_MUTANTS

ORACLE = Path(simulation.__file__).parent
"""Whose assertions are verdicts."""
TOLD = (InvariantBroken, ObjectMissing, CheckpointsBehindOutput, MarkerLost, OutputOfAnotherRun)
"""How a job itself says that the protocol is broken."""


def is_verdict(failed: SimulationFailed) -> bool:
    """Whether the oracle or the job found the fault; anything else is an accident, of the mutant itself for one."""
    cause = failed.__cause__
    if isinstance(cause, AssertionError):
        return ORACLE in Path(traceback.extract_tb(cause.__traceback__)[-1].filename).parents
    return cause is None or isinstance(cause, TOLD)


def seeds_until_found(mutant: Mutant) -> int | None:
    """How many seeds it takes; None when `found_in` are not enough. Raises what is no verdict."""
    for seed in range(mutant.found_in):
        try:
            Simulation(seed, shape=mutant.shape, faults=mutant.faults).run()
        except SimulationFailed as failed:
            if not is_verdict(failed):
                raise
            return seed + 1
    return None


@pytest.mark.no_cover
@pytest.mark.parametrize("mutant", [*MUTANTS, *TIME_MUTANTS], ids=lambda mutant: mutant.name)
def test_a_mutant_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.apply(monkeypatch)
    assert seeds_until_found(mutant) is not None


@pytest.mark.parametrize("accident", [KeyError, IndexError, AssertionError, RuntimeError])
def test_a_mutant_that_only_stumbles_is_not_found(accident: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise accident

    monkeypatch.setattr(Coordinator, "handle", stumble)
    with pytest.raises(SimulationFailed):
        seeds_until_found(replace(MUTANTS[0], found_in=1))

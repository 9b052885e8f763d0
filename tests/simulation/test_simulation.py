"""Whole jobs in a model world that breaks: exact under every seed, the same under the same seed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rayflow.testing.simulate import main
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.simulation import Simulation

SEEDS = 200
GROUPS = 8

TRACED = """
import hashlib, sys
from rayflow.testing.simulation.simulation import Simulation
digest = hashlib.sha256()
for seed in (1, 5, 9, 27):
    simulation = Simulation(seed, on_note=lambda *note: digest.update(repr(note).encode()))
    digest.update(repr(simulation.run()).encode())
    for name, data in sorted(simulation.store.objects.items()):
        digest.update(name.encode() if name.startswith("attempts/") else name.encode() + data)
print(digest.hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
def test_every_seed_is_exact(group: int) -> None:
    for seed in range(group * SEEDS // GROUPS, (group + 1) * SEEDS // GROUPS):
        Simulation(seed).run()


def test_a_world_in_which_nothing_goes_wrong_needs_one_attempt() -> None:
    for seed in range(5):
        report = Simulation(seed, faults=Faults()).run()
        assert report.attempts == 1
        assert report.records


def test_crashes_cost_attempts_and_nothing_else() -> None:
    report = Simulation(3, faults=Faults(crash=0.003)).run()
    assert report.attempts > 1
    assert sum(report.crashes.values()) >= report.attempts - 1


def test_a_seed_gives_the_same_trace_and_the_same_bytes_whatever_the_hash_seed() -> None:
    def digest(hash_seed: str) -> str:
        answer = subprocess.run(
            [sys.executable, "-c", TRACED],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        )
        return answer.stdout.strip()

    assert digest("1") == digest("4242")


def test_a_seed_can_be_replayed_with_its_trace() -> None:
    result = CliRunner().invoke(main, ["--replay", "0", "--trace"])
    assert result.exit_code == 0, result.output
    assert "1/coordinator" in result.output
    assert "1 exact" in result.output


def test_several_seeds_are_summed_up() -> None:
    result = CliRunner().invoke(main, ["--seeds", "3", "--first", "2"])
    assert result.exit_code == 0, result.output
    assert "3 exact" in result.output


def test_a_failing_seed_gives_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayflow.engine.alignment.Alignment.holds", lambda self, event: False)
    result = CliRunner().invoke(main, ["--first", "10", "--seeds", "8"])
    assert result.exit_code == 1
    assert "seed" in result.output

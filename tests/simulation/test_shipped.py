"""The simulation proves what ships: it runs the drivers of `hosting`, and every mutant breaks a module that ships."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.time_mutants import TIME_MUTANTS

ROOT = Path(__file__).parents[2]
HOSTING = ROOT / "rayflow" / "runtimes" / "hosting"

OF_REAL_RUNS = {
    *("samples.py", "start.py", "options.py", "epoch_times.py", "savepoints.py", "last_savepoints.py"),
    *("status.py", "control.py", "overview.py", "worker_metrics.py", "metrics_feed.py", "queries.py", "reading.py"),
}
"""What a run on a real machine has besides its drivers: sample data, where it starts, its folders, the savepoints and
queries that people ask for (`test_queries` simulates those), and its status and figures."""
DRIVERS = {
    *("worker.py", "coordinator.py", "takeover.py", "commits.py", "epoch_work.py", "polling.py", "worker_host.py"),
    *("channels/incoming.py", "channels/outgoing.py"),
}
LEAST = 0.5
"""Share of the lines of each driver's functions that a few seeds must run."""

MEASURED = """
import ast, sys
from pathlib import Path
import coverage
measured = coverage.Coverage(source=["rayflow.runtimes.hosting"], concurrency=["greenlet"], data_file=None)
measured.start()
from rayflow.testing.simulation.simulation import Simulation
for seed in range(25):
    Simulation(seed).run()
measured.stop()
hosting = Path(sys.argv[1])
for path in sorted(hosting.rglob("*.py")):
    _, statements, _, missing, _ = measured.analysis2(str(path))
    bodies = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    inside = {line for body in bodies for line in range(body.body[0].lineno, body.end_lineno + 1)}
    lines = inside & set(statements)
    print(path.relative_to(hosting), len(lines - set(missing)), len(lines))
"""


def test_the_simulation_runs_the_drivers_that_ship() -> None:
    command = [sys.executable, "-c", MEASURED, str(HOSTING)]
    environment = {"PYTHONPATH": str(ROOT)}
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    shares = {name: (int(run), int(all)) for name, run, all in map(str.split, answer.stdout.splitlines())}
    assert shares.keys() == {str(path.relative_to(HOSTING)) for path in HOSTING.rglob("*.py")}
    little = {name: f"{run} of {all}" for name, (run, all) in shares.items() if run < LEAST * all}
    assert little.keys() <= OF_REAL_RUNS, little
    assert not DRIVERS & little.keys()
    assert shares.keys() >= DRIVERS


class Recorded(pytest.MonkeyPatch):
    """Remembers which modules' names it has set."""

    def __init__(self) -> None:
        super().__init__()
        self.modules: set[str] = set()

    def setattr(self, target: Any, *what: Any, **named: Any) -> None:  # type: ignore[override]
        self.modules.add(target.__module__ if isinstance(target, type) else target.__name__)
        super().setattr(target, *what, **named)


@pytest.mark.parametrize("mutant", [*MUTANTS, *TIME_MUTANTS], ids=lambda mutant: mutant.name)
def test_a_mutant_breaks_what_ships(mutant: Mutant) -> None:
    patch = Recorded()
    try:
        mutant.apply(patch)
    finally:
        patch.undo()
    assert patch.modules
    for module in patch.modules:
        assert module.startswith("rayflow."), module
        assert not module.startswith(("rayflow.testing.", "rayflow.runtimes.simulated")), module

"""Which tests a mutant of a module has to get past, the cheapest first.

First the tests of its layer, then the contracts that it has to keep, then whole jobs: simulated, counted, in processes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UNITS: Mapping[str, Sequence[str]] = {
    "engine": ("tests/engine",),
    "state": ("tests/state", "tests/operators/test_timers.py", "tests/operators/test_expiry.py"),
    "checkpoint": ("tests/checkpoint",),
    "operators": ("tests/operators", "tests/engine/test_calls.py", "tests/engine/test_operator_contract.py"),
    "connectors": (
        *(f"tests/connectors/test_{name}.py" for name in ("parts", "registry", "sources_that_changed")),
        "tests/contracts/test_toys.py",
    ),
    "connectors/files": ("tests/connectors/files",),
    "connectors/embedded": ("tests/connectors/embedded",),
    "connectors/kafka": (
        *(
            f"tests/connectors/kafka/test_{name}.py"
            for name in (
                *("config", "faults", "client", "outbox", "columns", "tries", "positions", "at_least_once"),
                *("scripted_reader", "scripted_admin", "scripted_writers", "scripted_publisher"),
                *("plain_producer", "publisher", "reader"),
            )
        ),
    ),
}
"""By the longest folder below `rayflow` that a module is in."""
CONTRACTS: Mapping[str, Sequence[str]] = {
    "state": ("tests/contracts/test_stores.py",),
    "checkpoint": ("tests/contracts/test_checkpoint_stores.py",),
    "connectors": ("tests/contracts/test_connectors.py",),
    "connectors/files": ("tests/contracts/test_connectors.py",),
    "connectors/embedded": ("tests/contracts/test_connectors.py",),
    "connectors/kafka": (
        *(f"tests/connectors/kafka/test_{name}.py" for name in ("contract", "crash", "security")),
        "tests/cli/test_kafka.py",
    ),
}
COUNTED = ("tests/work", "tests/public/test_driver.py", "tests/plan", "tests/golden", "tests/runtimes")
PROCESSES = (
    *(f"tests/e2e/test_{name}.py" for name in ("until_end", "at_least_once", "bad_records", "savepoints")),
    *(f"tests/e2e/test_{name}.py" for name in ("idle_partitions", "partitions", "upgrades", "damage", "large_records")),
    *(f"tests/e2e/test_{name}.py" for name in ("chained_windows", "clock", "equal_keys", "rebuilds_after_upgrades")),
    *(f"tests/e2e/test_{name}.py" for name in ("lost_markers", "resources", "second_process", "disk_full")),
    *(f"tests/cli/test_{name}.py" for name in ("checkpoints", "live", "jobs", "run")),
    "tests/jobs",
)
CRASHES = ("tests/simulation/test_enumeration.py",)
SEEDS = 40
"""Of the simulation."""
BROKER = "connectors/kafka"
"""The folder whose tests need a Kafka."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command that fails if it notices the mutant."""

    name: str
    command: tuple[str, ...]
    broker: bool = False


def folder_of(file: str) -> str:
    """The key of `UNITS` for a file such as `rayflow/engine/task.py`."""
    inside = file.removeprefix("rayflow/")
    return max((folder for folder in UNITS if inside.startswith(f"{folder}/")), key=len)


def steps(file: str) -> list[Step]:
    """What is run on a mutant of a file, in this order, until something fails."""
    folder = folder_of(file)
    broker = folder == BROKER
    found = [_pytest("unit", (*UNITS[folder], file), broker)]
    if folder in CONTRACTS:
        found.append(_pytest("contracts", CONTRACTS[folder], broker))
    if broker:
        return found
    if not folder.startswith("connectors"):
        simulate = (sys.executable, "-m", "rayflow.testing.simulate", "--seeds", str(SEEDS), "--jobs", "1")
        found.append(Step("simulation", simulate))
    found.append(_pytest("counted", COUNTED))
    found.append(_pytest("processes", PROCESSES))
    if not folder.startswith("connectors"):
        found.append(_pytest("crashes", CRASHES))
    return found


def _pytest(name: str, paths: Sequence[str], broker: bool = False) -> Step:
    """pytest until the first failure; random tests draw the same examples each time, a test that hangs is given up."""
    options = ("-x", "-q", "-rf", "--no-header", "--tb=line", "--hypothesis-seed=0", "--timeout=120")
    return Step(
        name, (sys.executable, "-m", "pytest", *paths, *options, *(() if broker else ("-k", "not kafka"))), broker
    )

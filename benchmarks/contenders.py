"""Who takes part: each as the command that runs a workload from one topic to another, to the end of the input."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workloads import Workload

JOBS = Path(__file__).with_name("jobs")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run reads, writes and keeps its state; `name` is fresh, for groups and transactions."""

    name: str
    broker: str
    source: str
    sink: str
    state: Path


def rayflow(workload: Workload, place: Place) -> list[str]:
    """The job file, as people run it."""
    return [
        *(sys.executable, "-m", "rayflow.cli", "run", str(JOBS / f"{workload.job}.py")),
        *("--broker", f"kafka://{place.broker}", "--until-end", "--state", str(place.state)),
        *("--set", f"job={place.name}", "--set", f"source={place.source}", "--set", f"sink={place.sink}"),
    ]


def by_hand(workload: Workload, place: Place) -> list[str]:
    """The loop."""
    return [
        *(sys.executable, "-m", "benchmarks.byhand", workload.by_hand, "--broker", place.broker),
        *("--source", place.source, "--sink", place.sink, "--group", place.name, "--state", str(place.state)),
    ]


BY_HAND, RAYFLOW = "by hand", "rayflow"
CONTENDERS: dict[str, Callable[[Workload, Place], list[str]]] = {BY_HAND: by_hand, RAYFLOW: rayflow}
"""In the order in which they take turns."""

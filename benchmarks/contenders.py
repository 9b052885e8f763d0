"""Who takes part: each as the command that runs a workload from one topic to another, to the end of the input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from benchmarks.command import rayflow_command
from benchmarks.measure import Usage, measured
from benchmarks.ray_usage import measured_on_ray
from benchmarks.workloads import BY_HAND, RAYFLOW, WORKLOADS, Workload

EVERY_UPDATE = {"count-epoch": "updates_per_user", "shuffle-epoch": "updates_per_item"}
"""The answers of those who cannot leave updates out."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run reads, writes and keeps its state; `name` is fresh, for groups, transactions and topics."""

    name: str
    broker: str
    source: str
    sink: str
    state: Path


@dataclass(frozen=True, slots=True)
class Contender:
    """One engine, or the loop.

    Attributes:
        delivery: what it promises in these runs.
        answers: the check of its output for each workload that it takes part in.
        command: the process that runs a workload to the end of its input, and ends with everything written.
        prepare: installs it if need be and gives the versions. Raises NotInstalled.
        measured: runs the command and tells what it used. Raises RunFailed, TimeoutError.
    """

    name: str
    delivery: str
    answers: Mapping[str, str]
    command: Callable[[Workload, Place], list[str]]
    prepare: Callable[[], str]
    measured: Callable[[Sequence[str], Path], Usage] = measured


class NotInstalled(Exception):
    """A contender cannot be had on this machine; the text says why."""


def _rayflow(workload: Workload, place: Place, workers: int = 0) -> list[str]:
    """The job file, as people run it."""
    settings = {"job": place.name, "source": place.source, "sink": place.sink}
    return rayflow_command(workload.job, place.state, broker=place.broker, workers=workers, settings=settings)


def _by_hand(workload: Workload, place: Place) -> list[str]:
    """The loop."""
    return [
        *(sys.executable, "-m", "benchmarks.byhand", workload.every_update, "--broker", place.broker),
        *("--source", place.source, "--sink", place.sink, "--group", place.name, "--state", str(place.state)),
    ]


def _versions() -> str:
    names = ("confluent-kafka", "msgspec", "lmdb")
    return ", ".join([f"Python {sys.version.split()[0]}", *(f"{name} {version(name)}" for name in names)])


OWN = (
    Contender(
        BY_HAND,
        "exactly once",
        {name: EVERY_UPDATE.get(name, workload.answer) for name, workload in WORKLOADS.items()},
        _by_hand,
        _versions,
    ),
    Contender(
        RAYFLOW,
        "exactly once",
        {name: workload.answer for name, workload in WORKLOADS.items()},
        _rayflow,
        _versions,
    ),
)
"""Those that need no installation, in the order in which they take turns."""


def on_ray(workers: int) -> Contender:
    """rayflow on a Ray of this machine, with so many workers."""
    return replace(
        OWN[1],
        name=f"ray-{workers}",
        command=partial(_rayflow, workers=workers),
        prepare=lambda: f"Ray {version('ray')}, {workers} worker{'s' if workers > 1 else ''}",
        measured=measured_on_ray,
    )

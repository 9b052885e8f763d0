"""The figures: as a table for people, as JSON for comparisons over time."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from benchmarks.campaign import Run
from benchmarks.contenders import BY_HAND
from benchmarks.workloads import WORKLOADS


def ratios(runs: Sequence[Run]) -> list[float]:
    """Per round, CPU per record over the loop's in the same round; empty where the loop did not run.

    The two of a round run one after the other, so what else the machine does weighs on both.
    """
    loop = {run.round: run.microseconds for run in runs if run.contender == BY_HAND}
    return [run.microseconds / loop[run.round] for run in runs if run.contender != BY_HAND and run.round in loop]


def table(runs: Sequence[Run]) -> Table:
    """One row a workload and contender: medians over the rounds."""
    shown = Table(title="CPU per record, start-up taken out: median (least) over the rounds", title_justify="left")
    shown.add_column("workload")
    shown.add_column("contender")
    for heading in ("us/record", "ratio", "records/s", "start-up s", "peak MB", "outputs"):
        shown.add_column(heading, justify="right")
    for name in dict.fromkeys(run.workload for run in runs):
        of_workload = [run for run in runs if run.workload == name]
        for contender in dict.fromkeys(run.contender for run in of_workload):
            shown.add_row(*_row(name, contender, of_workload))
        shown.add_section()
    return shown


def _row(name: str, contender: str, of_workload: Sequence[Run]) -> tuple[str, ...]:
    mine = [run for run in of_workload if run.contender == contender]
    costs = [run.microseconds for run in mine]
    compared = ratios(of_workload) if contender != BY_HAND else []
    wall = median(run.used.wall for run in mine)
    return (
        name,
        contender,
        f"{median(costs):.2f} ({min(costs):.2f})",
        f"{median(compared):.2f} ({min(compared):.2f})" if compared else "",
        f"{mine[0].records / wall:,.0f}" if wall > 0 else "",
        f"{median(run.start_up.cpu for run in mine):.2f}",
        f"{max(run.used.memory for run in mine) / 1e6:.0f}",
        f"{mine[-1].outputs:,}",
    )


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """The machine, the versions, every run, and the median ratio of each workload."""
    by_workload = {name: [run for run in runs if run.workload == name] for name in WORKLOADS}
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "versions": {name: version(name) for name in ("confluent-kafka", "msgspec", "lmdb")},
        "ratios": {
            name: round(median(found), 4) for name, of_workload in by_workload.items() if (found := ratios(of_workload))
        },
        "runs": [run.facts() for run in runs],
    }


def write_json(runs: Sequence[Run], path: Path) -> None:
    """Write the summary."""
    path.write_text(json.dumps(summary(runs), indent=1) + "\n")

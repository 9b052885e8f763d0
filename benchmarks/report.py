"""The figures: as a table for people, as JSON for comparisons over time."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from benchmarks.campaign import NoResult, Run
from benchmarks.workloads import BY_HAND, RAYFLOW, WORKLOADS


def ratio(runs: Sequence[Run], workload: str, contender: str, other: str) -> float | None:
    """The median over the rounds of one contender's CPU per record over another's; None where either did not run.

    The two of a round run one after the other, so what else the machine does weighs on both.
    """
    of_workload = [run for run in runs if run.workload == workload]
    theirs = {run.round: run.microseconds for run in of_workload if run.contender == other}
    compared = [
        run.microseconds / theirs[run.round]
        for run in of_workload
        if run.contender == contender and theirs.get(run.round, 0.0) > 0
    ]
    return median(compared) if compared else None


def table(results: Sequence[Run | NoResult], title: str) -> Table:
    """One row a workload and contender: medians over the rounds."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("workload")
    shown.add_column("contender")
    for heading in (
        "us/record",
        "of the loop",
        "rayflow/it",
        "target",
        "records/s",
        "start-up s",
        "peak MB",
        "outputs",
    ):
        shown.add_column(heading, justify="right")
    runs = [run for run in results if isinstance(run, Run)]
    for name in dict.fromkeys(run.workload for run in results):
        for contender in dict.fromkeys(run.contender for run in results if run.workload == name):
            mine = [run for run in runs if (run.workload, run.contender) == (name, contender)]
            if mine:
                shown.add_row(*_row(runs, mine))
            for none in results:
                if isinstance(none, NoResult) and (none.workload, none.contender) == (name, contender):
                    shown.add_row(name, contender, "no result", *[""] * 7)
        shown.add_section()
    return shown


def _row(runs: Sequence[Run], mine: Sequence[Run]) -> tuple[str, ...]:
    name, contender = mine[0].workload, mine[0].contender
    costs = [run.microseconds for run in mine]
    at_most = WORKLOADS[name].at_most.get(contender)
    return (
        name,
        contender,
        f"{median(costs):.2f} ({min(costs):.2f})",
        _number(ratio(runs, name, contender, BY_HAND) if contender != BY_HAND else None),
        _number(ratio(runs, name, RAYFLOW, contender) if contender != RAYFLOW else None),
        "" if at_most is None else f"<= {at_most:.2f}",
        f"{median(run.rate for run in mine):,.0f}",
        f"{median(run.start_up for run in mine):.2f}",
        f"{max(run.long.memory for run in mine) / 1e6:.0f}",
        f"{mine[-1].outputs:,}",
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def summary(results: Sequence[Run | NoResult], about: Mapping[str, Any]) -> dict[str, Any]:
    """The machine, what the caller says about the call, rayflow's ratios and targets, every run and every failure."""
    runs = [run for run in results if isinstance(run, Run)]
    ratios: dict[str, dict[str, Any]] = {}
    for run in runs:
        found = ratio(runs, run.workload, RAYFLOW, run.contender)
        if found is not None and run.contender != RAYFLOW:
            at_most = WORKLOADS[run.workload].at_most.get(run.contender)
            ratios.setdefault(run.workload, {})[run.contender] = {"ratio": round(found, 4), "at_most": at_most}
    return {**machine(), **about, "rayflow_over": ratios, **each(results)}


def each(results: Sequence[Run | NoResult]) -> dict[str, Any]:
    """Every run, and every failure with its reason."""
    nones = [none for none in results if isinstance(none, NoResult)]
    return {
        "runs": [run.facts() for run in results if isinstance(run, Run)],
        "no_result": [{"workload": none.workload, "contender": none.contender, "why": none.why} for none in nones],
    }


def machine() -> dict[str, Any]:
    """When and where something was measured, and what else the machine was doing."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "cpus": os.cpu_count(),
            "load": round(os.getloadavg()[0], 2),
            "python": platform.python_version(),
            "system": platform.platform(),
        },
    }


def write_json(facts: Mapping[str, Any], path: Path) -> None:
    """Write figures, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=1) + "\n")

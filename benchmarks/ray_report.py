"""The figures of `--runtime ray`: each worker count beside the local runtime of the same rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from rich.table import Table

from benchmarks.campaign import NoResult, Run
from benchmarks.ray_usage import RayUsage
from benchmarks.report import each, machine, ratio
from benchmarks.workloads import RAYFLOW, WORKLOADS

HEADINGS = ("us/record", "of local", "target", "records/s", "of 1 worker", "Ray's own", "coordinator", "peak MB")


def ray_table(results: Sequence[Run | NoResult], title: str) -> Table:
    """One row a workload and runtime: medians over the rounds. `of local`: records per CPU second over the local
    runtime's. `Ray's own`: CPUs that Ray's processes and the waiting command keep busy meanwhile. The coordinator's
    share is in `us/record`."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("workload")
    shown.add_column("runtime")
    for heading in HEADINGS:
        shown.add_column(heading, justify="right")
    runs = [run for run in results if isinstance(run, Run)]
    for name in dict.fromkeys(run.workload for run in results):
        for runtime in dict.fromkeys(run.contender for run in results if run.workload == name):
            mine = [run for run in runs if (run.workload, run.contender) == (name, runtime)]
            if mine:
                cells, missed = _row(runs, mine)
                shown.add_row(*cells, style="red" if missed else None)
            if any(
                (none.workload, none.contender) == (name, runtime) for none in results if isinstance(none, NoResult)
            ):
                shown.add_row(name, runtime, "no result")
        shown.add_section()
    return shown


def _row(runs: Sequence[Run], mine: Sequence[Run]) -> tuple[list[str], bool]:
    name, runtime = mine[0].workload, mine[0].contender
    costs = [run.microseconds for run in mine]
    rate = median(run.rate for run in mine)
    cells = [name, runtime, f"{median(costs):.2f} ({min(costs):.2f})"]
    memory = f"{max(run.long.memory for run in mine) / 1e6:.0f}"
    share = ratio(runs, name, RAYFLOW, runtime) if runtime != RAYFLOW else None
    if share is None:
        return [*cells, "", "", f"{rate:,.0f}", "", "", "", memory], False
    target = WORKLOADS[name].on_ray
    ones = [run.rate for run in runs if (run.workload, run.contender) == (name, "ray-1")]
    used = [run.long for run in mine if isinstance(run.long, RayUsage)]
    own, coordinator = (median(getattr(each, part) / each.wall for each in used) for part in ("others", "coordinator"))
    faster = f"{rate / median(ones):.2f}" if ones and median(ones) else ""
    cells += [f"{share:.2f}", f">= {target:.2f}", f"{rate:,.0f}", faster, f"{own:.3f}", f"{coordinator:.3f}", memory]
    return cells, share < target


def ray_summary(results: Sequence[Run | NoResult], about: Mapping[str, Any]) -> dict[str, Any]:
    """The machine, what the caller says about the call, shares and targets, every run and every failure."""
    runs = [run for run in results if isinstance(run, Run)]
    shares: dict[str, dict[str, Any]] = {}
    for run in runs:
        share = ratio(runs, run.workload, RAYFLOW, run.contender)
        if share is not None and run.contender != RAYFLOW:
            at_least = WORKLOADS[run.workload].on_ray
            shares.setdefault(run.workload, {})[run.contender] = {"share": round(share, 4), "at_least": at_least}
    return {**machine(), **about, "of_local": shares, **each(results)}

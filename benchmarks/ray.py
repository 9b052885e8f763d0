"""`python -m benchmarks.ray`: what the Ray runtime costs besides the records themselves.

The cost of records on Ray, beside one process: `python -m benchmarks --runtime ray`.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import click

from benchmarks.broker import broker_option, workshop
from benchmarks.command import JOBS
from benchmarks.figures import Figure, json_option, show
from benchmarks.frames import frame_costs
from benchmarks.measure import cpu_seconds, private_memory_of
from benchmarks.memory import slow_sink
from benchmarks.orders import Topics
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.ray.client import Cluster
from rayflow.runtimes.ray.spec import JobSpec

PARTS = ("frames", "idle", "sink")
WORKERS = 2
SETTLE = 5.0
"""Seconds after the start that do not count as idle."""
PATIENCE = 120.0
"""Seconds within which a job runs."""


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--records", default=1_000_000, show_default=True, help="Records through frames, and to the slow sink.")
@click.option("--tasks", default=64, show_default=True, help="Tasks that are idle.")
@click.option("--seconds", default=30.0, show_default=True, help="How long the idle tasks are measured.")
@click.option("--times", default=10.0, show_default=True, help="How much slower the slow sink is.")
@click.option("--memory-limit", default=32, show_default=True, help="The job's memory_limit with the slow sink, MiB.")
@broker_option
@json_option("ray-parts")
def main(
    parts: tuple[str, ...],
    records: int,
    tasks: int,
    seconds: float,
    times: float,
    memory_limit: int,
    broker: str | None,
    json_file: Path,
) -> None:
    """Measure PARTS (default: all): frames between workers, idle tasks, memory with a slow sink."""
    figures: list[Figure] = []
    with workshop(broker) as (topics, folder):
        for part in parts or PARTS:
            match part:
                case "frames":
                    figures += frame_costs(records)
                case "idle":
                    figures += idle(topics, folder, tasks, seconds)
                case "sink":
                    figures += slow_sink(topics, folder, records, times, memory_limit, job="moved", workers=WORKERS)
    about = {"records": records, "tasks": tasks, "seconds": seconds, "times": times, "memory_limit": memory_limit}
    show(f"on Ray, {WORKERS} workers", figures, json_file, about)


def idle(topics: Topics, folder: Path, tasks: int, seconds: float) -> list[Figure]:
    """A job that has nothing to do."""
    name = f"bench-idle-{uuid.uuid4().hex[:8]}"
    topics.create(f"{name}-in", tasks)
    topics.create(f"{name}-out")
    options = RunOptions(broker=f"kafka://{topics.broker}", state=folder / name)
    spec = JobSpec(
        name,
        str(JOBS / "count.py"),
        options,
        uuid.uuid4().hex,
        uuid.uuid4().hex,
        parameters={"job": name, "source": f"{name}-in", "sink": f"{name}-out"},
        workers=WORKERS,
    )
    try:
        with Cluster(None, local_cpus=max(os.cpu_count() or 1, WORKERS)) as cluster:
            job = cluster.submit(spec)
            status = job.until_running(PATIENCE)
            pids = {f"worker {worker.slot}": worker.pid for worker in status.workers} | {"coordinator": status.pid}
            time.sleep(SETTLE)
            before, began = _cpu(pids), time.monotonic()
            time.sleep(seconds)
            after, passed = _cpu(pids), time.monotonic() - began
            memory = {who: private_memory_of(pid) for who, pid in pids.items()}
            job.stop(timeout=PATIENCE)
    finally:
        topics.delete_with(name)
    shares = {who: (after[who] - before[who]) / passed * 100 for who in pids}
    workers = sum(share for who, share in shares.items() if who != "coordinator")
    return [
        Figure(f"{tasks} idle tasks: {WORKERS} workers", workers, "% of a CPU"),
        Figure(f"{tasks} idle tasks: coordinator", shares["coordinator"], "% of a CPU"),
        *(Figure(f"{tasks} idle tasks, {who}: RssAnon", size / (1 << 20), "MiB") for who, size in memory.items()),
    ]


def _cpu(pids: Mapping[str, int]) -> dict[str, float]:
    return {who: cpu_seconds(pid) for who, pid in pids.items()}


if __name__ == "__main__":
    main()

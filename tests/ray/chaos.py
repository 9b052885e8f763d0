"""Faults of every kind against a job on a Ray cluster and a real Kafka: `python -m tests.ray.chaos --faults 50`."""

from __future__ import annotations

import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.ray.client import Cluster, JobHandle
from rayflow.runtimes.ray.spec import JobSpec
from tests.kafka.broker import Broker
from tests.kafka.client import until
from tests.ray.faults import STALLED, Faults
from tests.ray.following import SpreadFollower
from tests.ray.machines import Machines
from tests.soak.job import SINKS, SOURCE
from tests.soak.load import PARTITIONS, Orders
from tests.soak.processes import JOB_FILE, LoadProcess
from tests.soak.soak import UNDRAINED
from tests.soak.wrong import Wrong

HEARTBEAT = 5.0
INTERVAL = 200
"""Between two checkpoints, ms."""


@dataclass
class Figures:
    """What happened. `recoveries`: by kind, seconds from the fault to the next commit. `load`: of the machine."""

    recoveries: dict[str, list[float | None]] = field(default_factory=dict)
    pauses: list[float] = field(default_factory=list)
    visits: int = 0
    outputs: int = 0
    seconds: float = 0.0
    load: list[float] = field(default_factory=list)


class Chaos:
    """One run: a head and two nodes, 2 workers at first, the soak's job (two exchanges, seven sinks) and its load.

    Attributes:
        figures: what happened so far.
    """

    def __init__(self, folder: Path, seed: int, rate: float, say: Callable[[str], None]) -> None:
        self.figures = Figures()
        self._folder = folder
        self._seed = seed
        self._rate = rate
        self._say = say

    def run(self, faults: int, minutes: float) -> Figures:
        """Raises Wrong for what the job must not do."""
        began = time.monotonic()
        with ExitStack() as stack:
            broker = Broker(self._folder / "kafka").start()
            stack.callback(broker.close)
            for topic in (SOURCE, *SINKS):
                broker.create(topic, PARTITIONS)
            machines = stack.enter_context(Machines(3, head_cpus=0))
            cluster = stack.enter_context(Cluster(machines.address))
            job = cluster.submit(self._spec(broker))
            job.until_running(STALLED)
            load = LoadProcess(self._folder, Orders(broker.bootstrap, self._seed, self._rate))
            stack.callback(load.close)
            follower = SpreadFollower(broker, "soak")
            stack.callback(follower.close)
            faulty = Faults(machines, job, broker, follower, random.Random(self._seed), HEARTBEAT)
            stack.callback(faulty.close)
            try:
                # Before its first watermark TTLs go by the wall clock (docs/concepts/state.md), which the oracle
                # knows nothing of: faults come once a checkpoint has one.
                self._wait(follower, lambda: job.status().epoch > 1 and job.status().watermark is not None)
                self._disturb(faulty, faults, minutes)
                self._finish(job, load, follower)
            except Exception:
                self._keep_log(job)
                raise
            finally:
                self.figures.visits, self.figures.outputs = follower.expected.taken, follower.expected.shown
                self.figures.seconds = time.monotonic() - began
        return self.figures

    def _spec(self, broker: Broker) -> JobSpec:
        options = RunOptions(broker=broker.url, state=self._folder / "state", checkpoint_interval=INTERVAL)
        secrets = uuid.uuid4().hex, uuid.uuid4().hex
        return JobSpec("soak", str(JOB_FILE), options, *secrets, workers=2, heartbeat_timeout=HEARTBEAT)

    def _disturb(self, faults: Faults, number: int, minutes: float) -> None:
        self.figures.recoveries = faults.recoveries
        until = time.monotonic() + minutes * 60
        for count, kind in enumerate(faults.bring(number, until), 1):
            took = faults.recoveries[kind][-1]
            self.figures.load.append(os.getloadavg()[0])
            text = "nothing to do" if took is None else f"{took:.1f} s"
            self._say(f"{count:3} {kind}: {text} (load {self.figures.load[-1]:.0f})")

    def _finish(self, job: JobHandle, load: LoadProcess, follower: SpreadFollower) -> None:
        written = load.finish()
        self._wait(follower, lambda: follower.expected.taken >= written.visits and follower.unread <= 0)
        self._wait(follower, lambda: _only_undrained(follower.settle(1.0)))
        self.figures.pauses = job.status().pauses
        job.stop(drain=True, timeout=STALLED)
        missing = follower.settle(60.0)
        if follower.wrong is not None:
            raise follower.wrong
        if missing:
            raise Wrong(f"drained, these are still missing: {missing}")

    def _wait(self, follower: SpreadFollower, done: Callable[[], bool]) -> None:
        def met() -> bool:
            if follower.wrong is not None:
                raise follower.wrong
            return done()

        until(met, STALLED)

    def _keep_log(self, job: JobHandle) -> None:
        (self._folder / "job.log").write_text("\n".join(job.logs()[1]))


def _only_undrained(missing: dict[str, int]) -> bool:
    return all(count <= UNDRAINED.get(topic, 0) for topic, count in missing.items())


def table_of(figures: Figures) -> Table:
    """Recovery per kind of fault."""
    table = Table("fault", "times", "p50 s", "worst s")
    for kind, times in sorted(figures.recoveries.items()):
        known = [each for each in times if each is not None]
        middle, worst = (f"{statistics.median(known):.1f}", f"{max(known):.1f}") if known else ("-", "-")
        table.add_row(kind, str(len(times)), middle, worst)
    return table


@click.command()
@click.option("--faults", default=50, show_default=True)
@click.option("--minutes", default=60.0, show_default=True, help="At most.")
@click.option("--seed", type=int, default=None, help="Default: a new one, printed.")
@click.option("--rate", default=200.0, show_default=True, help="Visits per second, about.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures there.")
def main(faults: int, minutes: float, seed: int | None, rate: float, json_file: Path | None) -> None:
    """Kill workers, nodes and the coordinator, stop a worker for too long, restart Kafka and rescale, all at random.

    What read_committed readers see is compared all the time with what the input must give. Exit code 1 if it differs.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no process of it stays behind
    seed = random.randrange(1 << 32) if seed is None else seed
    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="rayflow-chaos-"))
    console.print(f"seed {seed}, in {folder}")
    chaos = Chaos(folder, seed, rate, console.print)
    wrong: Exception | None = None
    try:
        chaos.run(faults, minutes)
    except Exception as error:  # noqa: BLE001 - whatever ended it, what was seen until then is told
        wrong = error
        if not isinstance(error, Wrong):
            console.print_exception()
    figures = chaos.figures
    console.print(table_of(figures))
    console.print(f"{figures.visits:,} visits in, {figures.outputs:,} records out, {figures.seconds / 60:.1f} minutes")
    if figures.load:
        console.print(f"load of the machine: {min(figures.load):.0f} to {max(figures.load):.0f}")
    if json_file is not None:
        told = None if wrong is None else f"{type(wrong).__name__}: {wrong}"
        json_file.write_bytes(msgspec.json.encode({"seed": seed, "wrong": told, "figures": figures}))
    if wrong is None:
        console.print("exact", style="green")
        shutil.rmtree(folder)
        return
    console.print(f"{type(wrong).__name__}: {wrong}", style="red", markup=False)
    console.print(f"logs, state and checkpoints: {folder}", markup=False)
    sys.exit(1)


if __name__ == "__main__":
    main()

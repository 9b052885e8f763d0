"""`python -m benchmarks.budget`: where a record's microseconds go, part by part, beside what each part costs alone.

Python's threads are sampled by py-spy; librdkafka's, which it cannot see, are counted by the kernel. A short run is
taken from a long one, so that start-up is in neither.
"""

from __future__ import annotations

import re
import shutil
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.broker import broker_option, workshop
from benchmarks.campaign import TINY
from benchmarks.command import rayflow_command
from benchmarks.figures import json_option
from benchmarks.flames import draw, tree_of
from benchmarks.floors import floors
from benchmarks.measure import TICK, RunFailed, children, followed
from benchmarks.orders import Topics
from benchmarks.report import machine, write_json
from benchmarks.workloads import WORKLOADS

RATE = 500
"""Samples per second."""
NATIVE = "librdkafka's threads"
JOBS = "|".join(workload.job for workload in WORKLOADS.values())
PARTS = {
    "consume": r"\bpoll \(rayflow/connectors/kafka/reader",
    "accessors": r" \(rayflow/connectors/kafka/columns",
    "decode": r"\bdecode\w* \(rayflow/serde/",
    "encode": r"\bencode\w* \(rayflow/serde/",
    "functions of the job": rf" \(({JOBS})\.py",
    "operators": r" \((<rayflow loop|rayflow/operators/(?!sink))",
    "staging": r" \(rayflow/(operators/sink|runtimes/hosting/segments|checkpoint/)",
    "state": r" \(rayflow/(state/|core/lmdb_file)",
    "publish": r" \(rayflow/connectors/",
    "exchange": r" \(rayflow/engine/(exchange|regrouping)",
    "the rest of the engine": r" \(rayflow/(engine|runtimes|core)/",
}
"""By the innermost frame that tells. What none of them tells (imports, the interpreter's end) is "other"."""
_PATTERNS = {part: re.compile(pattern) for part, pattern in PARTS.items()}
_WAITING = re.compile(
    r"(_worker \(concurrent/futures/thread|\bwait\w* \(threading|\b_run \(rayflow/connectors/kafka/caller)[^;]*$"
    r"|\b(PyThread_acquire_lock_timed|cnd_timedwait)\b"
)
"""Where a thread waits for work; py-spy takes some of these for busy."""


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds of one run, by part."""

    parts: Counter[str]

    def over(self, other: Spent, records: int) -> dict[str, float]:
        """What this run spent more, in us per record."""
        return {part: max(0.0, self.parts[part] - other.parts[part]) * 1e6 / records for part in self.parts}


@click.command()
@click.argument("workloads", nargs=-1, type=click.Choice(list(WORKLOADS)))
@click.option("--records", default=1_000_000, show_default=True)
@click.option("--svg", type=click.Path(path_type=Path), help="Also draw a flame graph of each, into this folder.")
@broker_option
@json_option("budget")
def main(workloads: Sequence[str], records: int, svg: Path | None, broker: str | None, json_file: Path) -> None:
    """Measure the parts of WORKLOADS (default: all)."""
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if spy is None:
        raise click.ClickException("py-spy is missing: pip install py-spy")
    found: dict[str, dict[str, float]] = {}
    with workshop(broker) as (topics, folder):
        profiler = Profiler(spy, topics, folder)
        for count in (TINY, records):
            topics.fill(source(count), count, lambda _: None)
        for name in workloads or WORKLOADS:
            click.echo(f"{name} ...", err=True)
            short, long = profiler.spent(name, TINY), profiler.spent(name, records)
            found[name] = long.over(short, records - TINY)
            if svg is not None:
                profiler.draw(name, records, svg / f"{name}.svg")
        click.echo("each part alone ...", err=True)
        alone = floors(topics, source(records), records)
    Console(width=150).print(table(found, alone))
    write_json({**machine(), "records": records, "parts": found, "alone": alone}, json_file)
    click.echo(f"written: {json_file}")


def source(count: int) -> str:
    """The topic that holds so many orders."""
    return f"orders-{count}"


class Profiler:
    """Runs jobs under py-spy, one after the other."""

    def __init__(self, spy: str, topics: Topics, folder: Path) -> None:
        self._spy = spy
        self._topics = topics
        self._folder = folder

    def spent(self, workload: str, count: int) -> Spent:
        """Where the CPU of one run went."""
        raw = self._folder / "samples"
        threads = self._run(
            workload, count, ["--rate", str(RATE), "--nonblocking", "--format", "raw", "--output", str(raw)]
        )
        native = sum(cpu for name, cpu in threads.values() if name.startswith("rdk:"))
        ours = sum(cpu for name, cpu in threads.values()) - native
        samples = parts_of(raw.read_text().splitlines())
        total = sum(samples.values()) or 1
        return Spent(Counter({NATIVE: native, **{part: ours * n / total for part, n in samples.items()}}))

    def draw(self, workload: str, count: int, file: Path) -> None:
        """A flame graph, with the frames of C."""
        raw = self._folder / "samples"
        self._run(workload, count, ["--rate", "200", "--native", "--format", "raw", "--output", str(raw)])
        file.parent.mkdir(parents=True, exist_ok=True)
        busy = [line for line in raw.read_text().splitlines() if not _WAITING.search(line.rpartition(" ")[0])]
        tree = tree_of(busy, part_of)
        file.write_text(draw(f"{workload}: where the CPU of Python's threads goes", tree, list(PARTS)))

    def _run(self, workload: str, count: int, how: Sequence[str]) -> dict[int, tuple[str, float]]:
        """The name and CPU seconds of each thread of the job."""
        name = f"bench-budget-{workload}-{uuid.uuid4().hex[:8]}"
        settings = {"job": name, "source": source(count), "sink": f"{name}-out"}
        state = self._folder / name
        job = rayflow_command(WORKLOADS[workload].job, state, broker=self._topics.broker, settings=settings)
        self._topics.create(settings["sink"])
        threads: dict[int, tuple[str, float]] = {}
        try:
            command = [self._spy, "record", *how, "--", *job]
            followed(command, self._folder / f"{name}.log", lambda pid, _: threads.update(threads_of(pid)), 0.02, 600)
        finally:
            self._topics.delete_with(name)
        shutil.rmtree(state, ignore_errors=True)
        if not threads:
            raise RunFailed(f"{' '.join(command)}: no thread was seen")
        return threads


def threads_of(pid: int) -> Iterator[tuple[int, tuple[str, float]]]:
    """The name and CPU seconds of each thread of what a process has started."""
    for child in children(pid):
        for task in Path(f"/proc/{child}/task").glob("*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                head, _, tail = task.read_text().rpartition(")")
                fields = tail.split()
                yield int(task.parent.name), (head.partition("(")[2], (int(fields[11]) + int(fields[12])) / TICK)


def parts_of(lines: Sequence[str]) -> Counter[str]:
    """The samples of each part. A line is a stack from the outermost frame on, `;` between frames, and their number.

    >>> parts_of(["run (rayflow/runtimes/x.py:1);encode (rayflow/serde/json.py:3);mapped (rayflow/serde/c.py:2) 7"])
    Counter({'encode': 7})
    """
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, number = line.rpartition(" ")
        # A thread of C that calls Python has no frames.
        if stack and not _WAITING.search(stack):
            found[part_of(stack.split(";"))] += int(number)
    return found


def part_of(stack: Sequence[str]) -> str:
    """Where a stack belongs."""
    for frame in reversed(stack):
        for part, pattern in _PATTERNS.items():
            if pattern.search(frame):
                return part
    return "other"


def table(found: dict[str, dict[str, float]], alone: dict[str, float]) -> Table:
    """A row a part, a column a workload; the last one: what the part costs alone."""
    shown = Table(title="CPU per record (us)", title_justify="left")
    shown.add_column("part")
    for name in (*found, "alone"):
        shown.add_column(name, justify="right")
    for part in (*PARTS, "other", NATIVE):
        cells = [f"{parts.get(part, 0.0):.2f}" for parts in found.values()]
        shown.add_row(part, *cells, f"{alone[part]:.2f}" if part in alone else "")
    shown.add_section()
    shown.add_row("all", *(f"{sum(parts.values()):.2f}" for parts in found.values()), "")
    return shown


if __name__ == "__main__":
    main()

"""`python -m benchmarks.instructions`: the processor's instructions per record, counted by valgrind.

CPU seconds vary with the load of the machine's host; instructions hardly vary. So they show changes of a few percent
between two checkouts. The broker is left out, and so is time: the jobs read the embedded log by turns that no clock
decides, with one checkpoint at the end (`by_turns.py`). Needs `valgrind` (Debian: apt-get install valgrind).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import click
from rich.console import Console

from benchmarks.figures import Figure, json_option, show
from benchmarks.orders import PARTITIONS, orders
from benchmarks.workloads import WORKLOADS, Workload
from rayflow.connectors.embedded.connector import EmbeddedConnector
from rayflow.core.batch import EncodedBatch
from rayflow.core.hashing import murmur2

ROOT = Path(__file__).parents[1]
SHORT = 10_000
"""Records of the run that is taken off: start and end of a run."""
COUNT = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
ORDERS = "orders"


@click.command()
@click.argument("workloads", nargs=-1, type=click.Choice(list(WORKLOADS)))
@click.option("--records", default=50_000, show_default=True, help="Records of the long run.")
@click.option("--beside", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Another checkout.")
@json_option("instructions")
def main(workloads: tuple[str, ...], records: int, beside: Path | None, json_file: Path) -> None:
    """Count WORKLOADS (default: all); with --beside also those of another checkout, and the ratio to it."""
    if shutil.which(COUNT[0]) is None:
        raise click.ClickException("valgrind is not installed; as root: apt-get install valgrind")
    figures: list[Figure] = []
    console = Console()
    with tempfile.TemporaryDirectory(prefix="rayflow-bench-") as name:
        folder = Path(name)
        for count in (SHORT, records):
            write(folder / str(count), count)
        for workload in [WORKLOADS[each] for each in workloads or WORKLOADS]:
            with console.status(workload.name):
                here = per_record(workload, folder, records, ROOT)
                figures.append(Figure(workload.name, here, "instructions/record"))
                if beside is not None:
                    there = per_record(workload, folder, records, beside.absolute())
                    figures.append(Figure(f"{workload.name}, of {beside.name}", there, "instructions/record"))
                    figures.append(Figure(f"{workload.name}, over that", here / there, "", 1.03))
    show("instructions", figures, json_file, {"records": records})


def write(log: Path, count: int) -> None:
    """An embedded log with orders, in the partitions that Java's clients would choose."""
    rows: list[list[tuple[bytes, bytes, int]]] = [[] for _ in range(PARTITIONS)]
    for key, value, timestamp in orders(count):
        rows[murmur2(key) % PARTITIONS].append((key, value, timestamp))
    with closing(EmbeddedConnector(log)) as connector:
        connector.create(ORDERS, PARTITIONS)
        with closing(connector.appender()) as appender:
            for partition, found in enumerate(rows):
                keys, values, timestamps = (list(column) for column in zip(*found, strict=True))
                appender.append(EncodedBatch(ORDERS, keys, values, timestamps, partition=partition))


def per_record(workload: Workload, folder: Path, records: int, checkout: Path) -> float:
    """The difference of a long and a short run, over the difference of their records."""
    short, long = (counted(workload, folder / str(count), checkout) for count in (SHORT, records))
    return (long - short) / (records - SHORT)


def counted(workload: Workload, log: Path, checkout: Path) -> int:
    """Instructions of one run. Raises ClickException when it fails."""
    with tempfile.TemporaryDirectory(prefix="rayflow-bench-") as name:
        copy = shutil.copytree(log, Path(name) / "log")
        script = str(ROOT / "benchmarks" / "by_turns.py")
        command = [*COUNT, sys.executable, script, workload.job, str(copy), str(Path(name) / "state")]
        environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, env=environment, cwd=name, capture_output=True, text=True)
    found = re.search(r"I +refs: +([\d,]+)", done.stderr)
    if done.returncode or found is None:
        raise click.ClickException(f"{workload.name} of {checkout} failed:\n{done.stderr[-2000:]}")
    return int(found[1].replace(",", ""))


if __name__ == "__main__":
    main()

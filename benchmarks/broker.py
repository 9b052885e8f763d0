"""The broker of a benchmark: one that runs already, or one that is started and ended."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from confluent_kafka import KafkaException

from benchmarks.answers import WrongResult
from benchmarks.measure import TICK, RunFailed
from benchmarks.orders import Topics

broker_option = click.option(
    "--broker", metavar="HOST:PORT", help="A broker that runs.  [default: one is started and ended]"
)

STOLEN = 0.01
"""The share of the CPUs that the machine's host may give to others before a benchmark says so."""


@contextmanager
def workshop(given: str | None) -> Iterator[tuple[Topics, Path]]:
    """Topics of the given broker, or of one that is started, and a folder for state and logs, which stays only when
    something fails."""
    load, cpus = os.getloadavg()[0], os.cpu_count() or 1
    if load > cpus / 2:
        click.echo(f"the machine is busy (load {load:.1f}, {cpus} CPUs): figures are only indicative", err=True)
    # So that what was started is ended, and what was set is taken back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="rayflow-bench-"))
    stolen, began = stolen_seconds(), time.monotonic()
    try:
        with _broker_at(given, folder) as address:
            yield Topics(address), folder
        share = (stolen_seconds() - stolen) / (cpus * (time.monotonic() - began))
        if share > STOLEN:
            click.echo(f"other guests of the host took {share:.1%} of the CPUs: figures are only indicative", err=True)
    except KafkaException as error:
        raise click.ClickException(f"the broker: {error.args[0].str()}; logs are in {folder}") from error
    except (WrongResult, RunFailed, TimeoutError) as error:
        raise click.ClickException(f"{error}\nlogs are in {folder}") from error
    shutil.rmtree(folder, ignore_errors=True)


def stolen_seconds() -> float:
    """CPU seconds since the machine's start that its host gave to others; 0 where the kernel does not tell."""
    try:
        fields = Path("/proc/stat").read_text().split(maxsplit=9)
    except FileNotFoundError:
        return 0.0
    return int(fields[8]) / TICK


@contextmanager
def _broker_at(given: str | None, folder: Path) -> Iterator[str]:
    if given is not None:
        yield given
        return
    from tests.kafka.broker import Broker

    broker = Broker(folder / "kafka")
    try:
        yield broker.start().bootstrap
    finally:
        broker.close()

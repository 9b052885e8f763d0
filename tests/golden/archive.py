"""Runs the first parts of the golden job, and keeps its log, state directory and savepoint in one small archive."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from unittest.mock import patch

from rayflow.testing.simulation.bases import small_bases
from rayflow.version import __version__
from tests.e2e.brokers import Broker
from tests.e2e.running import Running
from tests.golden.formats import FILES
from tests.golden.job import CLOCK, PARTITIONS, PARTS, RECORDS, feed, golden_job

LEFT_OUT = ("lock.mdb", "held", "lock")
"""Files that are made again, and hold nothing."""


def archive_path() -> Path:
    """The archive of today's version."""
    return FILES / f"job-{__version__}.tar.gz"


def archives() -> list[Path]:
    """Those of all versions."""
    return sorted(FILES.glob("job-*.tar.gz"))


@contextmanager
def opened(log: Path) -> Iterator[Broker]:
    """The embedded log at a place."""
    broker = Broker(f"embedded:{log}", tag="")
    yield broker
    broker.close()


def run_first_parts(folder: Path) -> None:
    """Make `log`, `state` and `savepoint` in `folder`: all parts but the last, each a run of several epochs."""
    clock = count(CLOCK).__next__
    with (
        opened(folder / "log") as broker,
        small_bases(floor=1 << 10, chain=3),
        patch("socket.gethostname", return_value="host"),
    ):
        broker.create("orders", PARTITIONS)
        for number in range(PARTS - 1):
            feed(broker, number)
            stop = {"savepoint_at_stop": f"file:{folder / 'savepoint'}"} if number == PARTS - 2 else {}
            with Running(golden_job(), broker, folder / "state", clock=clock, max_poll_records=40, **stop) as running:
                running.until(lambda progress: progress.records_in == RECORDS and progress.lag == 0)


def pack(folder: Path) -> bytes:
    """A folder as an archive that says nothing of who made it, and when."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=9) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name not in LEFT_OUT:
                about = tarfile.TarInfo(str(path.relative_to(folder)))
                about.size, about.mode = path.stat().st_size, 0o600
                with path.open("rb") as file:
                    archive.addfile(about, file)
    return packed.getvalue()


def unpack(archive: Path, folder: Path) -> None:
    """The inverse."""
    with tarfile.open(archive) as packed:
        for member in packed.getmembers():
            data = packed.extractfile(member)
            assert data is not None
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.read())

"""Samples of what must not grow, taken while a soak runs."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rayflow.checkpoint.chain import restore_rows
from rayflow.checkpoint.manifest import newest_manifest
from rayflow.checkpoint.open import open_store, uri_of_job
from rayflow.core.errors import ObjectMissing
from rayflow.state.row_keys import PREFIX, table_prefix
from tests.kafka.client import Kafka
from tests.soak.job import job as definition
from tests.soak.processes import Job
from tests.soak.transactions import Transactions


class Sample(NamedTuple):
    """A figure. `at`: seconds since the load began. `age`: of the job's process, seconds; None: of no process."""

    at: float
    age: float | None
    value: float


class Samples:
    """All figures of a soak, by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, list[Sample]] = {}
        self.began = time.monotonic()

    @property
    def now(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self.began

    def add(self, name: str, value: float, age: float | None = None) -> None:
        """Keep a figure."""
        self.by_name.setdefault(name, []).append(Sample(self.now, age, value))

    def take_process(self, job: Job) -> None:
        """Private memory, open files and threads of the job's process, if it is there."""
        process = Path(f"/proc/{job.pid}")
        age = job.age
        try:
            status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
            files = len(list((process / "fd").iterdir()))
        except (FileNotFoundError, ProcessLookupError):
            return
        if "RssAnon" not in status:  # it has just ended
            return
        self.add("threads", int(status["Threads"]), age)
        self.add("open files", files, age)
        self.add("private memory", int(status["RssAnon"].split()[0]) << 10, age)

    def take_disk(self, folder: Path) -> None:
        """Files and bytes of the checkpoint store and the state directories."""
        for name, folders in (
            ("checkpoint", [folder / "checkpoints"]),
            ("state", sorted(folder.glob("state-*"))),
        ):
            sizes = [size for one in folders for size in sizes_of(one)]
            self.add(f"{name} files", len(sizes))
            self.add(f"{name} bytes", sum(sizes))

    def take_rows(self, folder: Path) -> None:
        """Rows of each state in the newest checkpoint."""
        for name, rows in (rows_of(folder) or {}).items():
            self.add(f"rows {name}", rows)

    def take_kafka(self, kafka: Kafka, transactions: Transactions) -> None:
        """Consumer groups, topics and transactional ids that the broker knows. Raises KafkaException."""
        self.add("groups", len(kafka.admin.list_consumer_groups(request_timeout=10).result(15).valid))
        self.add("topics", len(kafka.admin.list_topics(timeout=10).topics))
        self.add("transactional ids", len(transactions.look()))


def sizes_of(folder: Path) -> list[int]:
    """The bytes on disk of all files below a folder, while files and folders come and go."""
    sizes = []
    for place, _, names in os.walk(folder):  # which passes over folders that have gone
        for name in names:
            with suppress(FileNotFoundError):
                sizes.append(os.stat(os.path.join(place, name)).st_blocks * 512)
    return sizes


def rows_of(folder: Path) -> dict[str, int] | None:
    """Rows of each state in the newest checkpoint; None when it was deleted while it was read."""
    store = open_store(uri_of_job(f"file:{folder / 'checkpoints'}", definition.name))
    try:
        manifest = newest_manifest(store)
        if manifest is None:
            return None
        counts: Counter[bytes] = Counter()
        for task in manifest.tasks():
            for keys, _ in restore_rows(store, manifest, task):
                counts.update(key[:PREFIX] for key in keys)
    except ObjectMissing:
        return None
    return {name: counts[table_prefix(*name.rsplit("/", 1))] for name in manifest.states}

"""`python -m benchmarks.memory`: private memory with many keys of state, and with a sink slower than the source.

The sink is slowed by a quota of the broker on what the job's producer may send.
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from benchmarks.broker import broker_option, workshop
from benchmarks.command import rayflow_command
from benchmarks.figures import Figure, json_option, show
from benchmarks.keyed import KEY, values
from benchmarks.measure import measured
from benchmarks.newest import Newest
from benchmarks.orders import Topics
from benchmarks.ray_usage import measured_on_ray

CLIENT = "rayflow"
"""The client id of the job's producer, to which the quota applies."""
PATIENCE = 300.0
"""Seconds after which a run that has not ended never will, beyond what the sink's rate asks for."""
MIB = 1 << 20


@click.command()
@click.option("--keys", default=5_000_000, show_default=True, help="Keys of the large state.")
@click.option("--size", default=16, show_default=True, help="Bytes of a value of the large state.")
@click.option("--records", default=3_000_000, show_default=True, help="Records that go to the slow sink.")
@click.option("--times", default=10.0, show_default=True, help="How much slower the slow sink is.")
@click.option("--memory-limit", default=32, show_default=True, help="The job's memory_limit with the slow sink, MiB.")
@broker_option
@json_option("memory")
def main(
    keys: int, size: int, records: int, times: float, memory_limit: int, broker: str | None, json_file: Path
) -> None:
    """Measure private memory (RssAnon, the whole process)."""
    with workshop(broker) as (topics, folder):
        figures = large_state(topics, folder, keys, size)
        failed = None
        try:
            figures += slow_sink(topics, folder, records, times, memory_limit)
        except TimeoutError as error:  # the other figures stand
            failed = f"the slow sink has no result: {error}"
        about = {"keys": keys, "size": size, "records": records, "times": times, "memory_limit": memory_limit}
        show("private memory", figures, json_file, {**about, "failed": failed})
        if failed is not None:
            raise TimeoutError(failed)


def large_state(topics: Topics, folder: Path, keys: int, size: int) -> list[Figure]:
    """The newest value of each of many keys, each of which goes out once."""
    with closing(Newest(topics, folder, size)) as job:
        job.append(range(keys))
        used, _ = job.run()
        job.check()
    return [Figure(f"{keys:,} keys: peak", used.memory / MIB, "MiB", 600.0)]


def slow_sink(
    topics: Topics, folder: Path, records: int, times: float, limit: int, *, job: str = "identity", workers: int = 0
) -> list[Figure]:
    """The same copies twice: as fast as it goes, and with a sink that takes a part of that rate.

    `workers`: on Ray with so many, whose memory counts; 0: in one process.
    """
    size = 100
    copies = Copies(topics, folder, job, workers, limit)
    source = f"bench-copies-{uuid.uuid4().hex[:8]}"
    topics.create(source)
    try:
        topics.append(source, values(range(records), size))
        fast, seconds = copies.run(source, "fast", records, PATIENCE)
        rate = records * (KEY + size) / seconds / times
        _quota(topics.broker, f"producer_byte_rate={round(rate)}")
        try:
            slow, _ = copies.run(source, "slow", records, PATIENCE + 3 * times * seconds)
        finally:
            _quota(topics.broker, None)
    finally:
        topics.delete_with(source)
    third = len(slow) // 3
    growth = median(slow[-third:]) / median(slow[third:-third])
    return [
        Figure(f"{job}, fast sink: peak", max(fast) / MIB, "MiB"),
        Figure(f"{job}, sink of {rate / 1e6:.1f} MB/s: peak", max(slow) / MIB, "MiB"),
        Figure(f"{job}, slow sink: median of the last third over the middle third", growth, "x", 1.1),
    ]


@dataclass(frozen=True, slots=True)
class Copies:
    """Runs of one job that writes as many records as it reads."""

    topics: Topics
    folder: Path
    job: str
    workers: int
    limit: int

    def run(self, source: str, name: str, records: int, patience: float) -> tuple[Sequence[int], float]:
        """Copy a topic; gives the private memory over time in bytes, and the seconds it took."""
        sink = f"{source}-{name}"
        self.topics.create(sink)
        settings = {"job": sink, "source": source, "sink": sink, "memory_limit": f"{self.limit}MiB"}
        command = rayflow_command(
            self.job, self.folder / sink, broker=self.topics.broker, workers=self.workers, settings=settings
        )
        samples: list[int] = []
        run = measured_on_ray if self.workers else measured
        log = self.folder / f"{sink}.log"
        used = run(command, log, limit=patience, seen=lambda _, memory: samples.append(memory))
        found = sum(1 for _ in self.topics.read(sink))
        if found != records:
            raise click.ClickException(f"{found} of {records} records came out")
        return samples, used.wall


def _quota(broker: str, setting: str | None) -> None:
    """Set the quota of the job's producer, or take it away; by Kafka's own tool, as librdkafka cannot."""
    from tests.kafka.jars import jars, java

    change = ("--add-config", setting) if setting is not None else ("--delete-config", "producer_byte_rate")
    done = subprocess.run(
        [
            *(java(), "-cp", f"{jars()}/*", "kafka.admin.ConfigCommand", "--bootstrap-server", broker),
            *("--alter", *change, "--entity-type", "clients", "--entity-name", CLIENT),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        raise click.ClickException(f"the quota could not be set: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()

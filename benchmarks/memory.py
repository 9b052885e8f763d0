"""`python -m benchmarks.memory`: private memory with many keys of state, and with a sink slower than the source.

The sink is slowed by a quota of the broker on what the job's producer may send.
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Sequence
from contextlib import closing
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

CLIENT = "rayflow"
"""The client id of the job's producer, to which the quota applies."""
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
        figures = [*large_state(topics, folder, keys, size), *slow_sink(topics, folder, records, times, memory_limit)]
    about = {"keys": keys, "size": size, "records": records, "times": times, "memory_limit": memory_limit}
    show("private memory", figures, json_file, about)


def large_state(topics: Topics, folder: Path, keys: int, size: int) -> list[Figure]:
    """The newest value of each of many keys, each of which goes out once."""
    with closing(Newest(topics, folder, size)) as job:
        job.append(range(keys))
        used, _ = job.run()
        job.check()
    return [Figure(f"{keys:,} keys: peak", used.memory / MIB, "MiB", 600.0)]


def slow_sink(topics: Topics, folder: Path, records: int, times: float, limit: int) -> list[Figure]:
    """The same copies twice: as fast as it goes, and with a sink that takes a part of that rate."""
    size = 100
    source = f"bench-copies-{uuid.uuid4().hex[:8]}"
    topics.create(source)
    try:
        topics.append(source, values(range(records), size))
        fast, seconds = _copies(topics, folder, source, "fast", records, limit)
        rate = records * (KEY + size) / seconds / times
        _quota(topics.broker, f"producer_byte_rate={round(rate)}")
        try:
            slow, _ = _copies(topics, folder, source, "slow", records, limit)
        finally:
            _quota(topics.broker, None)
    finally:
        topics.delete_with(source)
    third = len(slow) // 3
    growth = median(slow[-third:]) / median(slow[third:-third])
    return [
        Figure("copies, fast sink: peak", max(fast) / MIB, "MiB"),
        Figure(f"copies, sink of {rate / 1e6:.1f} MB/s: peak", max(slow) / MIB, "MiB"),
        Figure("copies, slow sink: median of the last third over the middle third", growth, "x", 1.1),
    ]


def _copies(
    topics: Topics, folder: Path, source: str, name: str, records: int, limit: int
) -> tuple[Sequence[int], float]:
    """Copy a topic; gives the private memory over time in bytes, and the seconds it took."""
    sink = f"{source}-{name}"
    topics.create(sink)
    settings = {"job": sink, "source": source, "sink": sink, "memory_limit": f"{limit}MiB"}
    command = rayflow_command("identity", folder / sink, broker=topics.broker, settings=settings)
    samples: list[int] = []
    used = measured(command, folder / f"{sink}.log", limit=3600, seen=lambda _, memory: samples.append(memory))
    found = sum(1 for _ in topics.read(sink))
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

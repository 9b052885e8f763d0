"""`python -m benchmarks.latency`: from a record's append to Kafka until a read_committed consumer has its output.

The source's broker stamps each record when it is appended; the job passes that time on; the consumer compares it with
its own clock, which is the broker's, on one machine. Times are whole milliseconds.
"""

from __future__ import annotations

import gc
import signal
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from benchmarks.answers import WrongResult
from benchmarks.broker import broker_option, workshop
from benchmarks.command import rayflow_command
from benchmarks.figures import Figure, json_option, percentile, show
from benchmarks.keyed import number_of, values
from benchmarks.measure import RunFailed
from benchmarks.orders import PARTITIONS, Topics

CASES = (
    ("exactly_once", "100ms", 200.0),
    ("exactly_once", "1s", 1_100.0),
    ("at_least_once", "1s", 30.0),
)
"""Delivery, checkpoint interval, and the target of p99 in ms: the interval and 100 ms."""
WARM_UP = 3.0
"""Seconds at the beginning that do not count."""
TICK = 0.005
"""Seconds between two appends."""
LOOK = 0.002
"""Seconds that the consumer waits for more records before it looks at those that it has: it adds that to each."""
LATE = 60.0
"""Seconds after which output that has not come is missed."""


@click.command()
@click.option("--rate", default=10_000, show_default=True, help="Records per second.")
@click.option("--seconds", default=30.0, show_default=True, help="How long each case is measured.")
@click.option("--size", default=100, show_default=True, help="Bytes of a value.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="A setting of the run.")
@broker_option
@json_option("latency")
def main(rate: int, seconds: float, size: int, sets: tuple[str, ...], broker: str | None, json_file: Path) -> None:
    """Measure latencies at a steady rate of appends."""
    settings = dict(one.split("=", 1) for one in sets)
    figures: list[Figure] = []
    with workshop(broker) as (topics, folder):
        for delivery, interval, at_most in CASES:
            found = Case(topics, folder, delivery, interval, settings).run(rate, seconds, size)
            for share, target in ((0.5, None), (0.99, at_most), (0.999, None)):
                name = f"{delivery}, {interval}: p{share * 100:g}"
                figures.append(Figure(name, percentile(found, share), "ms", target))
    show(
        f"append to read_committed consumer, {rate:,} records/s of {size} bytes, {seconds:g} s",
        figures,
        json_file,
        {"rate": rate, "seconds": seconds, "size": size, "settings": settings},
    )


class Case:
    """One delivery mode and interval, with topics of its own."""

    def __init__(self, topics: Topics, folder: Path, delivery: str, interval: str, settings: dict[str, str]) -> None:
        self._topics = topics
        self._name = f"bench-latency-{uuid.uuid4().hex[:8]}"
        self._log = folder / f"{self._name}.log"
        self._source, self._sink = f"{self._name}-in", f"{self._name}-out"
        topics.create(self._source, message_timestamp_type="LogAppendTime")
        topics.create(self._sink)
        own = {"job": self._name, "source": self._source, "sink": self._sink, "delivery": delivery}
        self._command = rayflow_command(
            "relay",
            folder / self._name,
            broker=topics.broker,
            until_end=False,
            settings={**settings, **own, "checkpoint_interval": interval},
        )
        self._sent = 0

    def run(self, rate: int, seconds: float, size: int) -> Sequence[int]:
        """The latency of every record after the warm-up, ms. Raises WrongResult when one is missing or comes twice."""
        stop = threading.Event()
        with self._log.open("wb") as output:
            job = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        feeder = threading.Thread(target=self._feed, args=(rate, size, stop))
        consumer = self._consumer()
        try:
            feeder.start()
            first = self._await_first(consumer, job)
            found = self._collect(consumer, first, seconds, stop, job)
            job.send_signal(signal.SIGTERM)
            if job.wait(LATE):
                raise RunFailed(f"rayflow ended with {job.returncode}; see {self._log}")
        finally:
            stop.set()
            feeder.join()
            consumer.close()
            if job.poll() is None:
                job.kill()
                job.wait()
            self._topics.delete_with(self._name)
        return found

    def _feed(self, rate: int, size: int, stop: threading.Event) -> None:
        """Append at a steady rate until told to stop."""
        producer = Producer({"bootstrap.servers": self._topics.broker, "linger.ms": 1, "enable.idempotence": True})
        began = time.monotonic()
        while not stop.wait(TICK):
            due = int((time.monotonic() - began) * rate)
            for key, value, _ in values(range(self._sent, due), size, self._sent):
                producer.produce(self._source, value, key)
            self._sent = due
            producer.poll(0)
        producer.flush(LATE)

    def _consumer(self) -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": self._topics.broker,
                "group.id": "benchmarks",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 5,
            }
        )
        consumer.assign([TopicPartition(self._sink, number, 0) for number in range(PARTITIONS)])
        return consumer

    def _await_first(self, consumer: Consumer, job: subprocess.Popen[bytes]) -> list[int]:
        """Wait until output comes; gives the numbers that came."""
        limit = time.monotonic() + LATE
        while time.monotonic() < limit and job.poll() is None:
            messages = consumer.consume(10_000, 0.1)
            if messages:
                return [number_of(message.value()) for message in messages]  # type: ignore[arg-type]
        raise RunFailed(f"no output came within {LATE:g} s; see {self._log}")

    def _collect(
        self, consumer: Consumer, first: list[int], seconds: float, stop: threading.Event, job: subprocess.Popen[bytes]
    ) -> list[int]:
        """Read until everything that was appended has come."""
        came: list[tuple[float, float, list[Message]]] = []
        count = len(first)
        gc.disable()  # going through all that came takes time as well
        began = time.monotonic()
        while not stop.is_set() or count < self._sent:
            messages = consumer.consume(1_000, LOOK)
            elapsed = time.monotonic() - began
            came.append((elapsed, time.time() * 1000, messages))  # to be looked at later: that takes time as well
            count += len(messages)
            if elapsed > WARM_UP + seconds:
                stop.set()
            if elapsed > WARM_UP + seconds + LATE or job.poll() is not None:
                raise WrongResult(f"{self._sent - count} of {self._sent} records have not come; see {self._log}")
        gc.enable()
        seen = Counter(first)
        waits = []
        for elapsed, now, messages in came:
            seen.update(number_of(message.value()) for message in messages)  # type: ignore[arg-type]
            if WARM_UP < elapsed <= WARM_UP + seconds:
                waits += [round(now - message.timestamp()[1]) for message in messages]
        if len(seen) != self._sent or count != self._sent:
            raise WrongResult(f"{len(seen)} different records came of {self._sent}, {count} in all")
        return waits


if __name__ == "__main__":
    main()

"""Writers that are killed with SIGKILL at any moment: what stays is whole transactions, in order, without gaps."""

from __future__ import annotations

import multiprocessing
import random
from multiprocessing.connection import Connection
from pathlib import Path

from rayflow.connectors.embedded.connector import EmbeddedConnector
from rayflow.core.batch import EncodedBatch
from rayflow.core.ids import Marker, SinkTask, TopicPartition

PARTITIONS = 2
RECORDS = 300
"""Per epoch and partition; more than one blob."""
PADDING = b"." * 5_000
TASK = SinkTask("out", 0)


def write_epochs(path: Path, progress: Connection) -> None:
    """Publish one epoch after the other, from the one after the marker, and say each step, until killed."""
    log = EmbeddedConnector(path)
    publisher = log.publisher("job", 0, "exactly_once")
    marker = publisher.open([TASK])[TASK]
    epoch = marker.epoch if marker else 0
    while True:
        epoch += 1
        numbers = range((epoch - 1) * RECORDS, epoch * RECORDS)
        values: list[bytes | None] = [b"%d %b" % (n, PADDING) for n in numbers]
        keys: list[bytes | None] = [b"k"] * RECORDS
        batches = [EncodedBatch("t", keys, values, [epoch] * RECORDS, None, p) for p in range(PARTITIONS)]
        for step in publisher.publish(Marker("l", epoch), {TASK: batches}, {TopicPartition("in", 0): epoch}):
            progress.send(step)


def test_a_writer_killed_many_times_leaves_only_whole_transactions_in_order(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["rayflow.connectors.embedded.connector"])
    log = EmbeddedConnector(tmp_path)
    log.create("t", PARTITIONS)
    reader = log.reader("g")
    places = [TopicPartition("t", p) for p in range(PARTITIONS)]
    reader.assign(dict.fromkeys(places))
    seen = dict.fromkeys(places, 0)

    def look() -> bool:
        ends = set(reader.ends().values())
        assert len(ends) == 1, "one partition is ahead of the other"
        assert ends.pop() % RECORDS == 0, "a part of an epoch is visible"
        polled = reader.poll(1_000, 0.0)
        for one in polled:
            place = TopicPartition(*one.batch.origin)
            numbers = [int(value.split()[0]) for value in one.batch.values]
            assert numbers == list(range(seen[place], seen[place] + len(numbers)))
            seen[place] = one.next_position
        return bool(polled)

    for _ in range(20):
        here, there = processes.Pipe(duplex=False)
        writer = processes.Process(target=write_epochs, args=(tmp_path, there))
        writer.start()
        there.close()
        for _ in range(chance.randrange(1, 40)):
            step = here.recv()
            if chance.random() < 0.3:
                look()
        if chance.random() < 0.5:
            while step != "committing":
                step = here.recv()
        writer.kill()
        writer.join()
        here.close()
        look()
    while any(seen[place] < end for place, end in reader.ends().items()):
        assert look()
    publisher = log.publisher("job", 0, "exactly_once")
    marker = publisher.open([TASK])[TASK]
    assert marker is not None
    assert set(seen.values()) == {marker.epoch * RECORDS}
    assert log.positions("job") == {TopicPartition("in", 0): marker.epoch}
    publisher.close()
    reader.close()
    log.close()

"""Jobs whose source is another one than at their last checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import rayflow as rf
from rayflow.connectors.embedded.connector import EmbeddedConnector
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import SourceDataLost
from rayflow.core.ids import TopicPartition
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.local.runtime import LocalRuntime


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedConnector]:
    made = EmbeddedConnector(tmp_path / "state" / "log")
    yield made
    made.close()


def run(job: rf.Job, tmp_path: Path) -> None:
    LocalRuntime(plan_of(job), RunOptions(state=tmp_path / "state", until_end=True)).run()


def write(log: EmbeddedConnector, topic: str, partition: int, *values: bytes) -> None:
    appender = log.appender()
    appender.append(EncodedBatch(topic, [None] * len(values), list(values), [1] * len(values), None, partition))
    appender.close()


def values(log: EmbeddedConnector, topic: str) -> list[bytes]:
    reader = log.reader("look")
    reader.assign({TopicPartition(topic, p): 0 for p in range(log.partitions(topic))})
    found = [value for one in reader.poll(1_000, 0) for value in one.batch.values]
    reader.close()
    return found


def test_a_topic_made_again_that_has_grown_past_the_jobs_position_is_refused(
    log: EmbeddedConnector, tmp_path: Path
) -> None:
    job = rf.Job("copy")
    job.stream("in", value=bytes).to("out", name="o")
    log.create("in", 1)
    write(log, "in", 0, b"old-1", b"old-2")
    run(job, tmp_path)
    log.delete("in")
    log.create("in", 1)
    write(log, "in", 0, b"new-1", b"new-2", b"new-3")
    with pytest.raises(SourceDataLost, match="recreated"):
        run(job, tmp_path)
    assert values(log, "out") == [b"old-1", b"old-2"]


def test_a_job_that_reads_files_goes_on_when_files_come_behind_and_not_when_they_change_places(
    log: EmbeddedConnector, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    job = rf.Job("copy")
    job.stream(rf.jsonl(folder), value=bytes).to("out", name="o")
    (folder / "b.jsonl").write_bytes(b"1\n2\n")
    run(job, tmp_path)
    (folder / "c.jsonl").write_bytes(b"3\n")
    run(job, tmp_path)
    assert sorted(values(log, "out")) == [b"1", b"2", b"3"]
    (folder / "a.jsonl").write_bytes(b"4\n5\n6\n")
    with pytest.raises(SourceDataLost, match="sort behind") as refused:
        run(job, tmp_path)
    assert refused.value.partition == 0
    assert sorted(values(log, "out")) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_job_may_read_what_another_one_writes_as_json_lines(
    log: EmbeddedConnector, tmp_path: Path, delivery: str
) -> None:
    folder = tmp_path / "parts"
    writing, reading = rf.Job("writer", delivery=delivery), rf.Job("reader")
    writing.stream("in", value=bytes).to(rf.jsonl(folder), value=bytes, name="o")
    reading.stream(rf.jsonl(folder), value=bytes).to("seen", name="o")
    log.create("in", 2)
    written: list[bytes] = []
    for epoch in range(1, 4):
        for partition in (0, 1):
            new = [b"%d%d%d" % (epoch, partition, n) for n in range(3)]
            write(log, "in", partition, *new)
            written += new
        run(writing, tmp_path)
        run(reading, tmp_path)
        assert sorted(values(log, "seen")) == sorted(written)

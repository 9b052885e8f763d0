"""What a run leaves behind: nothing. What it holds while a sink is slow: a bounded amount."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import rayflow as rf
import rayflow.connectors.embedded.environment as environments
import rayflow.state.state_directory as directories
from rayflow.connectors.embedded.publisher import EmbeddedPublisher
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import UserFunctionFailed
from rayflow.core.ids import Marker, SinkTask, TopicPartition
from rayflow.engine.worker import Worker
from tests.e2e.brokers import Broker
from tests.e2e.jobs import counts
from tests.e2e.running import Running, run
from tests.kafka.client import until

WORDS = [("a", "x"), ("b", "y"), ("c", "x")]


def files() -> list[str]:
    """What this process holds open, by where it leads; Python's own and the test's are the same before and after."""
    held = []
    for name in os.listdir("/proc/self/fd"):
        try:
            held.append(os.readlink(f"/proc/self/fd/{name}").partition(":[")[0])
        except FileNotFoundError:  # that of the listing
            continue
    return sorted(held)


def threads() -> int:
    """All threads of this process, librdkafka's included."""
    return len(os.listdir("/proc/self/task"))


def fails(broker: Broker) -> rf.Job:
    """A job whose function raises behind an exchange."""
    job = rf.Job(broker.name("fails"))
    words = job.stream(broker.name("in"), key=str, value=str)
    words.key_by(lambda word: word).map(lambda word: 1 // 0).to(broker.name("out"))
    return job


def test_nothing_is_left_open_after_a_run(broker: Broker, tmp_path: Path) -> None:
    broker.create("in", 3)
    broker.append("in", WORDS)

    def rounds(number: int) -> None:
        run(counts(broker), broker, tmp_path / "counts", new_lineage=number == 0)
        with pytest.raises(UserFunctionFailed):
            run(fails(broker), broker, tmp_path / "fails")
        with Running(counts(broker), broker, tmp_path / "counts") as running:
            running.until(lambda progress: progress.state == "running")

    rounds(0)
    gc.collect()
    before, python_threads, all_threads = files(), threading.active_count(), threads()
    held, opened = set(directories._held), set(environments._open)
    for number in range(1, 4):
        rounds(number)
    gc.collect()
    assert files() == before
    assert threading.active_count() == python_threads
    until(lambda: threads() <= all_threads)
    assert set(directories._held) == held
    assert set(environments._open) == opened


class Slow:
    """A publisher that does nothing between the steps of an epoch for as long as `closed`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.closed = True
        publish = EmbeddedPublisher.publish

        def slowly(
            publisher: EmbeddedPublisher,
            marker: Marker,
            outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
            positions: Mapping[TopicPartition, int],
        ) -> Iterator[str]:
            while self.closed and marker.epoch > 0:  # not the markers before the first epoch
                yield "waiting"
            yield from publish(publisher, marker, outputs, positions)

        monkeypatch.setattr(EmbeddedPublisher, "publish", slowly)


@pytest.mark.parametrize("stateful", [False, True], ids=["staged output", "state"])
def test_memory_stays_bounded_while_a_sink_is_slow(
    stateful: bool, embedded: Broker, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, poll, size = 100_000, 100, 200
    held: list[int] = []
    handle = Worker.handle

    def watched(worker: Worker, event: Any) -> Any:
        actions = handle(worker, event)
        held.append(worker.pending_bytes + worker.staged_bytes)
        return actions

    monkeypatch.setattr(Worker, "handle", watched)
    slow = Slow(monkeypatch)
    embedded.create("in", 2)
    embedded.append("in", [(f"k{n}", f"{n:0{size}}") for n in range(20_000)])
    job = rf.Job(embedded.name("many"))
    words = job.stream(embedded.name("in"), key=str, value=str)
    if stateful:
        words.group_by_key().reduce(max).to(embedded.name("out"))
    else:
        words.to(embedded.name("out"))
    with Running(job, embedded, state, memory_limit=limit, max_poll_records=poll, until_end=True) as running:
        running.until(lambda progress: progress.records_in > 0 and progress.epoch >= 1)
        seen = -1
        while running.progress.records_in != seen:  # until it reads no more
            seen = running.progress.records_in
            later = running.progress.elapsed + 0.3
            running.until(lambda progress: progress.elapsed > later)  # noqa: B023 - called at once
        assert seen < 10_000
        slow.closed = False
        running.finish()
    # The open epoch and the one on its way: each up to the limit, and a poll's worth past it.
    assert max(held) < 2 * (limit + 4 * poll * (size + 200))
    assert len(embedded.read("out")) == 20_000

"""Runs jobs in this process so that time decides nothing: the same input makes the same batches, turns and epochs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest

from benchmarks.orders import BEGIN, PARTITIONS
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.clock import Clock
from rayflow.core.metrics import Metrics
from rayflow.plan.compile import plan_of
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.coordinator import TICK
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.ports import Connectors, OnStep, Ports, no_step
from rayflow.runtimes.local import observer
from rayflow.runtimes.local.runtime import LocalRuntime
from rayflow.runtimes.machine.background import Thread
from rayflow.runtimes.machine.ports import machine_ports
from tests.e2e.brokers import Broker

T = TypeVar("T")

NEVER = 3600.0
"""Seconds after which something is done that no run here is to do."""


def plan_named(job: str) -> JobPlan:
    """The plan of a job file of `benchmarks/jobs`."""
    return plan_of(importlib.import_module(f"benchmarks.jobs.{job}").job)


class LocalJob:
    """A job with a log and a state of its own. A run takes what was appended since the last one."""

    def __init__(self, plan: JobPlan, folder: Path, partitions: int = PARTITIONS) -> None:
        self.plan = plan
        self.log = f"embedded:{folder / 'log'}"
        self.state = folder / "state"
        self._source = plan.stages[0].sources[0].topic.name
        with self._opened() as log:
            log.create(self._source, partitions)

    def append(self, records: Iterable[tuple[bytes, bytes, int]]) -> None:
        """Write keys, values and timestamps to the job's source."""
        with self._opened() as log:
            log.append(self._source, ((key.decode(), value, ts) for key, value, ts in records))

    def run(
        self,
        batch: int,
        *,
        epochs: bool = False,
        on_step: Callable[[str], None] = no_step,
        metrics: Metrics | None = None,
    ) -> int:
        """Run to the end of what there is, by polls of `batch` records; how many were read.

        One epoch, or with `epochs` one after the other, each of the records of a few turns. `metrics` are fed at every
        turn.
        """
        options = RunOptions(
            broker=self.log, state=self.state, until_end=True, max_poll_records=batch, checkpoint_interval=1
        )
        # A clock that stands still brings no checkpoint but the last; one that moves with each look brings every one.
        clock = count(BEGIN, TICK).__next__ if epochs else lambda: BEGIN
        with looking(NEVER if metrics is None else 0.0):
            job = LocalRuntime(self.plan, options, clock=clock, on_step=on_step, metrics=metrics, ports=by_turns)
            return job.run().records_in

    @contextmanager
    def _opened(self) -> Iterator[Broker]:
        log = Broker(self.log, tag="")
        yield log
        log.close()


class Inline(Thread):
    """Does at once what the runtime has done behind its back, so that it takes no turns of waiting."""

    def call(self, call: Callable[[], T], then: Callable[[T], None]) -> None:
        done: Future[T] = Future()
        done.set_result(call())
        self._calls.append((done, then))


def by_turns(checkpoints: CheckpointStore, connectors: Connectors, *, clock: Clock, on_step: OnStep) -> Ports:
    """The ports of a run that does by turns what others do by seconds."""
    ports = machine_ports(checkpoints, connectors, clock=clock, on_step=on_step)
    return replace(ports, monotonic=lambda: 0.0, background=Inline)


@contextmanager
def looking(look_every: float = NEVER) -> Iterator[None]:
    """Have the local runtime look at itself so often, in seconds, and never at the ends of its sources."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observer, "LOOK_EVERY", look_every)
        patch.setattr(observer, "ENDS_EVERY", NEVER)
        yield

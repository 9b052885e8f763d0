"""A local run's coordinator and worker take turns: neither is called while the other does something."""

from __future__ import annotations

from pathlib import Path

import rayflow as rf
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.local.runtime import LocalRuntime
from tests.e2e.brokers import Broker


def test_nothing_begins_in_the_middle_of_something_else(tmp_path: Path) -> None:
    """A worker short of memory asks for a barrier: it must not come before the rest of its actions is done."""
    url = f"embedded:{tmp_path / 'log'}"
    broker = Broker(url, tag="")
    broker.create("words", 2)
    broker.append("words", [(f"k{n}", "x" * 100) for n in range(2000)])
    broker.close()
    job = rf.Job("counting")
    job.stream("words", key=str, value=str).group_by_key().count().to("counts")
    open_steps: list[str] = []
    nested: list[tuple[str, str]] = []
    seen: set[str] = set()

    def on_step(name: str) -> None:
        what = name.partition(" ")[2]
        if name.startswith("before "):
            if open_steps:
                nested.append((open_steps[-1], what))
            open_steps.append(what)
            seen.add(what)
        elif name.startswith("after "):
            assert open_steps.pop() == what

    options = RunOptions(
        broker=url, state=tmp_path, until_end=True, max_poll_records=50, memory_limit=20_000, checkpoint_interval=10_000
    )
    LocalRuntime(plan_of(job), options, on_step=on_step).run()
    assert {"RequestBarrier", "HoldSources", "ReleaseSources", "InjectBarrier", "WriteSegment"} <= seen
    # The coordinator answers these two itself, and goes on with what follows.
    assert {outer for outer, _ in nested} <= {"ClaimAttempt", "ReadManifest"}, nested

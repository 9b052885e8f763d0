"""The process that is killed: runs one of the jobs, and kills itself with SIGKILL at a given step.

Run as `python -m tests.crash.victim '{"job": ..., "broker": ..., "state": ...}'`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec

from rayflow.core.errors import InvariantBroken
from rayflow.core.logging import configure_logging
from rayflow.engine import history
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.hosting.steps import STEPS
from rayflow.runtimes.local.runtime import LocalRuntime
from tests.crash.jobs import JOBS

CHAIN = 3
"""Epochs of deltas after which a base is written: as few as a victim lives to see."""
MEMORY = 20_000
"""Bytes of overlays and staged output, past which sources are held: as few as a victim reads."""


class Orders(msgspec.Struct):
    """What the victim is told.

    `kill_at`: a step's name and which time it comes; `ends`: at the end of the input with everything fired, as soon as
    nothing comes any more, or never.
    """

    job: str
    tag: str
    broker: str
    state: str
    ends: Literal["drained", "idle", "never"] = "idle"
    kill_at: tuple[str, int] | None = None


def main(argument: str) -> None:
    orders = msgspec.json.decode(argument, type=Orders)
    configure_logging(orders.job, json=True)
    history.BASE_FLOOR, history.MAX_CHAIN = 1 << 12, CHAIN
    seen: Counter[str] = Counter()

    def on_step(name: str) -> None:
        if name not in STEPS:
            raise InvariantBroken(f"{name!r} is not among the steps")
        seen[name] += 1
        if orders.kill_at is not None and (name, seen[name]) == tuple(orders.kill_at):
            os.kill(os.getpid(), signal.SIGKILL)

    before = (-1, -1)

    def on_progress(status: JobStatus) -> None:
        nonlocal before
        now = (status.records_in, status.epoch)
        if orders.ends == "idle" and status.epoch > 0 and before == now:
            runtime.stop()
        before = now

    options = RunOptions(
        broker=orders.broker,
        state=Path(orders.state),
        until_end=orders.ends == "drained",
        checkpoint_interval=20,
        max_poll_records=100,
        memory_limit=MEMORY,
    )
    runtime = LocalRuntime(plan_of(JOBS[orders.job](orders.tag)), options, on_step=on_step, on_progress=on_progress)
    runtime.run()


if __name__ == "__main__":
    main(sys.argv[1])

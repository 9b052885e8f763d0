"""Creates the ports of a real machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.clock import Clock, system_clock
from rayflow.runtimes.hosting.ports import Connectors, OnStep, Ports, no_step
from rayflow.runtimes.machine.background import Thread, together
from rayflow.runtimes.machine.calls import LoopCalls


class MakePorts(Protocol):
    """Creates the ports of one run."""

    def __call__(self, checkpoints: CheckpointStore, connectors: Connectors, *, clock: Clock, on_step: OnStep) -> Ports:
        """The ports for this store and these connectors."""


def machine_ports(
    checkpoints: CheckpointStore,
    connectors: Connectors,
    *,
    clock: Clock = system_clock,
    on_step: OnStep = no_step,
    wake: Callable[[], None] | None = None,
) -> Ports:
    """`wake` is called, on the thread of a background call, when there is something to collect."""
    return Ports(
        clock,
        time.monotonic,
        partial(Thread, wake),
        partial(LoopCalls, wake),
        checkpoints,
        connectors,
        on_step,
        together,
    )

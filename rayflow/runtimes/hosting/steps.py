"""The names of the steps with which `on_step` is called, before and after each I/O.

Crash tests kill a job at a step. They refuse names that are not in STEPS, because these never occur.
"""

from __future__ import annotations

from typing import get_args

from rayflow.connectors.steps import FLUSH_STEPS, PUBLISH_STEPS, WAITING
from rayflow.engine.actions import SendToWorker, WorkerAction
from rayflow.engine.orders import Order

SEGMENT_WRITTEN = "segment written"
MANIFEST_WRITTEN = "manifest written"
PUBLISHED = "published"
APPLIED_ONE_TASK = "applied one task"
BASE_WRITTEN = "base written"


def before(kind: type) -> str:
    """The step before an order of the coordinator or an action of a worker is carried out."""
    return f"before {kind.__name__}"


def after(kind: type) -> str:
    """The step after it."""
    return f"after {kind.__name__}"


def publish(step: str) -> str:
    """A publisher's step while an epoch is published."""
    return f"publish {step}"


def republish(step: str) -> str:
    """A publisher's step while a recovery publishes the staged output of the last attempt."""
    return f"republish {step}"


def mark(step: str) -> str:
    """A publisher's step while markers are set before the first epoch."""
    return f"mark {step}"


def flush(step: str) -> str:
    """A publisher's step while an epoch's output is flushed (at-least-once)."""
    return f"flush {step}"


FLUSHES = tuple(map(flush, FLUSH_STEPS))
"""The steps of `flush`."""
STEPS: frozenset[str] = frozenset(
    [
        *(name(kind) for kind in get_args(Order) for name in (before, after)),
        *(name(kind) for kind in get_args(WorkerAction) if kind is not SendToWorker for name in (before, after)),
        *(name(step) for step in (*PUBLISH_STEPS, WAITING) for name in (publish, republish, mark)),
        *FLUSHES,
        *(SEGMENT_WRITTEN, MANIFEST_WRITTEN, PUBLISHED, APPLIED_ONE_TASK, BASE_WRITTEN),
    ]
)
"""The names of all steps."""

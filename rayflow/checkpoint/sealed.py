"""What one task hands over at a barrier: its part of the worker's segment for an epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayflow.core.batch import EncodedBatch
from rayflow.core.ids import TaskId
from rayflow.state.base import Delta


@dataclass(frozen=True, slots=True)
class TaskSealed:
    """One task at the end of one epoch.

    Attributes:
        task: whose part this is.
        delta: the rows that changed in the epoch.
        staged: per sink operator id, the output to publish once the epoch is complete, in order.
        progress: what the task needs to go on besides its rows (source positions, watermarks). Keys are strings;
            values are what MessagePack carries: None, bool, int (64 bits), float, str, bytes, lists and maps of these.
    """

    task: TaskId
    delta: Delta
    staged: Mapping[str, Sequence[EncodedBatch]]
    progress: Mapping[str, Any]

"""The part of one task in its worker's segment for an epoch, handed over at the barrier."""

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
        task: the task of this part.
        delta: the rows that changed in the epoch.
        staged: by sink operator id, the output to publish when the epoch is complete, in order.
        progress: what the task needs to resume besides its rows (source positions, watermarks). Keys are strings;
            values are of MessagePack's types: None, bool, int (64 bits), float, str, bytes, lists and maps of these.
    """

    task: TaskId
    delta: Delta
    staged: Mapping[str, Sequence[EncodedBatch]]
    progress: Mapping[str, Any]

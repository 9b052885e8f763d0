"""The options of the coordinator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rayflow.core.ids import WorkerId
from rayflow.engine.recovery import LostMarker


@dataclass(frozen=True, slots=True)
class CoordinatorOptions:
    """The options of a run that the coordinator needs.

    `interval` in ms. `lineage` is used if there is no checkpoint yet. `systems`: the identity of each source's topic
    and its system (`Connector.identity`). `keep_open`: a bounded run does not drain at its end.
    """

    lineage: str
    interval: int
    workers: tuple[WorkerId, ...] = (0,)
    systems: Mapping[str, str] = field(default_factory=dict)
    drop_state: bool = False
    allow_new_partitions: bool = False
    new_lineage: bool = False
    lost_marker: LostMarker | None = None
    keep_open: bool = False

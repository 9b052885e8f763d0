"""The workloads: what each does, what its answer is compared with, and what rayflow is to cost beside the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BY_HAND, RAYFLOW, KAFKA_STREAMS, QUIX, BYTEWAX = "by hand", "rayflow", "kafka-streams", "quix", "bytewax"


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload.

    Attributes:
        answer: the name of the check in `answers`.
        at_most: rayflow's CPU per record over a contender's: the target. Kafka Streams' is that of its steady state.
        on_ray: records per CPU second on Ray over those in one process, at least: with an exchange they are encoded,
            sent and decoded once more.
    """

    name: str
    does: str
    answer: str
    at_most: Mapping[str, float]
    on_ray: float = 0.85

    @property
    def job(self) -> str:
        """The job file's stem under `benchmarks/jobs`."""
        return self.name.replace("-", "_")

    @property
    def every_update(self) -> str:
        """The workload of those who write every update, where others write the newest of an epoch."""
        return self.name.removesuffix("-epoch")


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("identity", "bytes in, the same bytes out", "identity", {BY_HAND: 1.3}),
        Workload(
            "map",
            "decode, keep price > 20, write user and total",
            "map",
            {BY_HAND: 1.3, KAFKA_STREAMS: 0.8, QUIX: 1 / 3.5, BYTEWAX: 1 / 1.7},
        ),
        Workload(
            "count",
            "count and revenue per user, every update",
            "updates_per_user",
            {BY_HAND: 1.3, KAFKA_STREAMS: 0.5, QUIX: 1 / 6, BYTEWAX: 1 / 3.5},
        ),
        Workload(
            "count-epoch",
            "the same, the newest per user once an epoch (by hand: every update)",
            "newest_per_user",
            {BY_HAND: 0.6, KAFKA_STREAMS: 0.5},
        ),
        Workload(
            "shuffle",
            "count and revenue per item (keyed anew), every update",
            "updates_per_item",
            {BY_HAND: 1.3, QUIX: 1 / 7, BYTEWAX: 1 / 2},
            on_ray=0.6,
        ),
        Workload(
            "shuffle-epoch",
            "the same, the newest per item once an epoch (by hand: every update)",
            "newest_per_item",
            {KAFKA_STREAMS: 0.7},
            on_ray=0.6,
        ),
        Workload(
            "window",
            "count and revenue per user and minute, final",
            "windows",
            {BY_HAND: 1.1, KAFKA_STREAMS: 0.5, QUIX: 1 / 9, BYTEWAX: 1 / 11},
        ),
    )
}

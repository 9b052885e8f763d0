"""The workloads: what each does, in one line, and what its answer is compared with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload.

    Attributes:
        job: the job file's stem under `benchmarks/jobs`. by_hand: the loop's own workload that it is measured against.
        answer: the name of the check in `answers`.
    """

    name: str
    does: str
    job: str
    by_hand: str
    answer: str


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("identity", "bytes in, the same bytes out", "identity", "identity", "identity"),
        Workload("map", "decode, keep price > 20, write user and total", "map", "map", "map"),
        Workload("count", "count and revenue per user, every update", "count", "count", "updates_per_user"),
        Workload(
            "count-epoch",
            "the same, the newest per user once an epoch (the loop: every update)",
            "count_epoch",
            "count",
            "newest_per_user",
        ),
        Workload("window", "count and revenue per user and minute, final", "window", "window", "windows"),
        Workload(
            "shuffle", "count and revenue per item (keyed anew), every update", "shuffle", "shuffle", "updates_per_item"
        ),
    )
}

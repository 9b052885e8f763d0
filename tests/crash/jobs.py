"""The jobs that are killed: one stage and two stages, two sinks each. Amounts are integers, so that sums are exact.

`tag` ends the names of the job and its topics, so that several campaigns share a broker.
"""

from __future__ import annotations

from datetime import timedelta

import rayflow as rf

WINDOW = 1000
"""Size of the windows, ms."""
OUT_OF_ORDER = 50
"""How far behind a record may be, ms."""


class Payment(rf.Record):
    id: int
    user: str
    item: str
    amount: int
    ts: int


def one_stage(tag: str) -> rf.Job:
    """Keyed by the topic's own key: running totals per user, and the large payments as they are."""
    job = rf.Job(f"one-stage{tag}")
    payments = job.stream(f"payments{tag}", key=str, value=Payment)
    payments.group_by_key().aggregate(
        count=rf.count(), total=rf.sum(lambda p: p.amount), emit="record", name="totals"
    ).to(f"totals{tag}")
    payments.filter(lambda p: p.amount > 50).map(lambda p: {"id": p.id, "user": p.user}).to(f"large{tag}")
    return job


def two_stages(tag: str) -> rf.Job:
    """Exchanged by item: running totals per item, and final windows per item."""
    job = rf.Job(f"two-stages{tag}")
    payments = job.stream(
        f"payments{tag}",
        key=str,
        value=Payment,
        timestamp=lambda p: p.ts,
        watermark=rf.bounded(milliseconds=OUT_OF_ORDER),
    )
    by_item = payments.key_by(lambda p: p.item)
    by_item.aggregate(count=rf.count(), total=rf.sum(lambda p: p.amount), emit="record", name="totals").to(
        f"totals{tag}"
    )
    by_item.window(rf.tumbling(timedelta(milliseconds=WINDOW))).aggregate(
        count=rf.count(), total=rf.sum(lambda p: p.amount), name="windows"
    ).to(f"windows{tag}")
    return job


JOBS = {"one-stage": one_stage, "two-stages": two_stages}

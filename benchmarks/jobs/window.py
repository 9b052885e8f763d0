"""Count and revenue per user and minute of event time, once each window is final."""

from datetime import timedelta

import rayflow as rf


class Order(rf.Record):
    user: str
    item: str
    price: float
    qty: int


class Minute(rf.Record):
    key: str
    window_start: int
    count: int
    revenue: float


job = rf.Job(rf.setting("job", "bench-window"))
(
    job.stream(rf.setting("source", "orders"), key=str, value=Order)
    .group_by_key()
    .window(rf.tumbling(minutes=1), grace=timedelta(seconds=5))
    .aggregate(count=rf.count(), revenue=rf.sum(lambda o: o.price * o.qty), into=Minute)
    .to(rf.setting("sink", "minutes"))
)

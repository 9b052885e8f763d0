"""Count and revenue per user, the newest of each changed user once an epoch (the default)."""

import rayflow as rf


class Order(rf.Record):
    user: str
    item: str
    price: float
    qty: int


class Running(rf.Record):
    key: str
    count: int
    revenue: float


job = rf.Job(rf.setting("job", "bench-count-epoch"))
(
    job.stream(rf.setting("source", "orders"), key=str, value=Order)
    .group_by_key()
    .aggregate(count=rf.count(), revenue=rf.sum(lambda o: o.price * o.qty), into=Running)
    .to(rf.setting("sink", "counts"))
)

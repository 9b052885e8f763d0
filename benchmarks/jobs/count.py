"""Count and revenue per user, every update out."""

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


job = rf.Job(rf.setting("job", "bench-count"))
(
    job.stream(rf.setting("source", "orders"), key=str, value=Order)
    .group_by_key()
    .aggregate(count=rf.count(), revenue=rf.sum(lambda o: o.price * o.qty), into=Running, emit="record")
    .to(rf.setting("sink", "counts"))
)

"""Count and revenue per item, the newest of each changed item once an epoch (the default)."""

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


job = rf.Job(rf.setting("job", "bench-shuffle-epoch"))
(
    job.stream(rf.setting("source", "orders"), value=Order)
    .key_by(lambda o: o.item)
    .aggregate(count=rf.count(), revenue=rf.sum(lambda o: o.price * o.qty), into=Running)
    .to(rf.setting("sink", "items"))
)

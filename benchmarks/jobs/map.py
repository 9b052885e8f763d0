"""Decode, filter, compute, encode: no state."""

import rayflow as rf


class Order(rf.Record):
    user: str
    item: str
    price: float
    qty: int


class Total(rf.Record):
    user: str
    total: float


job = rf.Job(rf.setting("job", "bench-map"))
(
    job.stream(rf.setting("source", "orders"), value=Order)
    .filter(lambda o: o.price > 20)
    .map(lambda o: Total(o.user, o.price * o.qty))
    .to(rf.setting("sink", "totals"))
)

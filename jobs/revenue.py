"""Revenue of each user, minute by minute, from orders that arrive somewhat out of order.

rayflow run jobs/revenue.py --until-end
rayflow topics read revenue-per-minute --max 5
"""

from collections.abc import Iterator
from datetime import timedelta
from random import Random

import rayflow as rf

START = 1_767_225_600_000  # 2026-01-01 00:00 UTC, in ms
HOUR = 3_600_000
ORDERS_PER_HOUR = 200_000


class Order(rf.Record):
    id: int
    user: str
    price: float
    qty: int
    ts: int


class Revenue(rf.Record):
    key: str
    window_start: int
    window_end: int
    total: float
    orders: int


def orders_of(hour: int) -> Iterator[Order]:
    """The orders of one hour: up to 4 s out of order, now and then one that was cancelled (its price is 0)."""
    random = Random(hour)
    for number in range(ORDERS_PER_HOUR):
        at = START + hour * HOUR + number * HOUR // ORDERS_PER_HOUR
        yield Order(
            id=hour * ORDERS_PER_HOUR + number,
            user=f"user-{int(500 * random.random() ** 2):03}",
            price=0.0 if random.random() < 0.01 else round(random.uniform(1, 100), 2),
            qty=random.choice((1, 1, 1, 2, 3)),
            ts=max(START + hour * HOUR, at - int(4_000 * random.random())),
        )


job = rf.Job("revenue")

orders = job.stream(
    "orders",
    value=Order,
    timestamp=lambda o: o.ts,
    watermark=rf.bounded(seconds=5),
    sample=lambda: orders_of(0),
)

(
    orders.filter(lambda o: o.price > 0)
    .key_by(lambda o: o.user)
    .window(rf.tumbling(minutes=1), grace=timedelta(seconds=10))
    .aggregate(total=rf.sum(lambda o: o.price * o.qty), orders=rf.count(), into=Revenue)
    .to("revenue-per-minute")
)

"""A job file of one stage without state: filter, map, flat_map, split, two sinks."""

import rayflow as rf


class Order(rf.Record):
    id: int
    user: str
    items: list[str]
    price: float
    ts: int


class Line(rf.Record):
    order: int
    item: str


job = rf.Job("parts")
orders = job.stream("shop-orders", key=str, value=Order, timestamp=lambda order: order.ts)
paid = orders.filter(lambda order: order.price > 0)
(
    paid.flat_map(lambda order: [Line(order=order.id, item=item) for item in order.items])
    .map(lambda line: Line(order=line.order, item=line.item.upper()))
    .to("shop-items", headers=lambda line: [("order", b"%d" % line.order)])
)
sizes = paid.split(large=lambda order: order.price >= 50)
sizes["large"].map(lambda order: {"id": order.id}).to("shop-large")
sizes.rest.map(lambda order: {"id": order.id, "user": order.user}).to("shop-small")

"""What a type checker must refuse, with the error's code at the end of the line. Never run."""

from __future__ import annotations

import rayflow as rf


class Order(rf.Record):
    user: str
    price: float


class Other(rf.ProcessFunction[int, str, str]):
    def process(self, value: str, ctx: rf.Context) -> list[str]:
        return [value]


def misuse(job: rf.Job, orders: rf.Stream[bytes, Order]) -> None:
    orders.window(rf.tumbling(minutes=1))  # E: attr-defined
    orders.count()  # E: attr-defined
    orders.filter(lambda o: o.prize > 0)  # E: attr-defined
    orders.map(lambda a, b: a)  # E: arg-type, misc
    orders.key_by(lambda o: o.user).count().map(str)  # E: attr-defined
    orders.key_by(lambda o: o.user).window(rf.tumbling(minutes=1)).to("x")  # E: attr-defined
    orders.key_by(lambda o: o.user).window(60)  # E: arg-type
    orders.key_by(lambda o: o.user).count(emit="updates")  # E: arg-type
    orders.key_by(lambda o: o.user).aggregate(total=rf.sum(lambda o: o.prize))  # E: attr-defined
    orders.key_by(lambda o: o.user).aggregate(total=5)  # E: call-overload
    orders.key_by(lambda o: o.user).process(Other)  # E: arg-type
    orders.map(lambda o: o.price, on_error="skip")  # E: arg-type
    rf.tumbling(60)  # E: arg-type
    rf.tumbling()
    rf.hopping(minutes=5)  # E: call-arg
    rf.Job("x", delivery="twice")  # E: arg-type
    job.stream("x", timestamp=5)  # E: call-overload
    orders.map(lambda o: o.price).map(lambda price: price.user)  # E: attr-defined

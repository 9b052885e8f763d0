"""Warns when a large payment follows a small one on the same card within a minute: someone is trying a stolen card.

rayflow run jobs/fraud.py --until-end
rayflow topics read alerts
rayflow run jobs/fraud.py --until-end --set large=200 --state elsewhere
"""

from collections.abc import Iterable, Iterator
from random import Random

import rayflow as rf

SMALL = rf.setting("small", 1.0)
LARGE = rf.setting("large", 500.0)
WITHIN = 60_000  # ms


class Payment(rf.Record):
    card: str
    amount: float
    ts: int


class Alert(rf.Record):
    card: str
    amount: float
    ts: int


class TriedOut(rf.ProcessFunction[str, Payment, Alert]):
    """Remembers, per card, when it last paid a small amount; a timer forgets it after a minute."""

    small_at = rf.value(0)

    def process(self, payment: Payment, ctx: rf.Context) -> Iterable[Alert]:
        if payment.amount <= SMALL:
            self.small_at.set(payment.ts)
            ctx.timer_at(payment.ts + WITHIN)
        elif payment.amount >= LARGE and payment.ts <= self.small_at.get() + WITHIN:
            yield Alert(card=payment.card, amount=payment.amount, ts=payment.ts)
            self.small_at.clear()

    def on_timer(self, at: int, ctx: rf.Context) -> Iterable[Alert]:
        if at == self.small_at.get() + WITHIN:
            self.small_at.clear()
        return ()


def sample() -> Iterator[Payment]:
    """An hour of payments of 1,000 cards, of which a few are tried out."""
    random = Random(1)
    start = 1_767_225_600_000  # 2026-01-01 00:00 UTC, in ms
    for at in range(start, start + 3_600_000, 180):
        card = f"card-{random.randrange(1_000):04}"
        if random.random() < 0.0005:
            yield Payment(card=card, amount=0.5, ts=at)
            yield Payment(card=card, amount=900.0, ts=at + 20_000 * random.randrange(1, 5))
        else:
            yield Payment(card=card, amount=round(random.uniform(2, 400), 2), ts=at)


job = rf.Job("fraud")

payments = job.stream(
    "payments",
    value=Payment,
    timestamp=lambda p: p.ts,
    watermark=rf.bounded(seconds=90),
    sample=sample,
)

(payments.key_by(lambda p: p.card).process(TriedOut).to("alerts"))

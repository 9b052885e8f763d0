"""What the jobs on the pages are given, and what must come of it: by page and job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Rows = Sequence[tuple[str | None, Any, int]]
"""Records: key, value (JSON of it, or text or bytes as they are), timestamp."""

MINUTE, DAY = 60_000, 86_400_000


@dataclass(frozen=True)
class Given:
    """A job's input by topic, and its output by topic: (key, value decoded from JSON), in order.

    `files`: what the job reads from its working directory. `in_memory`: its sources cannot be reached from here, so it
    is run by the driver instead of on the embedded log.
    """

    input: Mapping[str, Rows]
    output: Mapping[str, Sequence[tuple[str | None, Any]]]
    files: Mapping[str, str] = field(default_factory=dict)
    in_memory: bool = False


REVENUE = Given(
    {
        "orders": [
            (None, {"id": 1, "user": "ann", "price": 2.5, "qty": 2, "ts": 1_000}, 1),
            (None, {"id": 2, "user": "bob", "price": 0.0, "qty": 9, "ts": 2_000}, 1),  # filtered out
            (None, {"id": 3, "user": "ann", "price": 1.0, "qty": 1, "ts": 59_999}, 1),
            (None, {"id": 4, "user": "bob", "price": 4.0, "qty": 1, "ts": 60_000}, 1),
            (None, {"id": 5, "user": "ann", "price": 1.0, "qty": 1, "ts": 58_000}, 1),  # out of order, not late
        ]
    },
    {
        "revenue-per-minute": [
            ("ann", {"key": "ann", "window_start": 0, "window_end": MINUTE, "total": 7.0, "orders": 3}),
            ("bob", {"key": "bob", "window_start": MINUTE, "window_end": 2 * MINUTE, "total": 4.0, "orders": 1}),
        ]
    },
)

GIVEN: dict[tuple[str, str], Given] = {
    ("README.md", "revenue"): REVENUE,
    ("docs/index.md", "revenue"): REVENUE,
    ("docs/tutorial.md", "words"): Given(
        {"lines": [(None, "to be or not to be", 1), (None, "to see", 2)]},
        {"counts": [("to", 3), ("be", 2), ("or", 1), ("not", 1), ("see", 1)]},
    ),
    ("docs/tutorial.md", "revenue"): Given(
        {
            "orders": [
                (None, {"id": 1, "user": "ann", "price": 2.0, "ts": 1_000}, 1),
                (None, {"id": 2, "user": "ann", "price": 3.5, "ts": 59_000}, 1),
                (None, {"id": 3, "user": "ann", "price": 1.0, "ts": 61_000}, 1),
            ]
        },
        {
            "revenue-per-minute": [
                ("ann", {"key": "ann", "window_start": 0, "orders": 2, "total": 5.5}),
                ("ann", {"key": "ann", "window_start": MINUTE, "orders": 1, "total": 1.0}),
            ]
        },
    ),
    ("docs/concepts/checkpoints.md", "visits"): Given(
        {"visits": [("/", {}, 1), ("/shop", {}, 2), ("/", {}, 3)]},
        {"visits-per-page": [("/", 2), ("/shop", 1)]},
    ),
    ("docs/concepts/dataflow.md", "clicks"): Given(
        {
            "clicks": [
                (None, {"user": "ann", "page": "/", "ts": 1_000}, 1),
                (None, {"user": "bob", "page": "/health", "ts": 2_000}, 1),
                (None, {"user": "ann", "page": "/", "ts": 3_000}, 1),
                (None, {"user": "bob", "page": "/", "ts": 5 * MINUTE - 1}, 1),
                (None, {"user": "bob", "page": "/", "ts": 5 * MINUTE}, 1),
            ]
        },
        {
            "clicks-per-page": [
                ("/", {"key": "/", "window_start": 0, "window_end": 5 * MINUTE, "clicks": 3, "users": 2}),
                ("/", {"key": "/", "window_start": 5 * MINUTE, "window_end": 10 * MINUTE, "clicks": 1, "users": 1}),
            ]
        },
    ),
    ("docs/concepts/dataflow.md", "payments"): Given(
        {
            "payments": [
                (None, {"user": "ann", "amount": 1_000.0, "country": "no"}, 1),
                (None, {"user": "bob", "amount": 999.0, "country": "it"}, 2),
                (None, {"user": "bob", "amount": 1.0, "country": "it"}, 3),
                (None, {"user": "eve", "amount": 0.0, "country": "it"}, 4),
            ]
        },
        {
            "payments-to-check": [(None, {"user": "ann", "amount": 1_000.0, "country": "no"})],
            "totals": [("it", {"key": "it", "total": 1_000.0})],
            "odd-payments": [(None, {"user": "eve", "amount": 0.0, "country": "it"})],
        },
    ),
    ("docs/concepts/errors-and-dead-letters.md", "ratios"): Given(
        {"pairs": [(None, {"a": 6, "b": 3}, 1), (None, {"a": 1, "b": 0}, 2), (None, b"[1]", 3)]},
        {"ratios": [(None, 2.0)], "pairs-failed": [(None, {"a": 1, "b": 0}), (None, [1])]},
    ),
    ("docs/concepts/exactly-once.md", "shout"): Given(
        {"words": [("k", "a", 1), ("k", "b", 2)]}, {"loud-words": [("k", "A"), ("k", "B")]}
    ),
    ("docs/concepts/state.md", "logins"): Given(
        {
            "logins": [
                (None, {"user": "ann", "city": "Rome", "ts": 1}, 1),
                (None, {"user": "ann", "city": "Oslo", "ts": 2}, 1),
                (None, {"user": "ann", "city": "Oslo", "ts": 3}, 1),
                (None, {"user": "bob", "city": "Oslo", "ts": 4}, 1),
                (None, {"user": "ann", "city": "Rome", "ts": 95 * DAY}, 1),  # both cities are forgotten by then
                (None, {"user": "ann", "city": "Oslo", "ts": 96 * DAY}, 1),
            ]
        },
        {
            "warnings": [
                ("ann", "ann logs in from a new city"),
                ("ann", "ann logs in from a new city"),
            ]
        },
    ),
    ("docs/concepts/time.md", "sensors"): Given(
        {
            "readings": [
                (None, {"sensor": "s", "celsius": 10.0, "ts": 10_000}, 1),
                (None, {"sensor": "s", "celsius": 14.0, "ts": 95_000}, 1),  # the watermark is 5 s behind it
                (None, {"sensor": "s", "celsius": 12.0, "ts": 20_000}, 1),  # late for the minute, not for its grace
                (None, {"sensor": "s", "celsius": 50.0, "ts": 130_001}, 1),
                (None, {"sensor": "s", "celsius": 90.0, "ts": 20_000}, 1),  # too late
            ]
        },
        {
            "per-minute": [
                ("s", {"key": "s", "window_start": 0, "window_end": MINUTE, "mean": 11.0}),
                ("s", {"key": "s", "window_start": MINUTE, "window_end": 2 * MINUTE, "mean": 14.0}),
                ("s", {"key": "s", "window_start": 2 * MINUTE, "window_end": 3 * MINUTE, "mean": 50.0}),
            ],
            "late-readings": [("s", {"sensor": "s", "celsius": 90.0, "ts": 20_000})],
        },
    ),
    ("docs/guides/cluster.md", "words"): Given(
        {},
        {"counts": [("one", 1), ("three", 3), ("two", 2)]},  # the sample, task by task
    ),
    ("docs/guides/sources-and-sinks.md", "orders-by-country"): Given(
        {
            "orders.jsonl": [(None, {"id": 1, "country": "no", "price": 2.0}, 1)],
            "orders": [(None, {"id": 2, "country": "no", "price": 3.0}, 2)],
        },
        {"totals": [("no", {"key": "no", "total": 5.0})]},
        in_memory=True,
    ),
    ("docs/guides/sources-and-sinks.md", "prices"): Given(
        {},
        {"prices": [(None, {"item": "pen", "price": 2.5}), (None, {"item": "ink", "price": 10.0})]},
        files={"prices.csv": "item,price\npen,2.5\nink,10\n"},
    ),
    ("docs/guides/testing.md", "orders"): Given(
        {
            "orders": [
                (None, {"user": "ann", "price": 2.0, "ts": 1_000}, 1),
                (None, {"user": "ann", "price": 3.0, "ts": 59_999}, 1),
                (None, {"user": "ann", "price": 1.0, "ts": 120_000}, 1),
                (None, {"user": "ann", "price": 9.0, "ts": 10_000}, 1),
            ]
        },
        {
            "per-minute": [
                ("ann", {"key": "ann", "window_start": 0, "total": 5.0}),
                ("ann", {"key": "ann", "window_start": 2 * MINUTE, "total": 1.0}),
            ],
            "late-orders": [("ann", {"user": "ann", "price": 9.0, "ts": 10_000})],
        },
    ),
}

"""What the jobs must have written, computed from the input alone, in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.crash.jobs import WINDOW, Payment

Output = dict[str, list[tuple[bytes | None, dict[str, Any]]]]
"""Per topic the records as (key, value), in order within each partition, one partition after the other."""


@dataclass(frozen=True)
class Input:
    """The payments of each partition, in order."""

    partitions: list[list[Payment]]

    def all(self) -> Iterable[Payment]:
        return (payment for partition in self.partitions for payment in partition)


def by_key(records: list[tuple[bytes | None, dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for key, value in records:
        assert key is not None
        found[key.decode()].append(value)
    return dict(found)


def check_one_stage(given: Input, output: Output) -> None:
    totals: dict[str, list[tuple[int, int]]] = defaultdict(list)
    large: dict[str, list[int]] = defaultdict(list)
    for payment in given.all():
        count, total = totals[payment.user][-1] if totals[payment.user] else (0, 0)
        totals[payment.user].append((count + 1, total + payment.amount))
        if payment.amount > 50:
            large[payment.user].append(payment.id)
    got = {k: [(v["count"], v["total"]) for v in values] for k, values in by_key(output["totals"]).items()}
    assert_equal("totals", got, dict(totals))
    assert_equal("large", {k: [v["id"] for v in vs] for k, vs in by_key(output["large"]).items()}, dict(large))


def check_two_stages(given: Input, output: Output) -> None:
    amounts: dict[str, list[int]] = defaultdict(list)
    windows: dict[tuple[str, int], list[int]] = defaultdict(list)
    for payment in given.all():
        amounts[payment.item].append(payment.amount)
        windows[payment.item, payment.ts - payment.ts % WINDOW].append(payment.amount)
    for item, values in by_key(output["totals"]).items():
        assert_equal(f"counts of {item}", [v["count"] for v in values], list(range(1, len(amounts[item]) + 1)))
        steps = [b["total"] - a["total"] for a, b in zip([{"total": 0}, *values], values, strict=False)]
        assert_equal(f"amounts of {item}", Counter(steps), Counter(amounts[item]))
    assert_equal("items", set(by_key(output["totals"])), set(amounts))
    got: dict[tuple[str, int], tuple[int, int]] = {}
    for item, values in by_key(output["windows"]).items():
        starts = [v["window_start"] for v in values]
        assert starts == sorted(set(starts)), f"windows of {item} are repeated or out of order"
        got.update({(item, v["window_start"]): (v["count"], v["total"]) for v in values})
    assert_equal("windows", got, {key: (len(values), sum(values)) for key, values in windows.items()})


def state_of(job: str, given: Input) -> dict[str, list[int]]:
    """Count and total per key, as the state must hold them at the end."""
    state: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for payment in given.all():
        row = state[payment.user if job == "one-stage" else payment.item]
        row[0] += 1
        row[1] += payment.amount
    return dict(state)


CHECKS = {"one-stage": check_one_stage, "two-stages": check_two_stages}
SINKS = {"one-stage": ("totals", "large"), "two-stages": ("totals", "windows")}


def assert_equal(what: str, got: Any, expected: Any) -> None:
    if got == expected:
        return
    if isinstance(got, dict) and isinstance(expected, dict):
        wrong = [k for k in expected.keys() | got.keys() if got.get(k) != expected.get(k)]
        key = sorted(wrong, key=str)[0]
        raise AssertionError(f"{what}: {len(wrong)} differ; {key}: got {got.get(key)}, expected {expected.get(key)}")
    raise AssertionError(f"{what}: got {got}, expected {expected}")

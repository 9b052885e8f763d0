"""jobs/revenue.py in memory."""

from collections import Counter
from itertools import islice, pairwise
from types import ModuleType

import pytest
from msgspec.structs import replace

import rayflow as rf
from tests.jobs.conftest import job_of


@pytest.fixture
def revenue() -> ModuleType:
    job_of("revenue")
    import revenue

    return revenue


def test_a_minute_comes_out_once_when_its_grace_has_passed(revenue: ModuleType) -> None:
    order = revenue.Order(id=1, user="ann", price=2.0, qty=3, ts=10_000)
    with rf.testing.Driver(revenue.job) as driver:
        driver.send("orders", order)
        driver.send("orders", replace(order, id=2, price=1.5, qty=1, ts=59_999))
        driver.send("orders", replace(order, id=3, ts=74_000))
        assert driver.read("revenue-per-minute") == []
        driver.send("orders", replace(order, id=4, ts=75_001))
        assert driver.read("revenue-per-minute") == [
            revenue.Revenue(key="ann", window_start=0, window_end=60_000, total=7.5, orders=2)
        ]


def test_cancelled_orders_do_not_count(revenue: ModuleType) -> None:
    with rf.testing.Driver(revenue.job) as driver:
        driver.send("orders", revenue.Order(id=1, user="ann", price=0.0, qty=3, ts=0))
        driver.send("orders", revenue.Order(id=2, user="bob", price=1.0, qty=1, ts=200_000))
        driver.send("orders", revenue.Order(id=3, user="bob", price=1.0, qty=1, ts=400_000))
        assert [result.key for result in driver.read("revenue-per-minute")] == ["bob"]


def test_the_sample_is_the_same_each_time_and_somewhat_out_of_order(revenue: ModuleType) -> None:
    orders = list(islice(revenue.orders_of(0), 5_000))
    assert orders == list(islice(revenue.orders_of(0), 5_000))
    behind = [before.ts - order.ts for before, order in pairwise(orders)]
    assert 0 < max(behind) < 5_000
    assert next(revenue.orders_of(1)).ts >= revenue.START + revenue.HOUR


def test_the_sample_is_summed_as_plain_python_would(revenue: ModuleType) -> None:
    orders = list(islice(revenue.orders_of(0), 5_000))
    expected: Counter[tuple[str, int]] = Counter()
    for order in orders:
        if order.price > 0:
            expected[order.user, order.ts - order.ts % 60_000] += 1
    with rf.testing.Driver(revenue.job) as driver:
        driver.send_all("orders", orders)
        driver.send("orders", revenue.Order(id=0, user="last", price=1.0, qty=1, ts=orders[-1].ts + 200_000))
        results = driver.read("revenue-per-minute")
    assert {(result.key, result.window_start): result.orders for result in results} == expected

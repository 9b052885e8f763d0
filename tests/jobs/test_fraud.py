"""jobs/fraud.py in memory."""

from types import ModuleType

import pytest

import rayflow as rf
from tests.jobs.conftest import job_of


@pytest.fixture
def fraud() -> ModuleType:
    job_of("fraud")
    import fraud

    return fraud


def alerts_of(fraud: ModuleType, *payments: tuple[str, float, int]) -> list[object]:
    with rf.testing.Driver(fraud.job) as driver:
        for card, amount, ts in payments:
            driver.send("payments", fraud.Payment(card=card, amount=amount, ts=ts))
        return driver.read("alerts")


def test_a_large_payment_soon_after_a_small_one_is_an_alert(fraud: ModuleType) -> None:
    found = alerts_of(fraud, ("a", 0.5, 1_000_000), ("a", 900.0, 1_060_000))
    assert found == [fraud.Alert(card="a", amount=900.0, ts=1_060_000)]


def test_a_minute_later_it_is_none(fraud: ModuleType) -> None:
    assert alerts_of(fraud, ("a", 0.5, 1_000_000), ("a", 900.0, 1_060_001)) == []


def test_another_card_or_another_order_is_none(fraud: ModuleType) -> None:
    payments = ("a", 0.5, 1_000_000), ("b", 900.0, 1_010_000), ("c", 900.0, 1_020_000), ("c", 0.5, 1_030_000)
    assert alerts_of(fraud, *payments) == []


def test_a_small_payment_warns_once(fraud: ModuleType) -> None:
    assert len(alerts_of(fraud, ("a", 0.5, 1_000_000), ("a", 900.0, 1_010_000), ("a", 900.0, 1_020_000))) == 1


def test_the_timer_of_an_earlier_small_payment_does_not_forget_a_later_one(fraud: ModuleType) -> None:
    payments = ("a", 0.5, 1_000_000), ("a", 0.5, 1_050_000), ("z", 5.0, 1_155_000), ("a", 900.0, 1_100_000)
    assert len(alerts_of(fraud, *payments)) == 1


def test_nothing_is_remembered_of_a_card_after_its_minute(fraud: ModuleType) -> None:
    with rf.testing.Driver(fraud.job) as driver:
        driver.send("payments", fraud.Payment(card="a", amount=0.5, ts=1_000_000))
        driver.checkpoint()
        assert driver.state_rows() == 2, "when it paid, and the timer"
        driver.send("payments", fraud.Payment(card="z", amount=5.0, ts=1_150_000))
        driver.checkpoint()
        assert driver.state_rows() == 2, "the watermark is 90 s and 1 ms behind: not yet"
        driver.send("payments", fraud.Payment(card="z", amount=5.0, ts=1_150_001))
        driver.checkpoint()
        assert driver.state_rows() == 0


def test_the_sample_holds_some_cases_and_is_the_same_each_time(fraud: ModuleType) -> None:
    payments = list(fraud.sample())
    assert payments == list(fraud.sample())
    assert 3 < sum(payment.amount <= fraud.SMALL for payment in payments) < 50

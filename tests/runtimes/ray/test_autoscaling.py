"""More workers while the job falls behind, fewer when they idle: the decision, without Ray."""

from __future__ import annotations

from rayflow.runtimes.ray.watching.autoscaling import SUSTAINED, Autoscaling, Load

BEHIND = Load([0.95, 0.95], lag=100_000, rate=1_000.0)
IDLE = Load([0.1, 0.1, 0.1, 0.1], lag=0, rate=1_000.0)


def wanted(scaling: Autoscaling, load: Load, begin: float) -> int | None:
    """What is wanted after a load has lasted."""
    assert scaling.wanted(load, begin) is None
    return scaling.wanted(load, begin + SUSTAINED)


def test_workers_double_up_to_the_most() -> None:
    assert wanted(Autoscaling(1, 8, cooldown=60), BEHIND, 0.0) == 4
    assert wanted(Autoscaling(1, 3, cooldown=60), BEHIND, 0.0) == 3
    assert wanted(Autoscaling(1, 2, cooldown=60), BEHIND, 0.0) is None


def test_idle_workers_go_down_to_the_least() -> None:
    assert wanted(Autoscaling(1, 8, cooldown=60), IDLE, 0.0) == 1
    assert wanted(Autoscaling(3, 8, cooldown=60), IDLE, 0.0) == 3


def test_two_changes_are_a_cooldown_apart() -> None:
    scaling = Autoscaling(1, 8, cooldown=60)
    assert wanted(scaling, BEHIND, 0.0) == 4
    assert wanted(scaling, IDLE, 20.0) is None
    assert scaling.wanted(IDLE, SUSTAINED + 60) == 1


def test_a_load_that_does_not_last_changes_nothing() -> None:
    scaling = Autoscaling(1, 8, cooldown=60)
    calm = Load([0.8, 0.8], lag=10, rate=1_000.0)
    assert scaling.wanted(BEHIND, 0.0) is None
    assert scaling.wanted(calm, SUSTAINED / 2) is None
    assert scaling.wanted(BEHIND, SUSTAINED) is None


def test_workers_that_wait_for_something_else_are_not_too_few() -> None:
    waiting = Load([0.2, 0.2], lag=100_000, rate=1_000.0)
    assert wanted(Autoscaling(1, 8, cooldown=60), waiting, 0.0) is None


def test_nothing_changes_without_a_most_or_without_a_known_lag() -> None:
    assert wanted(Autoscaling(2, 0, cooldown=60), BEHIND, 0.0) is None
    assert wanted(Autoscaling(1, 8, cooldown=60), Load([0.95], lag=None, rate=0.0), 0.0) is None

"""What the model network promises and does not promise; a transport of a runtime must show the same promises."""

from __future__ import annotations

from collections import defaultdict

import pytest

from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.network import Network
from rayflow.testing.simulation.schedule import Schedule

PAIRS = [("coordinator", 0), ("coordinator", 1), ("0", 1), ("0", None)]
FAULTS = Faults(long_delay=0.05, delay=50)


def deliveries(seed: int) -> list[tuple[object, int]]:
    """Forty messages on each of some channels, sent over some time: (channel, number) as they arrive."""
    schedule = Schedule(seed)
    network = Network(schedule, lambda: FAULTS)
    arrived: list[tuple[object, int]] = []
    for number in range(40):
        for pair in PAIRS:
            at = schedule.random.randrange(1_000) + number * 1_000
            schedule.after(at, lambda p=pair, n=number: network.send(p, lambda: arrived.append((p, n)), never))  # type: ignore[misc]
    while schedule.step():
        pass
    return arrived


def never() -> None:
    """Nothing is said twice unless the faults say so."""
    raise AssertionError


@pytest.mark.parametrize("seed", range(10))
def test_messages_of_one_pair_arrive_once_and_in_order(seed: int) -> None:
    by_pair = defaultdict(list)
    for pair, number in deliveries(seed):
        by_pair[pair].append(number)
    assert dict(by_pair) == {pair: list(range(40)) for pair in PAIRS}


def test_messages_of_different_pairs_overtake_each_other() -> None:
    arrived = deliveries(0)
    assert [number for _, number in arrived] != sorted(number for _, number in arrived)

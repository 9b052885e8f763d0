"""Calls in flight in a model world: they take longer than epochs, and no barrier waits for one."""

from __future__ import annotations

from datetime import timedelta

import pytest

import rayflow as rf
from rayflow.engine.worker import Worker
from rayflow.runtimes.simulated.coordinator import CoordinatorProcess
from rayflow.testing.simulation import world
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.jobs import TOPIC, Relay, Shape
from rayflow.testing.simulation.liveness import Liveness
from rayflow.testing.simulation.simulation import Simulation, SimulationFailed
from tests.operators.probes import AskSpec, behind

SEEDS = 15
LIMIT = 1
"""Calls that a task makes at once. One takes 100 ms in the middle, so that a burst of records is seconds of calls."""


def same(value: object) -> object:
    return value


def asking(shape: Shape) -> rf.Job:
    """What `Shape.branches` calls "pass", behind `stages - 1` exchanges and a call for each record."""
    job = rf.Job("simulated", checkpoint_interval=timedelta(milliseconds=shape.interval))
    stream = job.stream(
        TOPIC, key=str, timestamp=lambda v: v["ts"], watermark=rf.bounded(milliseconds=shape.disorder), name=TOPIC
    )
    for number in range(1, shape.stages):
        relayed = stream.key_by(lambda v: v["user"], name=f"by-user-{number}").process(Relay, name=f"relay-{number}")
        stream = behind(relayed, AskSpec(same, LIMIT), f"ask-{number}")
    picked = stream.map(lambda v: {"id": v["id"], "user": v["user"]}, name="pick")
    picked.to("pass", name="to-pass")
    return job


@pytest.fixture(autouse=True)
def a_job_that_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The barrier at the end of a bounded run is the one that waits for calls: from then on nothing is due."""
    look = Liveness.look

    def until_the_end(self: Liveness, coordinator: CoordinatorProcess) -> None:
        if coordinator.driver is not None and not coordinator.driver.coordinator.final_barrier_sent:
            look(self, coordinator)

    monkeypatch.setattr(Liveness, "look", until_the_end)
    monkeypatch.setattr(world, "make_job", asking)


def shape_of(stages: int) -> Shape:
    return Shape(2, stages, ("pass",), filtered=False, disorder=50, window=200, timer=1, interval=100)


@pytest.mark.parametrize("stages", [2, 3])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_checkpoint_waits_for_calls(seed: int, stages: int) -> None:
    """The liveness of an undisturbed attempt says so: a commit within half a second, whatever the calls take."""
    Simulation(seed, faults=Faults(), shape=shape_of(stages), records=60).run()


def test_a_barrier_that_waits_behind_held_records_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "owing", set())
    with pytest.raises(SimulationFailed, match=r"the last checkpoint is .* old, and nothing is wrong"):
        Simulation(0, faults=Faults(), shape=shape_of(2), records=60).run()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_calls_in_flight_are_exact_whatever_breaks(seed: int) -> None:
    Simulation(seed, shape=shape_of(2 + seed % 2), records=60).run()

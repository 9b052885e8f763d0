"""Whole jobs in a model world that breaks: exact under every seed, the same under the same seed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from rayflow.checkpoint.manifest import newest_manifest
from rayflow.core.ids import TopicPartition
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.segments import positions_of, read_progress
from rayflow.runtimes.simulated.coordinator import CoordinatorProcess
from rayflow.testing.simulate import main
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.jobs import LATE, OTHER, TOPIC, Shape, make_job
from rayflow.testing.simulation.simulation import Simulation, SimulationFailed

SEEDS = 1000
GROUPS = 16

KINDS = {
    "attempt given up",
    "broker away",
    "clock jumps",
    "commit answer lost",
    "crash",
    "crash of several",
    "disk lost",
    "link cut",
    "machine rebooted",
    "markers expired",
    "markers to expire",
    "message delayed",
    "message repeated",
    "partitions added while down",
    "partitions added while running",
    "partitions idle",
    "partitions to be added",
    "process frozen",
    "read slow",
    "rescaled",
    "savepoint",
    "savepoint cut off",
    "savepoint to be cut off",
    "slots scattered",
    "stop",
    "store answer lost",
    "store slow",
    "store write fails",
    "torn object",
    "worker kept",
    "zombie",
}
"""Every kind of fault."""

TRACED = """
import hashlib, sys
from rayflow.testing.simulation.simulation import Simulation
digest = hashlib.sha256()
for seed in (1, 5, 9, 27):
    simulation = Simulation(seed, on_note=lambda *note: digest.update(repr(note).encode()))
    digest.update(repr(simulation.run()).encode())
    for name, data in sorted(simulation.store.objects.items()):
        digest.update(name.encode() if name.startswith("attempts/") else name.encode() + data)
print(digest.hexdigest())
"""

KEYED_BY_EXCHANGE = Shape(
    partitions=2, stages=2, branches=("pass", "updates", "windows"), filtered=False,
    disorder=1, window=200, timer=1, interval=100,
)  # fmt: skip
WITH_EVERYTHING = replace(KEYED_BY_EXCHANGE, idle=300, grows=True)
KEYED_BY_SOURCE = replace(KEYED_BY_EXCHANGE, stages=1, branches=("totals",))


@pytest.mark.no_cover  # counting lines takes longer than running them; other tests go the same ways
@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
def test_every_seed_is_exact(group: int) -> None:
    seeds = range(group * SEEDS // GROUPS, (group + 1) * SEEDS // GROUPS)
    happened: Counter[str] = Counter()
    began = time.process_time()
    for seed in seeds:
        happened.update(Simulation(seed).run().faults)
    print(f"{len(seeds) * 60 / (time.process_time() - began):.0f} seeds a minute: {dict(sorted(happened.items()))}")
    assert happened.keys() <= KINDS


def test_every_kind_of_fault_happens_within_a_few_seeds() -> None:
    everything = Faults(
        crash=0.002, target="WriteSegment", target_crash=0.1, freeze=0.2, restart_time=100, both=0.3, zombie=0.5,
        zombie_time=1000, false_alarm=0.2, stop=0.3, store_fails=0.01, store_answer_lost=0.01, store_slow=0.1,
        read_slow=0.1, torn=1.0, broker_away=0.2, away_time=500, commit_answer_lost=0.1, disk_lost=0.3,
        markers_expire=0.3, reboot=0.3, long_delay=0.01, repeat=0.05, link_cut=0.005, cut_time=1000, rescale=0.2,
        scattered=0.5, grow=0.3, savepoint=1.0, clock_jump=0.2, kept=0.5,
    )  # fmt: skip
    happened: Counter[str] = Counter()
    for seed in range(40):
        happened.update(Simulation(seed, faults=everything, shape=WITH_EVERYTHING).run().faults)
        if happened.keys() == KINDS:
            break
    assert happened.keys() == KINDS


def test_a_world_in_which_nothing_goes_wrong_needs_one_attempt() -> None:
    """And a bounded run at its end, if the seed has it so."""
    for seed in range(5):
        simulation = Simulation(seed, faults=Faults())
        report = simulation.run()
        assert report.attempts == 1 + simulation.bounded
        assert report.records


def test_crashes_cost_attempts_and_nothing_else() -> None:
    simulation = Simulation(3, faults=Faults(crash=0.003))
    report = simulation.run()
    assert report.attempts > 1
    assert sum(report.crashes.values()) >= report.attempts - 1 - simulation.bounded


def test_slow_reads_of_checkpoints_that_are_deleted_meanwhile_fail_no_attempt_for_good() -> None:
    """An attempt that is given up commits, and deletes what the next one is about to read."""
    faults = Faults(
        false_alarm=0.8, crash=0.001, restart_time=10, zombie=1.0, zombie_time=10_000, read_slow=0.5, delay=1
    )
    for seed in range(10):
        assert Simulation(seed, faults=faults, shape=KEYED_BY_EXCHANGE).run().faults["read slow"]


def test_event_time_goes_on_while_partitions_are_idle() -> None:
    """Windows close before the end of the run that stay open where idle partitions hold event time back."""
    shape = replace(KEYED_BY_EXCHANGE, partitions=8, branches=("windows",), idle=300)
    assert closed_before_the_end(replace(shape, idle=0)) < closed_before_the_end(shape)


def closed_before_the_end(shape: Shape) -> int:
    simulation = Simulation(4, faults=Faults(), shape=shape, records=60)
    simulation.feeder.quiet = set(range(5))
    simulation.bounded = False
    closed: list[int] = []
    exhausted = simulation.exhausted

    def noticed(coordinator: CoordinatorProcess) -> bool:
        if simulation.feeder.done and not closed:
            closed.append(len(simulation.kafka.committed("windows")))
        return exhausted(coordinator)

    simulation.exhausted = noticed  # type: ignore[method-assign]
    simulation.run()
    return closed[0]


def test_partitions_are_added_in_mid_run_behind_an_exchange() -> None:
    faults = Faults(grow=1.0, crash=0.001)
    report = Simulation(4, faults=faults, shape=replace(KEYED_BY_EXCHANGE, grows=True)).run()
    assert report.faults["partitions added while running"]


def test_partitions_added_to_a_source_that_keys_state_are_refused() -> None:
    with pytest.raises(SimulationFailed, match="PartitionsChanged"):
        Simulation(6, faults=Faults(grow=1.0), shape=replace(KEYED_BY_SOURCE, grows=True)).run()


@pytest.mark.parametrize("shape", [replace(KEYED_BY_SOURCE, other=2), replace(KEYED_BY_EXCHANGE, other=3, lag=100)])
def test_two_topics_are_merged_into_one_stage(shape: Shape) -> None:
    first = plan_of(make_job(shape)).stages[0]
    assert [source.topic.name for source in first.sources] == [TOPIC, OTHER]
    simulation = Simulation(8, shape=shape)
    simulation.run()
    assert {place.topic for place, read in positions_at_the_end(simulation).items() if read} == {TOPIC, OTHER}


def test_a_stage_reads_a_topic_beside_what_an_exchange_brings() -> None:
    shape = replace(KEYED_BY_EXCHANGE, stages=3, other=2, beside=True, lag=100)
    (between,) = (stage for stage in plan_of(make_job(shape)).stages if stage.sources and stage.inputs)
    assert [source.topic.name for source in between.sources] == [OTHER]
    simulation = Simulation(9, shape=shape)
    simulation.run()
    assert {place.topic for place, read in positions_at_the_end(simulation).items() if read} == {TOPIC, OTHER}


def positions_at_the_end(simulation: Simulation) -> dict[TopicPartition, int]:
    manifest = newest_manifest(simulation.store)
    assert manifest is not None
    positions = positions_of(read_progress(simulation.store, manifest))
    return {TopicPartition(*place): position for place, position in positions.items()}


def test_seeds_draw_every_way_of_reading_topics_and_of_being_late() -> None:
    shapes = [Shape.draw(Random(seed)) for seed in range(SEEDS)]
    two_topics = [shape for shape in shapes if shape.other]
    assert {shape.stages == 1 for shape in two_topics} == {True, False}
    assert {shape.beside for shape in two_topics} == {True, False}
    assert {bool(shape.idle) for shape in two_topics} == {True, False}
    late = {(bool(shape.idle), shape.grows, shape.stragglers) for shape in shapes if LATE.keys() & set(shape.branches)}
    assert late >= {(True, False, False), (False, True, False), (False, False, True), (True, True, True)}


def test_a_job_goes_on_from_savepoint_to_savepoint() -> None:
    report = Simulation(6, faults=Faults(stop=0.7, savepoint=1.0), shape=KEYED_BY_EXCHANGE, records=300).run()
    assert report.faults["savepoint"] > 1


def test_at_least_once_repeats_only_what_no_checkpoint_holds() -> None:
    shape = replace(KEYED_BY_EXCHANGE, branches=("pass", "totals"), delivery="at_least_once")
    simulation = Simulation(7, faults=Faults(crash=0.003), shape=shape)
    report = simulation.run()
    assert report.attempts > 1
    assert len(simulation.kafka.committed("pass")) > report.records


def test_a_seed_gives_the_same_trace_and_the_same_bytes_whatever_the_hash_seed() -> None:
    def digest(hash_seed: str) -> str:
        answer = subprocess.run(
            [sys.executable, "-c", TRACED],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        )
        return answer.stdout.strip()

    assert digest("1") == digest("4242")


def test_a_seed_can_be_replayed_with_its_trace() -> None:
    result = CliRunner().invoke(main, ["--replay", "0", "--trace"])
    assert result.exit_code == 0, result.output
    assert "1/coordinator" in result.output
    assert "1 exact" in result.output


def test_several_seeds_are_summed_up() -> None:
    result = CliRunner().invoke(main, ["--seeds", "3", "--first", "2"])
    assert result.exit_code == 0, result.output
    assert "3 exact" in result.output


def test_a_failing_seed_gives_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayflow.engine.alignment.Alignment.holds", lambda self, event: False)
    result = CliRunner().invoke(main, ["--first", "0", "--seeds", "12"])
    assert result.exit_code == 1
    assert "seed" in result.output

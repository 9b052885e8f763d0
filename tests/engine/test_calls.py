"""Calls out of the engine: in flight they are state, hold event time back, and let no barrier wait."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rayflow as rf
from rayflow.core.errors import InvariantBroken, UserFunctionFailed
from rayflow.core.ids import WATERMARK_MAX
from rayflow.engine.events import CallsDone, ClockAdvanced, Listened
from rayflow.operators.calling import Outcome
from tests.engine.answering import Answering
from tests.operators.probes import AskSpec, CheckedSpec, behind, meeting

Told = list[tuple[int, dict[str, int]]]


def asking(seen: Told | None = None, **options: Any) -> rf.Job:
    job = rf.Job("asking")
    numbers = job.stream("in", value=int, timestamp=lambda n: n)
    asked = behind(numbers, AskSpec(**{"fn": lambda n: n * 10, **options}), "ask")
    meeting(asked, asked, CheckedSpec([] if seen is None else seen), "checked").to("out", value=rf.json)
    return job


def test_an_operator_goes_on_while_its_calls_are_made_and_emits_what_comes_of_them() -> None:
    bench = Answering(asking())
    bench.send("in", [1, 2, 3])
    assert [call.argument for _, _, call in bench.asked] == [1, 2, 3]
    bench.answer(1)
    bench.answer(1, 0)
    bench.barrier()
    assert bench.written == {"out": [b"20", b"20", b"30", b"10", b"30", b"10"]}


def test_a_barrier_waits_for_no_call_and_what_is_in_flight_is_in_the_checkpoint() -> None:
    bench = Answering(asking())
    bench.send("in", [1, 2, 3])
    bench.barrier()
    assert (bench.epochs, bench.rows(), bench.written) == (1, 3, {})
    bench.answer()
    bench.barrier()
    assert (bench.epochs, bench.rows(), bench.written) == (2, 0, {"out": [b"10", b"20", b"30"] * 2})


def test_calls_hold_event_time_back_until_the_oldest_is_done() -> None:
    seen: Told = []
    bench = Answering(asking(seen))
    bench.send("in", [10, 20])
    bench.send("in", [30])
    assert [watermark for watermark, _ in seen] == [9]
    bench.answer(1)
    assert [watermark for watermark, _ in seen] == [9]
    bench.answer(0)
    assert [watermark for watermark, _ in seen] == [9, 29]
    bench.answer()
    assert [watermark for watermark, _ in seen] == [9, 29]
    assert bench.worker.tasks[next(iter(bench.worker.tasks))].time.watermark == 29


def test_a_recovery_makes_the_calls_again_that_the_checkpoint_holds_and_no_others() -> None:
    bench = Answering(asking())
    bench.send("in", [1, 2, 3])
    bench.answer(0)
    bench.barrier()
    bench.send("in", [4])
    bench.answer(0)
    bench.crash()
    assert [(call.number, call.argument) for _, _, call in bench.asked] == [(1, 2), (2, 3), (3, 4)]
    bench.answer()
    bench.barrier()
    assert Counter(bench.written["out"]) == Counter([b"10", b"20", b"30", b"40"] * 2)
    assert bench.rows() == 0


def test_what_was_let_through_before_a_crash_stays_so() -> None:
    seen: Told = []
    bench = Answering(asking(seen))
    bench.send("in", [1, 50])
    bench.answer()
    bench.send("in", [5])  # its call holds nothing back any more
    assert seen[-1][0] == 49
    bench.barrier()
    seen.clear()
    bench.crash()
    assert [call.argument for _, _, call in bench.asked] == [5]
    assert [watermark for watermark, _ in seen] == [49]


def test_a_task_is_not_idle_while_calls_are_in_flight() -> None:
    """Its records are still to follow: whoever takes them must not go on without it."""
    seen: Told = []
    job = rf.Job("idle")
    quiet = job.stream("quiet", value=int, timestamp=lambda n: n, idle_after=timedelta(milliseconds=100))
    asked = behind(quiet, AskSpec(lambda n: n), "ask").key_by(lambda n: "all")
    other = job.stream("other", value=int, timestamp=lambda n: n).key_by(lambda n: "all")
    meeting(asked, other, CheckedSpec(seen), "checked").to("out", value=rf.json)
    bench = Answering(job)
    bench.send("quiet", [10])
    bench.handle(ClockAdvanced(1_000))
    bench.send("other", [5_000])
    assert seen[-1] == (9, {"left": 9, "right": 4_999})
    bench.answer()
    assert seen[-1] == (4_999, {"left": 4_999, "right": 4_999})
    bench.barrier()
    assert bench.written["out"] == [b"5000", b"10"]


def test_the_end_of_a_bounded_run_waits_for_calls_before_it_goes_on_behind_them() -> None:
    seen: Told = []
    bench = Answering(asking(seen))
    bench.send("in", [1, 2])
    bench.barrier(drain=True)
    assert bench.epochs == 0
    bench.answer(0)
    assert bench.epochs == 0
    assert seen[-1][0] < WATERMARK_MAX
    bench.answer(0)
    assert (bench.epochs, bench.rows(), bench.written) == (1, 0, {"out": [b"10", b"10", b"20", b"20"]})
    assert seen[-1][0] == WATERMARK_MAX


def test_no_time_passes_for_a_task_whose_end_waits_for_calls() -> None:
    """What is behind the calls has not been told of the end yet, and must not be told of any other time before it."""
    seen: Told = []
    job = rf.Job("draining")
    slow, quick, idle = (
        job.stream(name, value=int, timestamp=lambda n: n, idle_after=timedelta(milliseconds=100))
        for name in ("slow", "quick", "idle")
    )
    both = quick.merge(idle)
    meeting(behind(slow, AskSpec(lambda n: n), "ask"), both, CheckedSpec(seen), "checked").to("out", value=rf.json)
    bench = Answering(job)
    for source, n in (("slow", 5_000), ("quick", 5_000), ("idle", 10)):
        bench.send(source, [n])
    bench.barrier(drain=True)
    told = list(seen)
    (task,) = bench.worker.tasks
    bench.handle(ClockAdvanced(1_000, Listened(0, 1_000, frozenset({(task, "slow"), (task, "quick")}))))
    assert seen == told
    bench.answer()
    assert bench.epochs == 1
    assert seen[-1][0] == WATERMARK_MAX


def test_at_most_so_many_calls_are_made_at_once_and_a_task_says_when_it_has_enough() -> None:
    bench = Answering(asking(limit=2))
    (task,) = bench.worker.tasks
    bench.send("in", [1, 2, 3])
    assert [call.argument for _, _, call in bench.asked] == [1, 2]
    assert bench.worker.saturated == set()
    bench.send("in", [4, 5])
    assert bench.worker.saturated == {task}
    bench.answer(0)
    assert [call.argument for _, _, call in bench.asked] == [2, 3]
    bench.answer()
    bench.answer()
    assert bench.worker.saturated == set()
    bench.barrier(drain=True)
    assert bench.written["out"] == [b"10", b"10", *[b"20", b"30"] * 2, *[b"40", b"50"] * 2]


def test_a_call_that_fails_is_an_error_of_its_record() -> None:
    def refuses(n: int) -> int:
        if n == 2:
            raise ValueError("no")
        return n

    bench = Answering(asking(fn=refuses, on_error=rf.skip))
    bench.send("in", [1, 2, 3])
    bench.answer()
    bench.barrier(drain=True)
    assert bench.written["out"] == [b"1", b"3"] * 2
    stopping = Answering(asking(fn=refuses))
    stopping.send("in", [2])
    with pytest.raises(UserFunctionFailed, match=r"ValueError at test_calls\.py:.* in refuses") as failed:
        stopping.answer()
    assert (failed.value.operator, failed.value.topic, failed.value.offset) == ("ask", "in", 0)


def test_an_outcome_that_nobody_waits_for_is_a_broken_invariant() -> None:
    bench = Answering(asking())
    bench.send("in", [1])
    ((task, operator, _),) = bench.asked
    bench.answer()
    with pytest.raises(InvariantBroken, match="call 0 has an outcome but was not made"):
        bench.handle(CallsDone(task, operator, [Outcome(0, 1)]))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 2), st.integers(1, 4)),
        st.tuples(st.just("answer"), st.integers(0, 30), st.integers(0, 30)),
        st.sampled_from([("barrier", 0, 0), ("barrier", 0, 0), ("crash", 0, 0)]),
    ),
    max_size=30,
)


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_whatever_is_answered_sealed_and_lost_each_record_counts_once(steps: list[tuple[str, int, int]]) -> None:
    job = rf.Job("asking")
    numbers = job.stream("in", value=int, timestamp=lambda n: n)
    asked = behind(numbers.key_by(lambda n: n % 5), AskSpec(lambda n: n + 1000, limit=3), "ask")
    twice = behind(asked.key_by(lambda n: n % 3), AskSpec(lambda n: n + 1000), "again")
    meeting(twice, twice, CheckedSpec([]), "checked").to("out", value=rf.json)
    bench = Answering(job, partitions=3)
    sent: list[int] = []
    for step, first, second in steps:
        if step == "send":
            values = list(range(len(sent) + 1, len(sent) + 1 + second))
            sent += values
            bench.send("in", values, partition=first)
        elif step == "answer" and bench.asked:
            bench.answer(*{first % len(bench.asked), second % len(bench.asked)})
        elif step == "barrier":
            bench.barrier()
        elif step == "crash":
            bench.crash()
    bench.barrier(drain=True)
    while bench.asked:
        bench.answer(0)
    assert sorted(map(int, bench.written.get("out", []))) == sorted([n + 2000 for n in sent] * 2)
    assert bench.rows() == 0

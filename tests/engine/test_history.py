"""Which segments and bases a manifest names, and when a base is due."""

from __future__ import annotations

from rayflow.checkpoint.bases import BaseRef
from rayflow.checkpoint.manifest import Manifest
from rayflow.core.ids import TaskId
from rayflow.engine.history import BASE_FLOOR, MAX_CHAIN, History

A, B = TaskId("s1", 0), TaskId("s1", 1)


def test_epochs_in_which_nothing_changed_are_not_kept() -> None:
    history = History([A, B], None)
    for epoch in range(1, 6):
        history.on_epoch(epoch, (f"e{epoch}",), {A: 0, B: 0})
    assert list(history.segments) == [5]


def test_the_chain_begins_at_the_oldest_delta_that_no_base_holds() -> None:
    history = History([A, B], None)
    history.on_epoch(1, ("e1",), {A: 0, B: 0})
    history.on_epoch(2, ("e2",), {A: 10, B: 0})
    history.on_epoch(3, ("e3",), {A: 0, B: 10})
    assert list(history.segments) == [2, 3]


def test_a_base_lets_the_deltas_before_it_go_and_keeps_those_after_it() -> None:
    history = History([A], None)
    for epoch in range(1, 5):
        history.on_epoch(epoch, (f"e{epoch}",), {A: 10})
    history.on_base(A, BaseRef(2, ("b",), 20), 4)
    history.on_epoch(5, ("e5",), {A: 10})
    assert list(history.segments) == [3, 4, 5]
    assert history.bases == {A: BaseRef(2, ("b",), 20)}


def test_a_base_of_the_last_epoch_leaves_nothing_to_keep_but_the_newest() -> None:
    history = History([A], None)
    history.on_epoch(1, ("e1",), {A: 10})
    history.on_base(A, BaseRef(1, ("b",), 20), 1)
    history.on_epoch(2, ("e2",), {A: 0})
    assert list(history.segments) == [2]


def test_small_deltas_ask_for_a_base_only_by_their_number() -> None:
    history = History([A], None)
    for epoch in range(1, MAX_CHAIN):
        history.on_epoch(epoch, (f"e{epoch}",), {A: 1})
        assert history.wants_bases(epoch, ()) == []
    history.on_epoch(MAX_CHAIN, ("last",), {A: 1})
    assert history.wants_bases(MAX_CHAIN, ()) == [A]


def test_the_task_whose_deltas_outweigh_its_base_most_comes_first() -> None:
    history = History([A, B], None)
    history.on_epoch(1, ("e1",), {A: BASE_FLOOR, B: 3 * BASE_FLOOR})
    assert history.wants_bases(1, ()) == [B]
    history.on_base(B, BaseRef(1, ("b",), 10 * BASE_FLOOR), 1)
    assert history.wants_bases(1, ()) == [A]
    history.on_base(A, BaseRef(1, ("a",), BASE_FLOOR), 1)
    history.on_epoch(2, ("e2",), {A: BASE_FLOOR - 1, B: 9 * BASE_FLOOR})
    assert history.wants_bases(2, ()) == []


def manifest(segments: dict[int, tuple[str, ...]], bases: dict[TaskId, BaseRef]) -> Manifest:
    return Manifest("job", "l", max(segments), 1, 0, "", {}, {}, {}, (0,), "exactly_once", segments, bases, 0, 0)


def test_what_a_manifest_names_is_taken_up_for_continued_tasks_only() -> None:
    old = manifest({3: ("e3",), 4: ("e4",)}, {A: BaseRef(2, ("a",), 1), B: BaseRef(2, ("b",), 1)})
    history = History([A, B], old, continued=[A], regrouped=[B])
    assert history.bases == {A: BaseRef(2, ("a",), 1)}
    history.on_base(B, BaseRef(4, ("new",), 1), 4)
    history.on_epoch(5, ("e5",), {A: 0, B: 10})
    assert list(history.segments) == [3, 4, 5]
    assert history.bases[B] == BaseRef(4, ("new",), 1)


def test_segments_that_only_others_needed_are_let_go() -> None:
    history = History([A, B], manifest({3: ("e3",), 4: ("e4",)}, {}), regrouped=[B])
    assert history.owed == {B}
    history.on_base(B, BaseRef(4, (), 0), 4)
    assert history.owed == set()
    history.on_epoch(5, ("e5",), {A: 0, B: 0})
    assert list(history.segments) == [5]


def test_chains_stay_short_however_many_tasks_there_are() -> None:
    tasks = [TaskId("s1", p) for p in range(3 * MAX_CHAIN)]
    history = History(tasks, None)
    in_flight: list[TaskId] = []
    for epoch in range(1, 3 * MAX_CHAIN):
        history.on_epoch(epoch, ("e",), dict.fromkeys(tasks, 1))
        assert len(history.segments) <= 2 * MAX_CHAIN
        for task in in_flight:
            history.on_base(task, BaseRef(epoch - 1, ("b",), 1), epoch)
        in_flight = history.wants_bases(epoch, ())
        assert len(in_flight) <= 3
        assert len(set(in_flight)) == len(in_flight)
        assert history.wants_bases(epoch, in_flight) == []
    assert len(history.segments) <= MAX_CHAIN + 2

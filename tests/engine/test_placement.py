"""Where tasks go: evenly, and no further than they must."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rayflow.core.ids import TaskId
from rayflow.engine.placement import place


@st.composite
def topologies(draw: st.DrawFn) -> list[TaskId]:
    stages = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    return [TaskId(f"s{number}", p) for number, partitions in enumerate(stages) for p in range(partitions)]


@given(topologies(), st.integers(1, 8))
def test_every_task_has_a_worker_and_each_stage_is_spread_evenly(tasks: list[TaskId], workers: int) -> None:
    placed = place(tasks, range(workers))
    assert list(placed) == tasks
    for stage in {task.stage for task in tasks}:
        counts = Counter(placed[task] for task in tasks if task.stage == stage)
        partitions = sum(counts.values())
        assert max(counts.values()) <= -(-partitions // workers)


@given(topologies(), st.integers(1, 8))
def test_nothing_moves_when_nothing_changes(tasks: list[TaskId], workers: int) -> None:
    placed = place(tasks, range(workers))
    assert place(tasks, range(workers), placed) == placed


@given(topologies(), st.integers(1, 8))
def test_a_lost_worker_moves_its_own_tasks_alone(tasks: list[TaskId], workers: int) -> None:
    placed = place(tasks, range(workers + 1))
    gone = workers
    after = place(tasks, range(workers), placed)
    moved = [task for task in tasks if after[task] != placed[task]]
    most = -(-len(tasks) // workers)
    crowded = {worker for worker, count in Counter(after.values()).items() if count >= most}
    assert all(placed[task] == gone or placed[task] in crowded for task in moved)


@given(topologies(), st.integers(1, 8), st.integers(1, 8))
def test_growing_never_moves_a_task_between_two_workers_that_stay(tasks: list[TaskId], before: int, more: int) -> None:
    placed = place(tasks, range(before))
    after = place(tasks, range(before + more), placed)
    for task in tasks:
        if after[task] != placed[task]:
            share = -(-sum(other.stage == task.stage for other in tasks) // (before + more))
            stayed = sum(after[other] == placed[other] == placed[task] for other in tasks if other.stage == task.stage)
            loaded = sum(after[other] == placed[task] for other in tasks)
            assert stayed >= share or loaded >= -(-len(tasks) // (before + more)) or after[task] >= before

"""Where tasks go: evenly, and no further than they must."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product

from hypothesis import given
from hypothesis import strategies as st

from rayflow.core.ids import TaskId, WorkerId
from rayflow.engine.placement import place

Placed = dict[TaskId, WorkerId]


def tasks_of(sizes: Sequence[int]) -> list[TaskId]:
    """The tasks of stages that have so many partitions."""
    return [TaskId(f"s{number}", p) for number, partitions in enumerate(sizes) for p in range(partitions)]


topologies = st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tasks_of)
small = st.lists(st.integers(1, 8), min_size=1, max_size=3).map(tasks_of)
"""Few enough stages, with up to 5 workers, to look at each placement there is."""


def by_stage(tasks: Iterable[TaskId], placed: Mapping[TaskId, WorkerId | None]) -> dict[str, Counter[WorkerId | None]]:
    """How many tasks of each stage each worker has."""
    counts: dict[str, Counter[WorkerId | None]] = {}
    for task in tasks:
        counts.setdefault(task.stage, Counter())[placed[task]] += 1
    return counts


def moved(before: Mapping[TaskId, WorkerId | None], after: Placed) -> int:
    """How many tasks are elsewhere than before."""
    return sum(after[task] != before[task] for task in after)


def fewest_moves(tasks: list[TaskId], workers: int, before: Mapping[TaskId, WorkerId | None]) -> int:
    """Of all placements that are even in each stage and in all, the moves of the one that moves the least."""
    stages = by_stage(tasks, before)
    sizes = [sum(counts.values()) for counts in stages.values()]
    kept = []
    for larger in product(*(combinations(range(workers), size % workers) for size in sizes)):
        loads = Counter(worker for those in larger for worker in those)
        if max(loads[worker] for worker in range(workers)) - min(loads[worker] for worker in range(workers)) > 1:
            continue
        kept.append(
            sum(
                min(counts[worker], size // workers + (worker in those))
                for counts, size, those in zip(stages.values(), sizes, larger, strict=True)
                for worker in range(workers)
            )
        )
    return len(tasks) - max(kept)


def is_even(counts: Counter[WorkerId | None], workers: int) -> bool:
    """Whether one worker has at most one more than another."""
    return max(counts.values()) - min(counts[worker] for worker in range(workers)) <= 1


@given(topologies, st.integers(1, 8), st.data())
def test_each_stage_is_spread_evenly_and_so_are_all_tasks_wherever_they_were(
    tasks: list[TaskId], workers: int, data: st.DataObject
) -> None:
    for before in (None, {task: data.draw(st.integers(0, workers + 2)) for task in tasks}):
        placed = place(tasks, range(workers), before)
        assert list(placed) == tasks
        assert set(placed.values()) <= set(range(workers))
        assert is_even(Counter(placed.values()), workers)
        for counts in by_stage(tasks, placed).values():
            assert is_even(counts, workers)


@given(topologies, st.integers(1, 8), st.integers(1, 8))
def test_nothing_moves_when_nothing_changes(tasks: list[TaskId], workers: int, others: int) -> None:
    placed = place(tasks, range(workers), place(tasks, range(others)))
    assert place(tasks, range(workers), placed) == placed


@given(small, st.integers(1, 5), st.integers(1, 5))
def test_growing_and_shrinking_move_the_fewest_tasks_that_evenness_allows(
    tasks: list[TaskId], before: int, after: int
) -> None:
    placed = place(tasks, range(before))
    assert moved(placed, place(tasks, range(after), placed)) == fewest_moves(tasks, after, placed)


@given(small, st.integers(1, 5), st.data())
def test_tasks_that_lay_unevenly_or_nowhere_move_the_least_too(
    tasks: list[TaskId], workers: int, data: st.DataObject
) -> None:
    before = {task: data.draw(st.none() | st.integers(0, workers)) for task in tasks}
    known = {task: worker for task, worker in before.items() if worker is not None}
    assert moved(before, place(tasks, range(workers), known)) == fewest_moves(tasks, workers, before)


def test_a_new_worker_gets_its_task_from_the_one_that_can_spare_it() -> None:
    """Five tasks and two on three workers, which have 3, 2 and 2: one must move to a fourth, and one is enough."""
    tasks = tasks_of([5, 2])
    three = place(tasks, range(3))
    four = place(tasks, range(4), three)
    assert sorted(Counter(three.values()).values()) == [2, 2, 3]
    assert [four[task] for task in tasks if four[task] != three[task]] == [3]

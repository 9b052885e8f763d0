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
Cost = tuple[int, int]
"""How many tasks are elsewhere than before; then, how uneven the workers' loads are: the sum of their squares."""


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


def cost(workers: int, before: Mapping[TaskId, WorkerId | None], after: Placed) -> Cost:
    """What a placement costs."""
    loads = Counter(after.values())
    return sum(after[task] != before[task] for task in after), sum(loads[worker] ** 2 for worker in range(workers))


def least_cost(tasks: list[TaskId], workers: int, before: Mapping[TaskId, WorkerId | None]) -> Cost:
    """That of the best of all placements that are even in each stage, and load no worker more than need be."""
    stages = by_stage(tasks, before)
    sizes = [sum(counts.values()) for counts in stages.values()]
    shares = [size // workers for size in sizes]
    costs = []
    for larger in product(*(combinations(range(workers), size % workers) for size in sizes)):
        loads = [sum(shares) + sum(worker in those for those in larger) for worker in range(workers)]
        if max(loads) <= -(-len(tasks) // workers):
            kept = sum(
                min(counts[worker], share + (worker in those))
                for counts, share, those in zip(stages.values(), shares, larger, strict=True)
                for worker in range(workers)
            )
            costs.append((len(tasks) - kept, sum(load**2 for load in loads)))
    return min(costs)


def is_even(counts: Counter[WorkerId | None], workers: int) -> bool:
    """Whether one worker has at most one more than another."""
    return max(counts.values()) - min(counts[worker] for worker in range(workers)) <= 1


@given(topologies, st.integers(1, 8), st.data())
def test_each_stage_is_spread_evenly_and_no_worker_has_more_than_it_must_wherever_tasks_were(
    tasks: list[TaskId], workers: int, data: st.DataObject
) -> None:
    for before in (None, {task: data.draw(st.integers(0, workers + 2)) for task in tasks}):
        placed = place(tasks, range(workers), before)
        assert list(placed) == tasks
        assert set(placed.values()) <= set(range(workers))
        assert max(Counter(placed.values()).values()) <= -(-len(tasks) // workers)
        assert before is not None or is_even(Counter(placed.values()), workers)
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
    assert cost(after, placed, place(tasks, range(after), placed)) == least_cost(tasks, after, placed)


@given(small, st.integers(1, 5), st.data())
def test_tasks_that_lay_unevenly_or_nowhere_move_the_least_too(
    tasks: list[TaskId], workers: int, data: st.DataObject
) -> None:
    before = {task: data.draw(st.none() | st.integers(0, workers)) for task in tasks}
    known = {task: worker for task, worker in before.items() if worker is not None}
    assert cost(workers, before, place(tasks, range(workers), known)) == least_cost(tasks, workers, before)


def test_a_new_worker_gets_its_task_from_the_one_that_can_spare_it() -> None:
    """Five tasks and two on three workers, which have 3, 2 and 2: one must move to a fourth, and one is enough."""
    tasks = tasks_of([5, 2])
    three = place(tasks, range(3))
    four = place(tasks, range(4), three)
    assert sorted(Counter(three.values()).values()) == [2, 2, 3]
    assert [four[task] for task in tasks if four[task] != three[task]] == [3]


def test_several_rounds_of_improvement_end_at_the_best_placement() -> None:
    """Nine tasks on four workers: the improvement that keeps most tasks is not yet the one with the evenest loads."""
    tasks = tasks_of([5, 1, 3])
    before = dict(zip(tasks, (2, 3, 1, 0, 3, None, 0, 1, 3), strict=True))
    known = {task: worker for task, worker in before.items() if worker is not None}
    assert cost(4, before, place(tasks, range(4), known)) == least_cost(tasks, 4, before) == (1, 21)

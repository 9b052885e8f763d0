"""Which worker hosts which task. A pure decision: as even as can be, and moving no more than that needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heapreplace

from rayflow.core.ids import TaskId, WorkerId


def place(
    tasks: Sequence[TaskId], workers: Sequence[WorkerId], earlier: Mapping[TaskId, WorkerId] | None = None
) -> dict[TaskId, WorkerId]:
    """A worker for every task: each stage spread evenly, and the tasks in all.

    A task stays with its `earlier` worker unless that is gone or has more than its share.

    >>> tasks = [TaskId("s1", p) for p in range(4)]
    >>> two = place(tasks, [0, 1])
    >>> list(two.values())
    [0, 1, 0, 1]
    >>> three = place(tasks, [0, 1, 2], two)
    >>> sum(two[task] != three[task] for task in tasks)
    1
    """
    earlier = {} if earlier is None else earlier
    stages: dict[str, list[TaskId]] = {}
    for task in tasks:
        stages.setdefault(task.stage, []).append(task)
    loads = dict.fromkeys(workers, 0)
    most = -(-len(tasks) // len(workers))
    placed: dict[TaskId, WorkerId] = {}
    for members in stages.values():
        # All workers have `share` tasks of a stage, and `larger` of them one more.
        share, larger = divmod(len(members), len(workers))
        counts = dict.fromkeys(workers, 0)
        homeless = []
        for task in members:
            worker = earlier.get(task)
            if worker in counts and counts[worker] < share + (larger > 0) and loads[worker] < most:
                larger -= counts[worker] == share
                placed[task] = worker
                counts[worker] += 1
                loads[worker] += 1
            else:
                homeless.append(task)
        emptiest = [(counts[worker], loads[worker], worker) for worker in workers]
        heapify(emptiest)
        for task in homeless:
            count, load, worker = emptiest[0]
            heapreplace(emptiest, (count + 1, load + 1, worker))
            placed[task] = worker
            loads[worker] += 1
    return {task: placed[task] for task in tasks}

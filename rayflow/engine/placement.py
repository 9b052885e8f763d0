"""Places tasks on workers: as evenly as possible, with as few moves as possible. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rayflow.core.ids import TaskId, WorkerId
from rayflow.engine.spreading import spread


def place(
    tasks: Sequence[TaskId], workers: Sequence[WorkerId], earlier: Mapping[TaskId, WorkerId] | None = None
) -> dict[TaskId, WorkerId]:
    """Assign a worker to every task. The numbers of tasks per worker differ by one at most within a stage, and no
    worker has more tasks in total than necessary.

    Among all such placements, it keeps as many tasks as possible on their `earlier` worker, and among those it makes
    the workers' total numbers as equal as possible.

    >>> tasks = [TaskId("s1", p) for p in range(4)]
    >>> two = place(tasks, [0, 1])
    >>> list(two.values())
    [0, 1, 0, 1]
    >>> three = place(tasks, [0, 1, 2], two)
    >>> sum(two[task] != three[task] for task in tasks)
    1
    """
    earlier = {} if earlier is None else earlier
    sizes = Counter(task.stage for task in tasks)
    there: dict[str, dict[WorkerId, list[TaskId]]] = {stage: {worker: [] for worker in workers} for stage in sizes}
    for task in tasks:
        if task in earlier and earlier[task] in there[task.stage]:
            there[task.stage][earlier[task]].append(task)
    shares = {stage: size // len(workers) for stage, size in sizes.items()}
    rests = {stage: size % len(workers) for stage, size in sizes.items()}
    kept = {
        stage: {worker for worker, members in hosts.items() if len(members) > shares[stage]}
        for stage, hosts in there.items()
    }
    extras = spread(rests, workers, kept)
    placed: dict[TaskId, WorkerId] = {}
    free: dict[str, list[WorkerId]] = {}
    for stage, hosts in there.items():
        rounds = []
        for at, (worker, members) in enumerate(hosts.items()):
            room = shares[stage] + (worker in extras[stage])
            placed.update(dict.fromkeys(members[:room], worker))
            rounds += [(taken, at) for taken in range(len(members), room)]
        free[stage] = [workers[at] for _, at in sorted(rounds, reverse=True)]
    return {task: placed[task] if task in placed else free[task.stage].pop() for task in tasks}

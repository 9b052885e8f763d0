"""Chooses the workers that get one more task of a stage than the others, so that as few tasks as possible move.

This is a minimum-cost flow: one unit from a stage to each worker that has one more of its tasks, and from there to the
sink, which takes no more from any worker than necessary. It starts with an even flow. Each cycle of negative cost in
the residual network makes it cheaper, until there is none (Klein's algorithm; Ahuja, Magnanti and Orlin, Network Flows,
9.6).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from rayflow.core.ids import WorkerId

Vertex = str | WorkerId | None
"""A stage, a worker, or the sink of the network (None)."""
Arc = tuple[Vertex, Vertex, int]
"""From, to, and the cost of using it."""
Extras = dict[str, set[WorkerId]]
Kept = Mapping[str, Collection[WorkerId]]


def spread(rests: Mapping[str, int], workers: Sequence[WorkerId], kept: Kept) -> Extras:
    """By stage, the workers that get one more task: `rests` has their number, which is less than the number of workers.

    Over all stages, no worker gets more than necessary. Within that limit, as many as possible are workers of `kept`,
    which have the task already. Within that, the workers' numbers are as equal as possible.
    """
    extras: Extras = {}
    loads = Counter(dict.fromkeys(workers, 0))
    for stage, rest in rests.items():
        there = kept[stage]
        extras[stage] = set(sorted(workers, key=lambda worker: (loads[worker], worker not in there))[:rest])
        loads.update(extras[stage])
    most = sum(min(rest, len(kept[stage])) for stage, rest in rests.items())
    while _staying(extras, kept) < most or max(loads.values()) - min(loads.values()) > 1:
        cycle = _negative_cycle(_arcs(extras, loads, kept))
        if not cycle:
            break
        for one, other in cycle:
            if isinstance(one, str) and isinstance(other, WorkerId):
                extras[one].add(other)
                loads[other] += 1
            elif isinstance(one, WorkerId) and isinstance(other, str):
                extras[other].remove(one)
                loads[one] -= 1
    return extras


def _staying(extras: Extras, kept: Kept) -> int:
    return sum(len(those.intersection(kept[stage])) for stage, those in extras.items())


def _arcs(extras: Extras, loads: Counter[WorkerId], kept: Kept) -> list[Arc]:
    """The possible changes: a worker gets one task of a stage, gives one back, or has one more or less in total.

    One more in total costs more, the more a worker has. Moving a task costs more than all of that together.
    """
    total = sum(loads.values())
    most = -(-total // len(loads))
    move = 2 * total * (most + 1) + 1
    arcs: list[Arc] = []
    for stage, those in extras.items():
        there = kept[stage]
        for worker in loads:
            costs = -move if worker in there else 0
            arcs.append((worker, stage, -costs) if worker in those else (stage, worker, costs))
    arcs += [(worker, None, 2 * load + 1) for worker, load in loads.items() if load < most]
    arcs += [(None, worker, 1 - 2 * load) for worker, load in loads.items() if load > 0]
    return arcs


def _negative_cycle(arcs: Sequence[Arc]) -> list[tuple[Vertex, Vertex]]:
    """The arcs of a cycle with a negative total cost; empty if there is none. The Bellman-Ford algorithm."""
    costs: dict[Vertex, int] = {vertex: 0 for arc in arcs for vertex in arc[:2]}
    before: dict[Vertex, Vertex] = {}
    while True:
        changed = False
        for one, other, more in arcs:
            if costs[one] + more < costs[other]:
                costs[other] = costs[one] + more
                before[other] = one
                changed = True
        if not changed:
            return []
        if cycle := _cycle(before):
            return cycle


def _cycle(before: Mapping[Vertex, Vertex]) -> list[tuple[Vertex, Vertex]]:
    """A cycle among nodes, each of which has at most one predecessor."""
    seen: dict[Vertex, Vertex] = {}
    for start in before:
        vertex = start
        while vertex in before and vertex not in seen:
            seen[vertex] = start
            vertex = before[vertex]
        if vertex in before and seen[vertex] == start:
            cycle = [(before[vertex], vertex)]
            while cycle[-1][0] != vertex:
                cycle.append((before[cycle[-1][0]], cycle[-1][0]))
            return cycle
    return []

"""Checks that a job is valid, and that a plan is consistent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rayflow.api.graph import Node
from rayflow.api.job import Job
from rayflow.api.location import invalid
from rayflow.api.specs.outputs import SinkSpec
from rayflow.core.errors import InvariantBroken
from rayflow.core.failures import DeadLetter
from rayflow.core.outputs import DEAD_LETTER
from rayflow.plan.physical import Edge, ExchangePlan, JobPlan, OperatorPlan, StagePlan


def check_graph(job: Job) -> None:
    """Raise InvalidJob for a job that reads nothing or has no effect."""
    nodes = job.graph.nodes.values()
    if not nodes:
        raise invalid(f"the job {job.name!r} reads nothing", 'Begin with job.stream("topic")', job.location)
    if not any(node.spec.has_effect for node in nodes):
        raise invalid(
            f"nothing leaves the job {job.name!r}: no stream or table ends in a topic",
            'End one with .to("topic"), or with .print() to look at it',
            list(nodes)[-1].location,
        )


def check_names(nodes: Mapping[str, Node], generated: Sequence[str]) -> None:
    """Raise InvalidJob if an operator has an id that the plan generates for an exchange or a dead-letter sink."""
    for name in generated:
        if name in nodes:
            raise invalid(f"the operator id {name!r} is one that the plan uses", "Rename it", nodes[name].location)


def check_stages(members: Mapping[str, Sequence[Node]], exchanges: Sequence[ExchangePlan]) -> tuple[str, ...]:
    """The stages in topological order. Raises InvalidJob if they form a cycle: if records after an exchange are merged
    with records of the stage before it, the barriers of the two stages would wait for each other."""
    feeding: dict[str, set[str]] = {stage: set() for stage in members}
    for exchange in exchanges:
        feeding[exchange.downstream].add(exchange.upstream)
    order: list[str] = []
    while len(order) < len(members):
        ready = next((s for s in members if s not in order and feeding[s] <= set(order)), None)
        if ready is None:
            circle = [node for stage in members if stage not in order for node in members[stage]]
            raise _circle(next(node for node in circle if len(node.inputs) > 1))
        order.append(ready)
    return tuple(order)


def _circle(node: Node) -> Exception:
    return invalid(
        f"{node.kind}() joins records that key_by() has moved to other tasks with records of the tasks that they came "
        "from",
        f"Put .key_by(fn) on the other stream as well, before {node.kind}(), or write both to one topic with .to()",
        node.location,
    )


def validate(plan: JobPlan) -> None:
    """Raise InvariantBroken unless every name in the plan refers to something in the right place."""
    exchanges = {exchange.id: exchange for exchange in plan.exchanges}
    ids = [operator.id for stage in plan.stages for operator in stage.operators] + list(exchanges)
    _expect(len(ids) == len(set(ids)), plan, "two operators or exchanges have one id")
    _expect(len(exchanges) == len(plan.exchanges), plan, "two exchanges have one id")
    reached: set[str] = set()
    for stage in plan.stages:
        _check_stage(plan, stage, exchanges)
        _expect(
            all(exchanges[name].upstream in reached for name in stage.inputs),
            plan,
            f"stage {stage.id} comes before a stage that feeds it",
        )
        _expect(bool(stage.inputs or stage.sources), plan, f"stage {stage.id} takes nothing")
        reached.add(stage.id)


def _check_stage(plan: JobPlan, stage: StagePlan, exchanges: Mapping[str, ExchangePlan]) -> None:
    position = {operator.id: index for index, operator in enumerate(stage.operators)}
    taken = {name: exchange for name, exchange in exchanges.items() if exchange.downstream == stage.id}
    given = {name for name, exchange in exchanges.items() if exchange.upstream == stage.id}
    _expect(set(stage.inputs) == set(taken), plan, f"inputs of stage {stage.id} are not the exchanges into it")
    _expect(set(stage.outputs) == given, plan, f"outputs of stage {stage.id} are not the exchanges out of it")
    entries = [name for source in stage.sources for name in source.into]
    entries += [edge.target for exchange in taken.values() for edge in exchange.into]
    _expect(set(entries) <= set(position), plan, f"stage {stage.id} is entered at an operator that it does not have")
    edges = [edge for exchange in taken.values() for edge in exchange.into]
    for operator in stage.operators:
        _check_operator(plan, operator, position, given)
        edges += [edge for targets in operator.outputs.values() for edge in targets]
    used = {edge.target for edge in edges}
    _check_inputs(plan, stage, edges)
    _expect(given <= used, plan, f"stage {stage.id} has an exchange that no operator feeds")
    _expect(set(position) == set(entries) | (used & set(position)), plan, f"stage {stage.id} has an operator unfed")
    sinks = {operator.id for operator in stage.operators if isinstance(operator.spec, SinkSpec)}
    _expect({sink.operator for sink in stage.sinks} == sinks, plan, f"stage {stage.id} does not list its sinks")


def _check_inputs(plan: JobPlan, stage: StagePlan, edges: Sequence[Edge]) -> None:
    decoders = {id for source in stage.sources for id in source.into}
    for operator in stage.operators:
        expected = set() if operator.id in decoders else set(operator.spec.inputs)
        fed = {edge.input for edge in edges if edge.target == operator.id}
        _expect(fed == expected, plan, f"operator {operator.id} is fed by {sorted(fed)}, not by {sorted(expected)}")


def _check_operator(plan: JobPlan, operator: OperatorPlan, position: Mapping[str, int], given: set[str]) -> None:
    for edges in operator.outputs.values():
        for target, _ in edges:
            later = position.get(target, -1) > position[operator.id]
            _expect(later or target in given, plan, f"operator {operator.id} goes to {target}, which is not behind it")
    if isinstance(operator.spec.on_error, DeadLetter):
        _expect(DEAD_LETTER in operator.outputs, plan, f"operator {operator.id} has nowhere to send dead letters")


def _expect(holds: bool, plan: JobPlan, what: str) -> None:
    if not holds:
        raise InvariantBroken(f"the plan is broken: {what}", job=plan.name)

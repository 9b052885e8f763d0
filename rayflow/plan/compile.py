"""Compiles the logical graph of a job file to stages and exchanges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from rayflow.api.graph import Graph, Node
from rayflow.api.job import Job
from rayflow.api.specs.outputs import SinkSpec
from rayflow.core.failures import DeadLetter
from rayflow.core.outputs import DEAD_LETTER, Output
from rayflow.core.topics import TopicRef
from rayflow.plan.components import Components
from rayflow.plan.loops import check_loops
from rayflow.plan.partitioning import Partitions
from rayflow.plan.physical import Edge, ExchangePlan, JobPlan, OperatorPlan, SinkPlan, SourcePlan, StagePlan
from rayflow.plan.systems import check_systems
from rayflow.plan.validate import check_graph, check_names, check_stages, validate
from rayflow.serde.auto import dead_letters

T = TypeVar("T")

_plans: WeakKeyDictionary[Job, tuple[int, JobPlan]] = WeakKeyDictionary()


def plan_of(job: Job) -> JobPlan:
    """The job's plan; the same object until operators are added. Raises InvalidJob; ConnectorCannot,
    InvalidConnector.

    >>> import rayflow as rf
    >>> job = rf.Job("count-words")
    >>> job.stream("words", value=str).key_by(lambda word: word).count().to("counts")
    >>> [(stage.id, [operator.id for operator in stage.operators]) for stage in plan_of(job).stages]
    [('s1', ['stream-1', 'key_by-1']), ('s2', ['count-1', 'sink-1'])]
    """
    size = len(job.graph.nodes)
    known = _plans.get(job)
    if known is not None and known[0] == size:
        return known[1]
    plan = _Compiler(job).plan()
    validate(plan)
    _plans[job] = (size, plan)
    return plan


class _Leaving(NamedTuple):
    """An edge that leaves an operator: its output, its target, the exchange on it, if any, and the reason for the
    exchange."""

    output: Output
    edge: Edge
    exchange: str | None
    why: str


class _Compiler:
    """One compilation. Nodes are in order of definition, which is a topological order: inputs come first."""

    def __init__(self, job: Job) -> None:
        check_graph(job)
        check_systems(job.graph.nodes.values(), job.delivery)
        check_loops(job.graph.nodes)
        self._job = job
        self._graph: Graph = job.graph
        self._nodes: Mapping[str, Node] = job.graph.nodes
        self._partitions = Partitions(self._nodes)
        self._leaving: dict[str, list[_Leaving]] = {id: [] for id in self._nodes}
        for node in self._nodes.values():
            for feed in node.inputs:
                exchange = self._partitions.exchange_on(node.id, feed)
                why = "" if exchange is None else self._partitions.why(node.id, feed)
                edge = Edge(node.id, feed.input)
                self._leaving[feed.operator].append(_Leaving(feed.output, edge, exchange, why))
        self._sources = _source_ids([node.topic for node in self._nodes.values() if node.topic is not None])
        self._stage_of = self._assign_stages()
        self._dead_letters: dict[tuple[str, TopicRef], str] = {}

    def plan(self) -> JobPlan:
        job = self._job
        exchanges = tuple(exchange for id in self._nodes for exchange in self._exchanges_behind(id))
        members: dict[str, list[Node]] = defaultdict(list)
        for node in self._nodes.values():
            members[self._stage_of[node.id]].append(node)
        order = check_stages(members, exchanges)
        stages = tuple(self._stage(stage, members[stage], exchanges) for stage in order)
        check_names(self._nodes, [*(exchange.id for exchange in exchanges), *self._dead_letters.values()])
        return JobPlan(job.name, stages, exchanges, job.checkpoint_interval, job.delivery)

    def _assign_stages(self) -> dict[str, str]:
        groups = Components(self._nodes)
        readers: dict[TopicRef, str] = {}
        for node in self._nodes.values():
            entered: dict[str, str] = {}
            for leaving in self._leaving[node.id]:
                target = leaving.edge.target
                beside = node.id if leaving.exchange is None else entered.setdefault(leaving.exchange, target)
                groups.union(beside, target)
            if node.topic is not None:
                groups.union(readers.setdefault(node.topic, node.id), node.id)
        ids: dict[str, str] = {}
        for name in self._nodes:
            ids.setdefault(groups.find(name), f"s{len(ids) + 1}")
        return {name: ids[groups.find(name)] for name in self._nodes}

    def _exchanges_behind(self, operator: str) -> list[ExchangePlan]:
        through: dict[str, list[_Leaving]] = defaultdict(list)
        for leaving in self._leaving[operator]:
            if leaving.exchange is not None:
                through[leaving.exchange].append(leaving)
        return [
            ExchangePlan(
                exchange,
                self._stage_of[operator],
                self._stage_of[edges[0].edge.target],
                tuple(leaving.edge for leaving in edges),
                edges[0].why,
            )
            for exchange, edges in through.items()
        ]

    def _stage(self, stage: str, nodes: Sequence[Node], exchanges: tuple[ExchangePlan, ...]) -> StagePlan:
        operators = [self._operator(node) for node in nodes]
        operators += [self._dead_letter_sink(stage, topic, nodes) for topic in self._dead_letter_topics(nodes)]
        sinks = tuple(SinkPlan(o.id, o.spec.topic) for o in operators if isinstance(o.spec, SinkSpec))
        return StagePlan(
            stage,
            tuple(operators),
            self._stage_sources(nodes),
            sinks,
            tuple(exchange.id for exchange in exchanges if exchange.downstream == stage),
            tuple(exchange.id for exchange in exchanges if exchange.upstream == stage),
            any(node.spec.keeps_source_keys and self._partitions.of[node.id].by == "topic" for node in nodes),
        )

    def _stage_sources(self, nodes: Sequence[Node]) -> tuple[SourcePlan, ...]:
        into: dict[TopicRef, list[str]] = defaultdict(list)
        for node in nodes:
            if node.topic is not None:
                into[node.topic].append(node.id)
        samples = self._graph.samples
        return tuple(
            SourcePlan(self._sources[topic], topic, tuple(streams), samples.get(topic))
            for topic, streams in into.items()
        )

    def _operator(self, node: Node) -> OperatorPlan:
        outputs: dict[Output, tuple[Edge, ...]] = {}
        for output, edge, exchange, _ in self._leaving[node.id]:
            edges = outputs.get(output, ())
            if exchange is None:
                outputs[output] = (*edges, edge)
            elif Edge(exchange) not in edges:
                outputs[output] = (*edges, Edge(exchange))
        topic = _dead_letter_topic(node)
        if topic is not None:
            outputs[DEAD_LETTER] = (Edge(self._dead_letter_id(self._stage_of[node.id], topic)),)
        spec = node.spec
        return OperatorPlan(
            node.id, node.kind, spec.label, spec, outputs, spec.states, node.location, self._partitions.of[node.id]
        )

    def _dead_letter_topics(self, nodes: Sequence[Node]) -> tuple[TopicRef, ...]:
        return _unique(topic for node in nodes if (topic := _dead_letter_topic(node)) is not None)

    def _dead_letter_sink(self, stage: str, topic: TopicRef, nodes: Sequence[Node]) -> OperatorPlan:
        location = next(node.location for node in nodes if _dead_letter_topic(node) == topic)
        spec = SinkSpec(topic, dead_letters, dead_letters)
        return OperatorPlan(self._dead_letter_id(stage, topic), "dead_letter", spec.label, spec, {}, location=location)

    def _dead_letter_id(self, stage: str, topic: TopicRef) -> str:
        """The shared dead-letter sink of a stage and topic. It is numbered within the stage, so other stages do not
        matter."""
        known = self._dead_letters
        if (stage, topic) not in known:
            before = sum(1 for other, _ in known if other == stage)
            known[stage, topic] = f"dead_letter-{stage}-{before + 1}"
        return known[stage, topic]


def _dead_letter_topic(node: Node) -> TopicRef | None:
    on_error = node.spec.on_error
    return on_error.topic if isinstance(on_error, DeadLetter) else None


def _source_ids(topics: Sequence[TopicRef]) -> dict[TopicRef, str]:
    """The id of a source is its topic's name. If two systems have a topic with the same name, the later ones get a
    number."""
    ids: dict[TopicRef, str] = {}
    names: dict[str, int] = {}
    for topic in topics:
        if topic not in ids:
            names[topic.name] = number = names.get(topic.name, 0) + 1
            ids[topic] = topic.name if number == 1 else f"{topic.name}#{number}"
    return ids


def _unique(items: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(items))

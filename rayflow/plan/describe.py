"""Describes a plan for people and tools: as text, as a Mermaid diagram, or as JSON."""

from __future__ import annotations

import json
from typing import Any, Literal, TypeAlias

from rayflow.api.durations import text_of
from rayflow.api.job import Job
from rayflow.api.specs.base import StateSpec
from rayflow.core.outputs import IN, OUT
from rayflow.core.topics import TopicRef
from rayflow.plan.compile import plan_of
from rayflow.plan.fingerprint import fingerprint
from rayflow.plan.physical import Edge, ExchangePlan, JobPlan, OperatorPlan, SourcePlan, StagePlan

Format: TypeAlias = Literal["text", "mermaid", "json"]


def describe(job: Job | JobPlan, format: Format = "text") -> str:
    """Stages, operators with their ids, exchanges, states and topics, as text without a newline at the end.

    Raises InvalidJob.

    In the text, what an operator goes to is left out where that is only the next one.

    >>> import rayflow as rf
    >>> job = rf.Job("count-words")
    >>> job.stream("words", value=rf.text).key_by(lambda word: word).count(name="counted").to("counts")
    >>> print(describe(job))  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    job count-words: exactly_once, a checkpoint every 1 s, plan ...
    <BLANKLINE>
    stage s1
      source words -> stream-1
      stream-1  stream  ...:1  key bytes, value text, in order
      key_by-1  key_by  ...:1
                               -> key_by-1.exchange
    <BLANKLINE>
    exchange key_by-1.exchange: s1 to s2, by key -> counted
    <BLANKLINE>
    stage s2
      counted   count   ...:1  count, each epoch
                               state values (value)
      sink-1    sink    ...:1  counts: key auto, value json
    """
    plan = plan_of(job) if isinstance(job, Job) else job
    return {"text": _text, "mermaid": _mermaid, "json": _json}[format](plan)


def _text(plan: JobPlan) -> str:
    every = text_of(plan.checkpoint_interval)
    lines = [f"job {plan.name}: {plan.delivery}, a checkpoint every {every}, plan {fingerprint(plan)}"]
    operators = [operator for stage in plan.stages for operator in stage.operators]
    ids, kinds, places = (max(map(len, column)) for column in zip(*map(_cells, operators), strict=True))
    for stage in plan.stages:
        lines += [f"\n{_exchange_line(exchange)}" for exchange in plan.exchanges if exchange.downstream == stage.id]
        lines += ["", f"stage {stage.id}" + (", keyed by its source's partitions" if stage.keyed_by_source else "")]
        lines += [f"  {_source_line(source)}" for source in stage.sources]
        following = [(Edge(operator.id),) for operator in stage.operators[1:]]
        for operator, next_edges in zip(stage.operators, [*following, ()], strict=True):
            id, kind, place = _cells(operator)
            lines.append(f"  {id:{ids}}  {kind:{kinds}}  {place:{places}}  {operator.label}".rstrip())
            indent = " " * (ids + kinds + places + 8)
            lines += [f"{indent}state {_state_text(state)}" for state in operator.states]
            if operator.outputs and operator.outputs != {OUT: next_edges}:
                lines.append(f"{indent}-> {_targets_text(operator)}")
    return "\n".join(lines)


def _cells(operator: OperatorPlan) -> tuple[str, str, str]:
    return operator.id, operator.kind, operator.location


def _targets_text(operator: OperatorPlan) -> str:
    return ", ".join(
        str(edge) if output == OUT else f"{edge} ({output})"
        for output, edges in operator.outputs.items()
        for edge in edges
    )


def _exchange_line(exchange: ExchangePlan) -> str:
    into = ", ".join(map(str, exchange.into))
    why = f" (to bring together {exchange.why})" if exchange.why else ""
    return f"exchange {exchange.id}: {exchange.upstream} to {exchange.downstream}, by key{why} -> {into}"


def _source_line(source: SourcePlan) -> str:
    sample = ", with a sample" if source.sample is not None else ""
    return f"source {_topic_text(source.topic)}{sample} -> {', '.join(source.into)}"


def _state_text(state: StateSpec) -> str:
    return f"{state.name} ({state.kind}{'' if state.ttl is None else f', kept {text_of(state.ttl)}'})"


def _topic_text(topic: TopicRef) -> str:
    return topic.name if topic.connector is None else f"{topic.name} at {topic.connector.url}"


def _mermaid(plan: JobPlan) -> str:
    """https://mermaid.js.org/syntax/flowchart.html. Names are numbered, because ids may contain characters that Mermaid
    refuses."""
    operators = [operator for stage in plan.stages for operator in stage.operators]
    names = {operator.id: f"n{index}" for index, operator in enumerate(operators)}
    lines = ["flowchart LR"]
    for stage in plan.stages:
        lines.append(f'  subgraph {stage.id}["stage {stage.id}"]')
        lines += [f'    {names[o.id]}["{_escaped(o.id)}<br/>{_escaped(o.label or o.kind)}"]' for o in stage.operators]
        lines.append("  end")
    topics = _topic_names(plan)
    lines += [f'  {name}[("{_escaped(_topic_text(topic))}")]' for topic, name in topics.items()]
    for stage in plan.stages:
        lines += _edges(stage, names, topics)
    exchanged = {exchange.id: exchange for exchange in plan.exchanges}
    for operator in operators:
        for edges in operator.outputs.values():
            for exchange in (exchanged[edge.target] for edge in edges if edge.target in exchanged):
                lines += [_arrow(names, operator.id, "==>", entry, "by key") for entry in exchange.into]
    return "\n".join(lines)


def _edges(stage: StagePlan, names: dict[str, str], topics: dict[TopicRef, str]) -> list[str]:
    lines = [f"  {topics[source.topic]} --> {names[entry]}" for source in stage.sources for entry in source.into]
    for operator in stage.operators:
        for output, edges in operator.outputs.items():
            on = "" if output == OUT else output
            lines += [_arrow(names, operator.id, "-->", edge, on) for edge in edges if edge.target in names]
    return lines + [f"  {names[sink.operator]} --> {topics[sink.topic]}" for sink in stage.sinks]


def _arrow(names: dict[str, str], operator: str, arrow: str, edge: Edge, on: str) -> str:
    """`on`: the label of the arrow, in addition to the input of an operator with several inputs."""
    text = _escaped(", ".join(part for part in (on, "" if edge.input == IN else edge.input) if part))
    return f"  {names[operator]} {arrow}{text and f'|{text}|'} {names[edge.target]}"


def _topic_names(plan: JobPlan) -> dict[TopicRef, str]:
    topics = [source.topic for stage in plan.stages for source in stage.sources]
    topics += [sink.topic for stage in plan.stages for sink in stage.sinks]
    return {topic: f"t{index}" for index, topic in enumerate(dict.fromkeys(topics))}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


def _json(plan: JobPlan) -> str:
    return json.dumps(
        {
            "job": plan.name,
            "plan": fingerprint(plan),
            "delivery": plan.delivery,
            "checkpoint_interval_ms": plan.checkpoint_interval,
            "stages": [_stage_data(stage) for stage in plan.stages],
            "exchanges": [
                {"id": e.id, "upstream": e.upstream, "downstream": e.downstream, "into": list(map(str, e.into))}
                for e in plan.exchanges
            ],
        },
        indent=2,
    )


def _stage_data(stage: StagePlan) -> dict[str, Any]:
    return {
        "id": stage.id,
        "keyed_by_source": stage.keyed_by_source,
        "sources": [{"id": s.id, **_topic_data(s.topic), "into": list(s.into)} for s in stage.sources],
        "operators": [
            {
                "id": operator.id,
                "kind": operator.kind,
                "label": operator.label,
                "outputs": {output: list(map(str, edges)) for output, edges in operator.outputs.items()},
                "states": [{"name": s.name, "kind": s.kind, "ttl_ms": s.ttl} for s in operator.states],
                "partitioning": None if operator.partitioning is None else str(operator.partitioning),
                "location": operator.location,
            }
            for operator in stage.operators
        ],
        "sinks": [{"operator": sink.operator, **_topic_data(sink.topic)} for sink in stage.sinks],
        "inputs": list(stage.inputs),
        "outputs": list(stage.outputs),
    }


def _topic_data(topic: TopicRef) -> dict[str, str | None]:
    return {"topic": topic.name, "connector": None if topic.connector is None else topic.connector.url}

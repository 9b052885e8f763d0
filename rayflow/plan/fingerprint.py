"""The plan's hash: it changes when the contents of checkpoints may no longer fit."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rayflow.plan.physical import JobPlan, OperatorPlan, StagePlan


def fingerprint(plan: JobPlan) -> str:
    """16 hexadecimal digits of a hash over structure and states: stages, operators, their outputs, topics, exchanges.

    Places in the file, labels and functions do not count, nor do serdes, delivery and the checkpoint interval.

    >>> import rayflow as rf
    >>> from rayflow.plan.compile import plan_of
    >>> def job_with(fn):
    ...     job = rf.Job("same")
    ...     job.stream("words", value=str).map(fn).to("loud")
    ...     return plan_of(job)
    >>> fingerprint(job_with(str.upper)) == fingerprint(job_with(str.lower))
    True
    """
    shape = {
        "job": plan.name,
        "stages": [_stage(stage) for stage in plan.stages],
        "exchanges": [[e.id, e.upstream, e.downstream, list(map(str, e.into))] for e in plan.exchanges],
    }
    text = json.dumps(shape, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _stage(stage: StagePlan) -> dict[str, Any]:
    return {
        "id": stage.id,
        "operators": [_operator(operator) for operator in stage.operators],
        "sources": [[source.id, source.topic.name, list(source.into)] for source in stage.sources],
        "sinks": [[sink.operator, sink.topic.name] for sink in stage.sinks],
        "keyed_by_source": stage.keyed_by_source,
    }


def _operator(operator: OperatorPlan) -> dict[str, Any]:
    return {
        "id": operator.id,
        "kind": operator.kind,
        "outputs": {output: list(map(str, edges)) for output, edges in operator.outputs.items()},
        "states": [[state.name, state.kind, state.ttl, state.shape] for state in operator.states],
    }

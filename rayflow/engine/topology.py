"""The number of partitions of each source and stage, fixed for one attempt, and the tasks that result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import InvalidJob, PartitionsChanged
from rayflow.core.ids import SinkTask, TaskId
from rayflow.plan.physical import JobPlan, StagePlan


@dataclass(frozen=True, slots=True)
class Topology:
    """The partitions of each source and each stage during one attempt."""

    sources: Mapping[str, int]
    stages: Mapping[str, int]

    def tasks(self) -> list[TaskId]:
        """Every task, stage by stage."""
        return [TaskId(stage, p) for stage, partitions in self.stages.items() for p in range(partitions)]

    def sink_tasks(self, plan: JobPlan) -> list[SinkTask]:
        """Every sink task: a sink operator in each task of its stage."""
        return [
            SinkTask(sink.operator, p)
            for stage in plan.stages
            for sink in stage.sinks
            for p in range(self.stages[stage.id])
        ]


def check_sources(manifest: Manifest, sources: Mapping[str, int]) -> None:
    """Refuse to forget positions: every partition that the checkpoint has read must still be there.

    `sources`: the number of partitions of each source, counted after the manifest was written.

    Raises PartitionsChanged.
    """
    for source, before in manifest.source_partitions.items():
        if sources.get(source, before) < before:
            raise fewer_partitions(source, sources[source], before)


def resolve(
    plan: JobPlan,
    sources: Mapping[str, int],
    earlier: Mapping[str, int] | None = None,
    *,
    allow_new_partitions: bool = False,
) -> Topology:
    """Fix the number of partitions of every stage. `earlier`: the numbers of stages whose state is in a checkpoint.

    A stage that reads only sources has as many partitions as the widest of them, and grows with it. A stage behind an
    exchange keeps the number from the first start of the job (`earlier`), which is that of the widest stage that feeds
    it.

    Raises PartitionsChanged if a source of state that is keyed by the source's own partitioning has another number of
    partitions than before, or if a source has fewer.
    """
    stages: dict[str, int] = {}
    for stage in plan.stages:
        before = None if earlier is None else earlier.get(stage.id)
        widest = max((sources[source.id] for source in stage.sources), default=0)
        if stage.inputs:
            stages[stage.id] = _behind_exchange(plan, stage, stages, widest, before)
        else:
            stages[stage.id] = _at_source(stage, sources, widest, before, allow_new_partitions)
    return Topology(dict(sources), stages)


def _behind_exchange(
    plan: JobPlan, stage: StagePlan, stages: Mapping[str, int], widest: int, before: int | None
) -> int:
    feeding = [stages[exchange.upstream] for exchange in plan.exchanges if exchange.id in stage.inputs]
    partitions = before if before is not None else max([widest, *feeding])
    if widest > partitions:
        raise PartitionsChanged(
            f"a source has {widest} partitions, but stage {stage.id}, which also takes an exchange, has {partitions}",
            topic=stage.sources[0].topic.name,
            advice="Read that topic through its own key_by(), so that its records are exchanged as well",
        )
    return partitions


def _at_source(
    stage: StagePlan, sources: Mapping[str, int], widest: int, before: int | None, allow_new_partitions: bool
) -> int:
    if stage.keyed_by_source:
        _check_copartitioned(stage, sources)
    if before is None or widest == before:
        return widest
    topic = stage.sources[0].topic.name
    if widest < before:
        raise fewer_partitions(topic, widest, before)
    if stage.keyed_by_source and not allow_new_partitions:
        raise PartitionsChanged(
            f"the topic has {widest} partitions now, but its state was partitioned into {before}",
            topic=topic,
            advice="Keys may have moved between partitions, away from their state. Use key_by() instead of "
            "group_by_key(), or accept that moved keys start with empty state: --allow-new-partitions",
        )
    return widest


def fewer_partitions(topic: str, now: int, before: int) -> PartitionsChanged:
    """The refusal of a topic that has lost partitions which a checkpoint has positions or state of."""
    return PartitionsChanged(
        f"the topic has {now} partitions, but the checkpoint was taken with {before}",
        topic=topic,
        advice="It was recreated, or is another topic. Restore it, or start a new job (another name or --state)",
    )


def _check_copartitioned(stage: StagePlan, sources: Mapping[str, int]) -> None:
    counts = {source.topic.name: sources[source.id] for source in stage.sources}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{topic} has {count}" for topic, count in sorted(counts.items()))
        raise InvalidJob(
            f"group_by_key() joins topics with different numbers of partitions: {listed}",
            advice="Use key_by() instead, which exchanges the records by key",
        )

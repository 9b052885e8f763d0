"""The coordinator's protocol, step by step, with everything that it orders answered by the test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import rayflow as rf
from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import (
    CheckpointsBehindOutput,
    Fenced,
    InvariantBroken,
    MarkerLost,
    OutputOfAnotherRun,
    SourceMoved,
    StateDirectoryMismatch,
    StateWouldBeDropped,
)
from rayflow.core.ids import Marker, SinkTask, TaskId
from rayflow.engine.coordinator import Coordinator, CoordinatorOptions, ManifestRead, Phase
from rayflow.engine.events import (
    AttemptClaimed,
    BarrierRequested,
    EpochDone,
    ManifestConflict,
    ManifestWritten,
    MarkersSeen,
    OutputRepublished,
    PartitionsAdded,
    PublishersOpened,
    SegmentAcked,
    SourcesExhausted,
    StopRequested,
    TasksStarted,
    Tick,
)
from rayflow.engine.orders import (
    ClaimAttempt,
    CollectGarbage,
    CommitEpoch,
    FinishAttempt,
    InjectBarrier,
    LookAtMarkers,
    OpenPublishers,
    ReadManifest,
    RepublishOutput,
    StartTasks,
    WriteManifest,
)
from rayflow.plan.compile import plan_of
from rayflow.plan.physical import JobPlan

SINKS = [SinkTask("out", p) for p in range(2)]


def plan(state: str = "counts") -> JobPlan:
    job = rf.Job("job")
    job.stream("in", value=str).key_by(lambda word: word).count(name=state).to("out", name="out")
    return plan_of(job)


def coordinator(**options: Any) -> Coordinator:
    return Coordinator(options.pop("plan", plan()), {"in": 2}, CoordinatorOptions("new", 1000, **options))


def running(epoch_done: int = 0) -> Coordinator:
    c = coordinator()
    assert c.start() == [ClaimAttempt()]
    c.handle(AttemptClaimed(1))
    c.handle(ManifestRead(None))
    c.handle(MarkersSeen({}))
    c.handle(PublishersOpened(dict.fromkeys(SINKS)))
    (start,) = c.handle(ManifestRead(None))
    assert isinstance(start, StartTasks)
    assert (start.epoch, start.manifest, start.lineage) == (1, None, "new")
    assert c.handle(TasksStarted()) == []
    c.handle(Tick(0, False))
    for _ in range(epoch_done):
        complete(c)
    return c


def ack(c: Coordinator, output: str | None = "o") -> Manifest:
    (order,) = c.handle(SegmentAcked(0, c.epoch, f"seg-{c.epoch}", output, 100, {TaskId("s2", 0): 10}))
    assert isinstance(order, WriteManifest)
    return order.manifest


def complete(c: Coordinator, now: int = 10_000, output: str | None = "o") -> Manifest:
    (barrier,) = c.handle(Tick(c.epoch * 1000 + now, True))
    assert barrier == InjectBarrier(c.epoch, False)
    manifest = ack(c, output)
    assert c.handle(ManifestWritten(c.epoch)) == [CommitEpoch(c.epoch)]
    assert c.handle(EpochDone(0, c.epoch)) == [CollectGarbage()]
    c.validate()
    return manifest


def recovering(manifest: Manifest, markers: dict[SinkTask, Marker | None], **options: Any) -> list[Any]:
    c = coordinator(**options)
    c.start()
    c.handle(AttemptClaimed(2))
    (opening,) = c.handle(ManifestRead(manifest))
    assert isinstance(opening, OpenPublishers)
    assert c.handle(PublishersOpened(markers)) == [ReadManifest()]
    return c.handle(ManifestRead(manifest))


def at(epoch: int, lineage: str = "new") -> dict[SinkTask, Marker | None]:
    return {sink: Marker(lineage, epoch) for sink in SINKS}


def test_an_attempt_fences_before_it_reads_the_manifest_that_counts() -> None:
    c = coordinator()
    assert c.start() == [ClaimAttempt()]
    assert c.handle(AttemptClaimed(7)) == [ReadManifest()]
    assert c.handle(ManifestRead(None)) == [LookAtMarkers(0, SINKS)]
    assert c.handle(MarkersSeen(dict.fromkeys(SINKS))) == [OpenPublishers([0], SINKS)]
    assert c.handle(PublishersOpened({})) == [ReadManifest()]
    assert isinstance(c.handle(ManifestRead(None))[0], StartTasks)
    assert c.attempt == 7


def test_an_attempt_stops_when_a_later_one_has_committed_meanwhile() -> None:
    """Frozen between its claim and its look at the manifest, it would write what retention takes for garbage."""
    later = replace(complete(running()), attempt=3)
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(2))
    with pytest.raises(Fenced):
        c.handle(ManifestRead(later))


def test_a_manifest_that_came_in_between_with_other_sinks_is_fenced_as_well() -> None:
    manifest = complete(running())
    c = coordinator(plan=plan())
    c.start()
    c.handle(AttemptClaimed(2))
    c.handle(ManifestRead(None))
    c.handle(MarkersSeen({}))
    c.handle(PublishersOpened({}))
    (order,) = c.handle(ManifestRead(replace(manifest, workers=(0, 1))))
    assert order == OpenPublishers([0, 1], SINKS)


def test_no_barrier_before_its_time_and_none_while_nothing_happens() -> None:
    c = running()
    assert c.handle(Tick(999, True)) == []
    assert c.handle(Tick(1500, False)) == []
    assert c.handle(Tick(1600, True)) == [InjectBarrier(1, False)]


def test_one_epoch_is_on_its_way_at_a_time() -> None:
    c = running()
    c.handle(Tick(1000, True))
    assert c.handle(Tick(5000, True)) == []


def test_after_output_one_more_epoch_tells_that_it_is_published() -> None:
    c = running()
    assert complete(c).published == 0
    assert complete(c, output=None).published == 1
    assert c.handle(Tick(99_000, False)) == []


def test_a_clock_that_is_set_back_does_not_stop_checkpoints() -> None:
    c = running()
    complete(c, now=1_000_000)
    assert c.handle(Tick(5_000, True)) == []
    assert c.handle(Tick(6_000, True)) == [InjectBarrier(2, False)]


def test_short_memory_brings_the_barrier_forward_also_during_an_epoch() -> None:
    c = running()
    assert c.handle(BarrierRequested(0)) == [InjectBarrier(1, False)]
    c.handle(BarrierRequested(0))
    ack(c)
    c.handle(ManifestWritten(1))
    assert c.handle(EpochDone(0, 1)) == [CollectGarbage(), InjectBarrier(2, False)]


def test_a_conflict_at_the_manifest_ends_the_attempt() -> None:
    c = running()
    c.handle(Tick(1000, True))
    ack(c)
    with pytest.raises(Fenced, match="epoch 1"):
        c.handle(ManifestConflict(1))
    with pytest.raises(Fenced, match="epoch 1"):
        c.handle(ManifestConflict(1, attempt=2))


def test_an_epoch_that_an_older_attempt_has_committed_is_gone_on_from() -> None:
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(2))
    manifest = lost()
    c.handle(ManifestRead(manifest))
    c.handle(PublishersOpened(at(2)))
    c.handle(ManifestRead(manifest))
    c.handle(TasksStarted())
    c.handle(Tick(0, False))
    c.handle(Tick(2000, True))
    ack(c)
    assert c.handle(ManifestConflict(3, attempt=1)) == [FinishAttempt(restart=True)]
    c.validate()


def test_an_ack_of_another_epoch_is_a_broken_invariant() -> None:
    c = running()
    with pytest.raises(InvariantBroken):
        c.handle(SegmentAcked(0, 1, "seg", None, 0))


@pytest.mark.parametrize(("event", "drain", "restart"), [
    (StopRequested(), False, False),
    (SourcesExhausted(), True, False),
    (PartitionsAdded(), False, True),
])  # fmt: skip
def test_an_end_takes_one_last_epoch(event: Any, drain: bool, restart: bool) -> None:
    c = running()
    assert c.handle(event) == [InjectBarrier(1, drain)]
    ack(c, output=None)
    c.handle(ManifestWritten(1))
    assert c.handle(EpochDone(0, 1)) == [CollectGarbage(), FinishAttempt(restart)]
    assert c.phase is Phase.FINISHED


def test_positions_of_another_system_are_refused() -> None:
    from dataclasses import replace

    manifest = replace(complete(running()), systems={"in": "embedded:1"})
    with pytest.raises(SourceMoved, match="kafka:2"):
        recovering(manifest, at(1), systems={"in": "kafka:2"})
    (start,) = recovering(manifest, at(1), systems={"in": "embedded:1"})
    assert isinstance(start, StartTasks)


def test_an_end_that_comes_during_an_epoch_waits_for_it() -> None:
    c = running()
    c.handle(Tick(1000, True))
    assert c.handle(StopRequested()) == []
    ack(c)
    c.handle(ManifestWritten(1))
    assert c.handle(EpochDone(0, 1)) == [CollectGarbage(), InjectBarrier(2, False)]


def test_an_end_that_comes_before_the_tasks_have_started_is_kept() -> None:
    c = coordinator()
    c.start()
    assert c.handle(StopRequested()) == []
    c.handle(AttemptClaimed(1))
    c.handle(ManifestRead(None))
    c.handle(MarkersSeen({}))
    c.handle(PublishersOpened({}))
    c.handle(ManifestRead(None))
    assert c.handle(TasksStarted()) == [InjectBarrier(1, False)]


def test_recovery_goes_on_after_the_manifest_when_its_output_is_out() -> None:
    manifest = complete(running())
    (start,) = recovering(manifest, at(1))
    assert isinstance(start, StartTasks)
    assert (start.epoch, start.manifest, start.attempt, start.lineage) == (2, manifest, 2, "new")


def test_recovery_publishes_only_what_is_missing() -> None:
    c = running()
    complete(c)
    manifest = complete(c)
    markers = {SINKS[0]: Marker("new", 2), SINKS[1]: Marker("new", 1)}
    (order,) = recovering(manifest, markers)
    assert isinstance(order, RepublishOutput)
    assert order.sinks == [SINKS[1]]


def test_a_first_epoch_has_no_markers_yet_and_is_published() -> None:
    manifest = complete(running())
    (order,) = recovering(manifest, dict.fromkeys(SINKS))
    assert isinstance(order, RepublishOutput)
    assert list(order.sinks) == SINKS


def test_a_sink_task_that_a_wider_topic_has_brought_has_no_marker_to_lose() -> None:
    job = rf.Job("job")
    job.stream("in", value=str).to("out", name="out")
    narrow = Coordinator(plan_of(job), {"in": 1}, CoordinatorOptions("new", 1000))
    first = first_manifest(narrow, {SINKS[0]: None})
    wide = coordinator(plan=plan_of(job))
    second = first_manifest(wide, {SINKS[0]: Marker("new", 1), SINKS[1]: None}, first)
    assert second.sinks["out"].tasks == 2
    (order,) = recovering(second, {SINKS[0]: Marker("new", 2), SINKS[1]: None}, plan=plan_of(job))
    assert isinstance(order, RepublishOutput)
    assert order.sinks == [SINKS[1]]


def first_manifest(c: Coordinator, markers: dict[SinkTask, Marker | None], before: Manifest | None = None) -> Manifest:
    c.start()
    c.handle(AttemptClaimed(1 if before is None else 2))
    c.handle(ManifestRead(before))
    if before is None:
        c.handle(MarkersSeen({}))
    c.handle(PublishersOpened(markers))
    c.handle(ManifestRead(before))
    c.handle(TasksStarted())
    c.handle(Tick(0, False))
    c.handle(Tick(2000, True))
    (order,) = c.handle(SegmentAcked(0, c.epoch, f"seg-{c.epoch}", "o", 100, {}))
    assert isinstance(order, WriteManifest)
    return order.manifest


def test_recovery_after_republication_starts_the_tasks() -> None:
    manifest = complete(running())
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(2))
    c.handle(ManifestRead(manifest))
    c.handle(PublishersOpened(dict.fromkeys(SINKS)))
    c.handle(ManifestRead(manifest))
    assert isinstance(c.handle(OutputRepublished())[0], StartTasks)


def lost() -> Manifest:
    c = running()
    complete(c)
    return complete(c)


def test_a_lost_marker_is_refused_until_the_user_chooses() -> None:
    with pytest.raises(MarkerLost):
        recovering(lost(), dict.fromkeys(SINKS))
    (order,) = recovering(lost(), dict.fromkeys(SINKS), lost_marker="republish")
    assert isinstance(order, RepublishOutput)
    (order,) = recovering(lost(), dict.fromkeys(SINKS), lost_marker="skip")
    assert isinstance(order, StartTasks)


def test_a_lost_marker_does_not_matter_when_nothing_was_staged() -> None:
    c = running()
    complete(c)
    manifest = complete(c, output=None)
    assert isinstance(recovering(manifest, dict.fromkeys(SINKS))[0], StartTasks)


def test_a_marker_of_another_lineage_says_that_it_has_taken_over() -> None:
    with pytest.raises(OutputOfAnotherRun, match="epoch 2"):
        recovering(lost(), at(2, "other"))


def test_a_lineage_that_begins_makes_the_markers_its_own() -> None:
    begun = replace(lost(), outputs=(), published=2, lineage="new")
    for markers in (at(5, "other"), dict.fromkeys(SINKS)):
        (order,) = recovering(begun, markers)
        assert isinstance(order, RepublishOutput)
        assert list(order.sinks) == SINKS
    (order,) = recovering(begun, at(2))
    assert isinstance(order, StartTasks)


def test_a_lineages_origin_is_kept_from_one_checkpoint_to_the_next() -> None:
    begun = replace(lost(), outputs=(), published=2, restored_from="file:/savepoint")
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(2))
    c.handle(ManifestRead(begun))
    c.handle(PublishersOpened(at(2)))
    c.handle(ManifestRead(begun))
    c.handle(TasksStarted())
    c.handle(Tick(0, False))
    assert complete(c).restored_from == "file:/savepoint"


def test_a_job_without_a_checkpoint_does_not_begin_anew_where_it_has_published() -> None:
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(1))
    c.handle(ManifestRead(None))
    with pytest.raises(OutputOfAnotherRun, match="epoch 9"):
        c.handle(MarkersSeen(at(9, "other")))
    anew = coordinator(new_lineage=True)
    anew.start()
    anew.handle(AttemptClaimed(1))
    assert anew.handle(ManifestRead(None)) == [OpenPublishers([0], SINKS)]


def test_a_marker_ahead_of_the_checkpoints_is_refused() -> None:
    with pytest.raises(CheckpointsBehindOutput, match="epoch 3"):
        recovering(lost(), at(3))


def test_state_of_operators_that_are_gone_is_not_dropped_silently() -> None:
    manifest = complete(running())
    with pytest.raises(StateWouldBeDropped, match="counts/"):
        recovering(manifest, at(1), plan=plan("other"))
    (start,) = recovering(manifest, at(1), plan=plan("other"), drop_state=True)
    assert isinstance(start, StartTasks)


def test_checkpoints_of_another_job_are_refused() -> None:
    with pytest.raises(StateDirectoryMismatch, match="other"):
        recovering(replace(complete(running()), job="other"), at(1))


def test_orders_out_of_turn_are_broken_invariants() -> None:
    with pytest.raises(InvariantBroken):
        running().handle(AttemptClaimed(3))

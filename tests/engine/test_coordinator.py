"""The coordinator's protocol, step by step, with everything that it orders answered by the test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import rayflow as rf
from rayflow.checkpoint.claim import Claim
from rayflow.checkpoint.manifest import Manifest, StateEntry
from rayflow.core.errors import (
    CheckpointsBehindOutput,
    Fenced,
    InvariantBroken,
    MarkerLost,
    OutputOfAnotherRun,
    PartitionsChanged,
    SourceDataLost,
    SourceMoved,
    StateDirectoryMismatch,
    StateWouldBeDropped,
)
from rayflow.core.ids import Marker, SinkTask, TaskId
from rayflow.engine.barrier_schedule import AttemptEnding
from rayflow.engine.coordinator import Coordinator
from rayflow.engine.coordinator_options import CoordinatorOptions
from rayflow.engine.events import (
    AttemptClaimed,
    BarrierRequested,
    BaseWritten,
    EndRequested,
    EpochDone,
    ManifestConflict,
    ManifestRead,
    ManifestWritten,
    MarkersSeen,
    MarkersSet,
    OutputRepublished,
    PartitionsAdded,
    PublishedRecorded,
    PublishersOpened,
    SegmentAcked,
    SourcesExhausted,
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
    RecordPublished,
    RepublishOutput,
    SetMarkers,
    StartTasks,
    WriteBase,
    WriteManifest,
)
from rayflow.engine.phase import Phase
from rayflow.engine.recovery import LostMarker
from rayflow.plan.compile import plan_of
from rayflow.plan.physical import JobPlan

SOURCES = {"in": 2}
SINKS = [SinkTask("out", p) for p in range(2)]


def plan(state: str = "counts") -> JobPlan:
    job = rf.Job("job")
    job.stream("in", value=str).key_by(lambda word: word).count(name=state).to("out", name="out")
    return plan_of(job)


def coordinator(**options: Any) -> Coordinator:
    return Coordinator(options.pop("plan", plan()), CoordinatorOptions("new", 1000, **options))


def running(epoch_done: int = 0, **options: Any) -> Coordinator:
    c = coordinator(**options)
    assert c.start() == [ClaimAttempt((0,), "new")]
    c.handle(AttemptClaimed(Claim(1, (0,), "new")))
    c.handle(ManifestRead(None, SOURCES))
    c.handle(MarkersSeen({}))
    c.handle(PublishersOpened(dict.fromkeys(SINKS)))
    assert c.handle(ManifestRead(None, SOURCES)) == [SetMarkers(Marker("new", 0), SINKS)]
    (start,) = c.handle(MarkersSet())
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
    c.handle(AttemptClaimed(Claim(2, (0,), "new")))
    (opening,) = c.handle(ManifestRead(manifest, SOURCES))
    assert isinstance(opening, OpenPublishers)
    assert c.handle(PublishersOpened(markers)) == [ReadManifest()]
    return c.handle(ManifestRead(manifest, SOURCES))


def at(epoch: int, lineage: str = "new") -> dict[SinkTask, Marker | None]:
    return {sink: Marker(lineage, epoch) for sink in SINKS}


def test_an_attempt_reads_the_partitions_that_were_there_when_it_read_the_manifest_again() -> None:
    """An attempt that claimed before it, and ran meanwhile, may have seen partitions that were not there at first."""
    manifest = replace(complete(running()), stages={"s1": 3, "s2": 2}, source_partitions={"in": 3}, outputs=())
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(2, (0,), "new")))
    c.handle(ManifestRead(None, {"in": 2}))
    c.handle(MarkersSeen({}))
    c.handle(PublishersOpened(at(1)))
    (start,) = c.handle(ManifestRead(manifest, {"in": 3}))
    assert isinstance(start, StartTasks)
    assert start.topology.sources == {"in": 3}


def test_a_topic_with_fewer_partitions_than_the_checkpoint_has_read_is_refused_though_their_tasks_keep_no_state() -> (
    None
):
    manifest = replace(complete(running()), stages={"s1": 3, "s2": 2}, source_partitions={"in": 3})
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(2, (0,), "new")))
    with pytest.raises(PartitionsChanged, match="has 2 partitions, but the checkpoint was taken with 3") as caught:
        c.handle(ManifestRead(manifest, {"in": 2}))
    assert caught.value.topic == "in"


def test_states_with_different_numbers_of_partitions_are_not_put_into_one_stage() -> None:
    job = rf.Job("job")
    words = job.stream("in", value=str).key_by(lambda word: word)
    for name in ("counts", "others"):
        words.count(name=name).to(f"{name}-out", name=f"{name}-out")
    plan = plan_of(job)
    before = {name: StateEntry(spec.kind, None, f"s-{name}", spec.shape) for name, spec in plan.states().items()}
    stages = {entry.stage: 2 + number for number, entry in enumerate(before.values())}
    manifest = replace(complete(running()), states=before, stages=stages, outputs=(), sinks={})
    c = coordinator(plan=plan)
    c.start()
    c.handle(AttemptClaimed(Claim(2, (0,), "new")))
    with pytest.raises(PartitionsChanged, match=r"stage s2 would combine states that have \[2, 3\] partitions"):
        c.handle(ManifestRead(manifest, SOURCES))


def test_tasks_of_a_stage_that_has_another_name_now_have_a_base_before_the_first_barrier() -> None:
    manifest = replace(complete(running()), stages={"s7": 2}, segments={1: ("old",)}, outputs=())
    manifest = replace(manifest, states={name: replace(e, stage="s7") for name, e in manifest.states.items()})
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(2, (0,), "new")))
    c.handle(ManifestRead(manifest, SOURCES))
    c.handle(PublishersOpened(at(1)))
    assert isinstance(c.handle(ManifestRead(manifest, SOURCES))[0], StartTasks)
    tasks = [TaskId("s2", p) for p in range(2)]
    assert c.handle(TasksStarted()) == [WriteBase(task, 1) for task in tasks]
    assert c.handle(Tick(90_000, True)) == c.handle(EndRequested("stop")) == []
    assert c.handle(BaseWritten(tasks[0], 1, ("b0",), 5)) == []
    assert c.handle(BaseWritten(tasks[1], 1, (), 0)) == [InjectBarrier(2, False)]
    c.validate()
    written = ack(c)
    assert (list(written.segments), {task: base.epoch for task, base in written.bases.items()}) == (
        [2],
        dict.fromkeys(tasks, 1),
    )


def test_an_attempt_fences_before_it_reads_the_manifest_that_counts() -> None:
    c = coordinator()
    assert c.start() == [ClaimAttempt((0,), "new")]
    assert c.handle(AttemptClaimed(Claim(7, (0,), "new"))) == [ReadManifest()]
    assert c.handle(ManifestRead(None, SOURCES)) == [LookAtMarkers(0, SINKS)]
    assert c.handle(MarkersSeen(dict.fromkeys(SINKS))) == [OpenPublishers([0], SINKS)]
    assert c.handle(PublishersOpened(dict.fromkeys(SINKS))) == [ReadManifest()]
    assert c.handle(ManifestRead(None, SOURCES)) == [SetMarkers(Marker("new", 0), SINKS)]
    assert isinstance(c.handle(MarkersSet())[0], StartTasks)
    assert c.attempt == 7


def test_slots_of_attempts_that_never_committed_are_fenced_as_well() -> None:
    manifest = complete(running())
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(3, (0, 1, 2), "new")))
    assert c.handle(ManifestRead(manifest, SOURCES)) == [OpenPublishers([0, 1, 2], SINKS)]


def test_a_store_without_checkpoints_goes_on_with_the_lineage_that_was_begun_in_it() -> None:
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(2, (0,), "begun")))
    c.handle(ManifestRead(None, SOURCES))
    c.handle(MarkersSeen({}))
    c.handle(PublishersOpened(dict.fromkeys(SINKS)))
    assert c.handle(ManifestRead(None, SOURCES)) == [SetMarkers(Marker("begun", 0), SINKS)]


def test_an_attempt_stops_when_a_later_one_has_committed_meanwhile() -> None:
    """Frozen between its claim and its look at the manifest, it would write what retention takes for garbage."""
    later = replace(complete(running()), attempt=3)
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(2, (0,), "new")))
    with pytest.raises(Fenced):
        c.handle(ManifestRead(later, SOURCES))


def test_a_manifest_that_came_in_between_with_other_sinks_is_fenced_as_well() -> None:
    manifest = complete(running())
    c = coordinator(plan=plan())
    c.start()
    c.handle(AttemptClaimed(Claim(2, (0,), "new")))
    c.handle(ManifestRead(None, SOURCES))
    c.handle(MarkersSeen({}))
    c.handle(PublishersOpened({}))
    (order,) = c.handle(ManifestRead(replace(manifest, workers=(0, 1)), SOURCES))
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
    assert c.handle(BarrierRequested()) == [InjectBarrier(1, False)]
    c.handle(BarrierRequested())
    ack(c)
    c.handle(ManifestWritten(1))
    assert c.handle(EpochDone(0, 1)) == [CollectGarbage(), InjectBarrier(2, False)]


def test_a_conflict_at_the_manifest_ends_the_attempt() -> None:
    c = running()
    c.handle(Tick(1000, True))
    ack(c)
    with pytest.raises(Fenced, match="epoch 1"):
        c.handle(ManifestConflict(1, attempt=2))


def test_an_epoch_that_an_older_attempt_has_committed_is_gone_on_from() -> None:
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(2, (0,), "new")))
    manifest = lost()
    c.handle(ManifestRead(manifest, SOURCES))
    c.handle(PublishersOpened(at(2)))
    c.handle(ManifestRead(manifest, SOURCES))
    c.handle(TasksStarted())
    c.handle(Tick(0, False))
    c.handle(Tick(2000, True))
    ack(c)
    assert c.handle(ManifestConflict(3, attempt=1)) == [FinishAttempt("restart")]
    c.validate()


def test_an_ack_of_another_epoch_is_a_broken_invariant() -> None:
    c = running()
    with pytest.raises(InvariantBroken):
        c.handle(SegmentAcked(0, 1, "seg", None, 0))


@pytest.mark.parametrize(("event", "drain", "ending"), [
    (EndRequested("stop"), False, "stop"),
    (EndRequested("drain"), True, "drain"),
    (SourcesExhausted(), True, "drain"),
    (PartitionsAdded(), False, "restart"),
])  # fmt: skip
def test_an_end_takes_one_last_epoch(event: Any, drain: bool, ending: AttemptEnding) -> None:
    c = running()
    assert c.handle(event) == [InjectBarrier(1, drain)]
    ack(c, output=None)
    c.handle(ManifestWritten(1))
    assert c.handle(EpochDone(0, 1)) == [RecordPublished("new", 1), CollectGarbage()]
    assert c.handle(PublishedRecorded()) == [FinishAttempt(ending)]
    assert c.phase is Phase.FINISHED


@pytest.mark.parametrize(("first", "second", "ending"), [
    (EndRequested("stop"), EndRequested("drain"), "drain"),
    (EndRequested("drain"), EndRequested("stop"), "drain"),
    (EndRequested("stop"), SourcesExhausted(), "stop"),
    (PartitionsAdded(), EndRequested("drain"), "restart"),
])  # fmt: skip
def test_a_drain_that_is_asked_for_replaces_a_stop_until_the_last_barrier(
    first: Any, second: Any, ending: AttemptEnding
) -> None:
    c = running()
    assert c.handle(BarrierRequested()) == [InjectBarrier(1, False)]  # the next one is the last
    assert c.handle(first) == c.handle(second) == []
    ack(c)
    c.handle(ManifestWritten(1))
    assert c.handle(EpochDone(0, 1)) == [CollectGarbage(), InjectBarrier(2, ending == "drain")]
    assert finished(c) == FinishAttempt(ending)


def test_a_drain_that_is_asked_for_after_the_last_barrier_changes_nothing() -> None:
    c = running()
    assert c.handle(EndRequested("stop")) == [InjectBarrier(1, False)]
    assert c.handle(EndRequested("drain")) == []
    assert finished(c) == FinishAttempt("stop")


def finished(c: Coordinator) -> FinishAttempt:
    """The last epoch, whose barrier is out, to its end."""
    ack(c, output=None)
    c.handle(ManifestWritten(c.epoch))
    c.handle(EpochDone(0, c.epoch))
    (finish,) = c.handle(PublishedRecorded())
    assert isinstance(finish, FinishAttempt)
    return finish


def test_a_marker_that_is_lost_after_a_run_has_ended_does_not_matter() -> None:
    manifest = lost()
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(2, (0,), "x")))
    c.handle(ManifestRead(manifest, SOURCES, published=True))
    c.handle(PublishersOpened(dict.fromkeys(SINKS)))
    assert c.handle(ManifestRead(manifest, SOURCES, published=True)) == [SetMarkers(Marker("new", 2), SINKS)]


def test_a_run_that_has_ended_does_not_hide_that_another_has_taken_over() -> None:
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(2, (0,), "x")))
    c.handle(ManifestRead(lost(), SOURCES, published=True))
    c.handle(PublishersOpened(at(7, "other")))
    with pytest.raises(OutputOfAnotherRun):
        c.handle(ManifestRead(lost(), SOURCES, published=True))


def test_positions_of_another_system_are_refused() -> None:
    manifest = replace(complete(running()), systems={"in": "embedded:1"})
    with pytest.raises(SourceMoved, match="kafka:2"):
        recovering(manifest, at(1), systems={"in": "kafka:2"})
    (start,) = recovering(manifest, at(1), systems={"in": "embedded:1"})
    assert isinstance(start, StartTasks)
    with pytest.raises(SourceMoved, match="kafka:2"):
        recovering(replace(manifest, systems={"in": "kafka:1#a"}), at(1), systems={"in": "kafka:2#a"})


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("kafka:1#a", "kafka:1#a"),
        ("jsonl:#a,b", "jsonl:#a,b,c"),
        # Checkpoints of before topics had identities.
        ("kafka:1", "kafka:1#a"),
        ("jsonl:/working/directory", "jsonl:#a,b"),
    ],
)
def test_positions_of_a_topic_that_is_still_the_same_are_taken(before: str, now: str) -> None:
    manifest = replace(complete(running()), systems={"in": before})
    (start,) = recovering(manifest, at(1), systems={"in": now})
    assert isinstance(start, StartTasks)


@pytest.mark.parametrize(
    ("before", "now", "partition"),
    [
        ("kafka:1#a", "kafka:1#b", None),
        ("kafka:1#a", "kafka:1#ab", None),
        ("jsonl:#a,b", "jsonl:#a,c,b", 1),
        ("jsonl:#a,b", "jsonl:#a", 1),
        ("jsonl:#a", "jsonl:#b,a", 0),
    ],
)
def test_positions_of_a_topic_made_again_are_refused(before: str, now: str, partition: int | None) -> None:
    manifest = replace(complete(running()), systems={"in": before})
    with pytest.raises(SourceDataLost, match="--new-lineage") as refused:
        recovering(manifest, at(1), systems={"in": now})
    assert refused.value.partition == partition


def test_an_end_that_comes_during_an_epoch_waits_for_it() -> None:
    c = running()
    c.handle(Tick(1000, True))
    assert c.handle(EndRequested("stop")) == []
    ack(c)
    c.handle(ManifestWritten(1))
    assert c.handle(EpochDone(0, 1)) == [CollectGarbage(), InjectBarrier(2, False)]


def test_an_end_that_comes_before_the_tasks_have_started_is_kept() -> None:
    c = coordinator()
    c.start()
    assert c.handle(EndRequested("stop")) == []
    c.handle(AttemptClaimed(Claim(1, (0,), "new")))
    c.handle(ManifestRead(None, SOURCES))
    c.handle(MarkersSeen({}))
    c.handle(PublishersOpened(at(0)))
    c.handle(ManifestRead(None, SOURCES))
    assert c.handle(TasksStarted()) == [InjectBarrier(1, False)]


def test_a_drain_replaces_a_stop_that_came_before_the_tasks_have_started() -> None:
    c = coordinator()
    c.start()
    assert c.handle(EndRequested("stop")) == c.handle(EndRequested("drain")) == []
    c.handle(AttemptClaimed(Claim(1, (0,), "new")))
    c.handle(ManifestRead(None, SOURCES))
    c.handle(MarkersSeen({}))
    c.handle(PublishersOpened(dict.fromkeys(SINKS)))
    c.handle(ManifestRead(None, SOURCES))
    c.handle(MarkersSet())
    assert c.handle(TasksStarted()) == [InjectBarrier(1, True)]


@pytest.mark.parametrize(("keep_open", "ending"), [(False, "drain"), (True, "complete")])
def test_a_bounded_run_drains_at_its_end_unless_it_keeps_windows_open(keep_open: bool, ending: AttemptEnding) -> None:
    c = running(keep_open=keep_open)
    assert c.handle(SourcesExhausted()) == [InjectBarrier(1, not keep_open)]
    assert c.handle(EndRequested("drain")) == []
    assert finished(c) == FinishAttempt(ending)


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


def test_a_first_epoch_whose_markers_say_0_is_published() -> None:
    manifest = complete(running())
    (order,) = recovering(manifest, at(0))
    assert isinstance(order, RepublishOutput)
    assert list(order.sinks) == SINKS


def test_a_marker_that_is_lost_in_the_first_epoch_is_not_taken_for_one_that_never_was() -> None:
    with pytest.raises(MarkerLost, match="epoch 1"):
        recovering(complete(running()), dict.fromkeys(SINKS))


def test_a_sink_that_is_new_gets_its_marker_before_its_first_epoch() -> None:
    manifest = replace(complete(running()), sinks={})
    assert recovering(manifest, dict.fromkeys(SINKS)) == [SetMarkers(Marker("new", 1), SINKS)]


def test_a_run_that_had_only_begun_is_no_other_run() -> None:
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(2, (0,), "new")))
    c.handle(ManifestRead(None, SOURCES))
    assert c.handle(MarkersSeen(at(0, "other"))) == [OpenPublishers([0], SINKS)]
    c.handle(PublishersOpened(at(0, "other")))
    assert c.handle(ManifestRead(None, SOURCES)) == [SetMarkers(Marker("new", 0), SINKS)]


def test_recovery_after_republication_starts_the_tasks() -> None:
    manifest = complete(running())
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(2, (0,), "new")))
    c.handle(ManifestRead(manifest, SOURCES))
    c.handle(PublishersOpened(at(0)))
    c.handle(ManifestRead(manifest, SOURCES))
    assert isinstance(c.handle(OutputRepublished())[0], StartTasks)


def lost() -> Manifest:
    c = running()
    complete(c)
    return complete(c)


def test_a_lost_marker_is_refused_until_the_user_chooses() -> None:
    with pytest.raises(MarkerLost, match="skip@2"):
        recovering(lost(), dict.fromkeys(SINKS))
    (order,) = recovering(lost(), dict.fromkeys(SINKS), lost_marker=LostMarker("republish", 2))
    assert isinstance(order, RepublishOutput)
    order = recovering(lost(), dict.fromkeys(SINKS), lost_marker=LostMarker("skip", 2))
    assert order == [SetMarkers(Marker("new", 2), SINKS)]


def test_what_the_user_chose_for_one_epoch_holds_for_no_other() -> None:
    for choice in ("republish", "skip"):
        with pytest.raises(MarkerLost, match="epoch 2"):
            recovering(lost(), dict.fromkeys(SINKS), lost_marker=LostMarker(choice, 1))


def test_what_the_user_chose_does_not_take_over_from_another_lineage() -> None:
    with pytest.raises(OutputOfAnotherRun):
        recovering(lost(), at(2, "other"), lost_marker=LostMarker("republish", 2))


def test_a_lost_marker_does_not_matter_when_nothing_was_staged_and_is_set_again() -> None:
    c = running()
    complete(c)
    manifest = complete(c, output=None)
    assert recovering(manifest, dict.fromkeys(SINKS)) == [SetMarkers(Marker("new", 2), SINKS)]


def test_a_marker_of_another_lineage_says_that_it_has_taken_over() -> None:
    with pytest.raises(OutputOfAnotherRun, match="epoch 2"):
        recovering(lost(), at(2, "other"))


def test_a_lineage_that_begins_makes_the_markers_its_own() -> None:
    begun = replace(lost(), outputs=(), published=2, lineage="new")
    for markers in (at(5, "other"), dict.fromkeys(SINKS)):
        assert recovering(begun, markers) == [SetMarkers(Marker("new", 2), SINKS)]
    (order,) = recovering(begun, at(2))
    assert isinstance(order, StartTasks)


def test_a_lineages_origin_is_kept_from_one_checkpoint_to_the_next() -> None:
    begun = replace(lost(), outputs=(), published=2, restored_from="file:/savepoint")
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(2, (0,), "new")))
    c.handle(ManifestRead(begun, SOURCES))
    c.handle(PublishersOpened(at(2)))
    c.handle(ManifestRead(begun, SOURCES))
    c.handle(TasksStarted())
    c.handle(Tick(0, False))
    assert complete(c).restored_from == "file:/savepoint"


def test_a_job_without_a_checkpoint_does_not_begin_anew_where_it_has_published() -> None:
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(1, (0,), "new")))
    c.handle(ManifestRead(None, SOURCES))
    assert c.handle(MarkersSeen(at(9, "other"))) == [ReadManifest()]
    with pytest.raises(OutputOfAnotherRun, match="epoch 9"):
        c.handle(ManifestRead(None, SOURCES))
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(1, (0,), "new")))
    c.handle(ManifestRead(None, SOURCES))
    c.handle(MarkersSeen(dict.fromkeys(SINKS)))
    c.handle(PublishersOpened(at(9, "other")))  # in between
    with pytest.raises(OutputOfAnotherRun, match="epoch 9"):
        c.handle(ManifestRead(None, SOURCES))


@pytest.mark.parametrize(("held", "lineage"), [("other", "begun"), ("begun", "new")])
def test_a_new_lineage_makes_the_markers_its_own_before_its_first_epoch(held: str, lineage: str) -> None:
    c = coordinator(new_lineage=True)
    c.start()
    c.handle(AttemptClaimed(Claim(1, (0,), "begun")))
    assert c.handle(ManifestRead(None, SOURCES)) == [OpenPublishers([0], SINKS)]
    c.handle(PublishersOpened(at(9, held)))
    assert c.handle(ManifestRead(None, SOURCES)) == [SetMarkers(Marker(lineage, 0), SINKS)]


def test_a_first_epoch_that_an_older_attempt_publishes_meanwhile_is_not_another_runs() -> None:
    manifest = complete(running())
    c = coordinator()
    c.start()
    c.handle(AttemptClaimed(Claim(2, (0,), "new")))
    assert c.handle(ManifestRead(None, SOURCES)) == [LookAtMarkers(0, SINKS)]
    assert c.handle(MarkersSeen(at(1))) == [ReadManifest()]
    assert c.handle(ManifestRead(manifest, SOURCES)) == [OpenPublishers([0], SINKS)]
    c.handle(PublishersOpened(at(1)))
    (start,) = c.handle(ManifestRead(manifest, SOURCES))
    assert isinstance(start, StartTasks)
    assert (start.epoch, start.lineage) == (2, manifest.lineage)


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
        running().handle(AttemptClaimed(Claim(3, (0,), "new")))

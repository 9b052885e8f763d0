"""Frames, credit and order between workers, without Ray."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rayflow as rf
from rayflow.core.batch import Batch, Change, Origin
from rayflow.core.errors import ValueNotCarried
from rayflow.core.ids import ChannelId, TaskId
from rayflow.engine.actions import SendToWorker
from rayflow.engine.events import BarrierReceived, BatchReceived, IdleReceived, WatermarkReceived
from rayflow.plan.compile import plan_of
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.channels import outgoing
from rayflow.runtimes.hosting.channels.encoding import decode_event, encode_event
from rayflow.runtimes.hosting.channels.incoming import Incoming
from rayflow.runtimes.hosting.channels.ordered import Ordered
from rayflow.runtimes.hosting.channels.outgoing import Feed, Frame, Outgoing
from rayflow.serde.codec import Codec


class Order(rf.Record):
    id: int
    user: str


def plan() -> JobPlan:
    job = rf.Job("links")
    job.stream("in", value=str).key_by(str.upper, name="by-upper").count(name="counts").to("out")
    return plan_of(job)


EXCHANGE = plan().exchanges[0].id
DOWNSTREAM = plan().exchanges[0].downstream


def batch(values: list[Any], **more: Any) -> Batch:
    return Batch(Origin("in", 3), list(values), values, [7] * len(values), range(5, 5 + len(values)), **more)


def send(values: list[Any], source: int = 0, target: int = 0, worker: int = 1) -> SendToWorker:
    event = BatchReceived(ChannelId(EXCHANGE, source, target), batch(values))
    return SendToWorker(worker, TaskId(DOWNSTREAM, target), event)


@pytest.mark.parametrize(
    "event",
    [
        BatchReceived(ChannelId("e", 1, 2), batch([Order(id=1, user="u"), Order(id=2, user="v")])),
        BatchReceived(ChannelId("e", 1, 2), batch([("a", 1.5), None, b"x"])),
        BatchReceived(ChannelId("e", 0, 0), batch(["a"], headers=[[("h", b"1"), ("h", None)]], lateness=[9])),
        BatchReceived(ChannelId("e", 0, 0), Batch(Origin("op", 0), [1, 2], [3, 4], [-5, 1 << 40], [-1, 8])),
        BatchReceived(
            ChannelId("e", 0, 0), batch(["b", None], changes=[Change.UPDATE, Change.DELETE], old=["a", ("b",)])
        ),
        WatermarkReceived(ChannelId("e", 1, 2), -(1 << 62)),
        IdleReceived(ChannelId("e", 1, 2)),
        BarrierReceived(ChannelId("e", 1, 2), 12, True),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_arrives_as_it_was_sent(event: Any) -> None:
    assert decode_event(encode_event(event, Codec()), Codec()) == event


def test_a_value_that_cannot_be_carried_names_the_exchange_and_the_topic() -> None:
    with pytest.raises(ValueNotCarried) as caught:
        encode_event(send([object()]).event, Codec())
    assert (caught.value.operator, caught.value.topic, caught.value.partition) == (EXCHANGE, "in", 3)


@given(st.permutations(range(8)))
def test_messages_are_handled_in_the_order_in_which_they_were_sent(order: list[int]) -> None:
    ordered: Ordered[int] = Ordered()
    seen = [message for number in order for message in ordered.arrive(number, number)]
    assert seen == list(range(8))


def test_events_share_a_frame_until_it_lingers_and_a_barrier_sends_at_once() -> None:
    outbox = Outgoing(0, 1, plan(), Codec())
    outbox.add(send(["a"]), now=0.0)
    outbox.add(send(["b"], target=1), now=0.001)
    assert list(outbox.frames(0.002)) == []
    ((worker, frame),) = outbox.frames(outgoing.LINGER)
    assert (worker, frame.number, len(frame.events)) == (1, 0, 2)
    barrier = SendToWorker(1, TaskId(DOWNSTREAM, 0), BarrierReceived(ChannelId(EXCHANGE, 0, 0), 1))
    outbox.add(barrier, now=1.0)
    ((_, frame),) = outbox.frames(1.0)
    assert (frame.number, len(frame.events)) == (1, 1)
    assert not outbox.open


def test_a_task_waits_while_its_window_is_used_up_and_others_do_not() -> None:
    outbox = Outgoing(0, 1, plan(), Codec())
    upstream = plan().exchanges[0].upstream
    outbox.add(send(["x" * outgoing.WINDOW]), now=0.0)
    outbox.add(send(["y"], source=1), now=0.0)
    assert outbox.waiting == {TaskId(upstream, 0)}
    in_flight = next(size for (_, flow), size in outbox._bytes_in_flight.items() if flow.source == 0)
    outbox.take(1, [(Feed(EXCHANGE, 0), in_flight)])
    assert outbox.waiting == set()


def test_what_alignment_holds_back_gives_its_credit_back_when_the_barrier_is_through() -> None:
    class Alignment:
        held = True

        def ahead(self, channel: ChannelId) -> bool:
            return self.held

    class TaskLike:
        def __init__(self) -> None:
            self.alignment = Alignment()
            self.epoch = 4

    class WorkerLike:
        def __init__(self) -> None:
            self.tasks = {TaskId(DOWNSTREAM, 0): TaskLike()}

    given: list[tuple[int, Feed, int]] = []
    inbox = Incoming(plan(), Codec(), lambda *what: given.append(what))
    worker: Any = WorkerLike()
    event = send(["a", "b"])
    data = encode_event(event.event, Codec())
    inbox.arrive(Frame(7, 1, 0, [data]))
    (arrived,) = inbox.next(())
    inbox.handled(arrived, worker)
    inbox.released(worker)
    assert given == []
    worker.tasks[TaskId(DOWNSTREAM, 0)].epoch = 5
    inbox.released(worker)
    assert given == [(7, Feed(EXCHANGE, 0), len(data))]


def test_a_task_that_waits_leaves_its_events_where_they_are() -> None:
    inbox = Incoming(plan(), Codec(), lambda *what: None)
    first, second = send(["a"]), send(["b"], target=1)
    inbox.arrive(Frame(2, 1, 0, [encode_event(first.event, Codec()), encode_event(second.event, Codec())]))
    assert [one.event.channel.target for one in inbox.next({TaskId(DOWNSTREAM, 0)})] == [1]
    assert [one.event.channel.target for one in inbox.next(())] == [0]

"""What a frame costs between two workers: events to bytes, through a connection, and back."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

import rayflow as rf
from benchmarks.figures import Figure
from benchmarks.orders import orders
from rayflow.core.batch import Batch, Origin
from rayflow.core.ids import ChannelId, TaskId
from rayflow.engine.actions import SendToWorker
from rayflow.engine.events import BatchReceived, ChannelEvent
from rayflow.plan.compile import plan_of
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.channels.incoming import Incoming
from rayflow.runtimes.hosting.channels.outgoing import Outgoing, decode_frame, encode_frame
from rayflow.runtimes.ray.links.transport import Transport
from rayflow.serde.codec import Codec

HERE, THERE = 0, 1
ATTEMPT = 1
BATCHES = (100, 1_000)
"""Records of an event: 100 are what one poll gives each of several tasks, 1,000 nearly fill a frame."""


class Order(rf.Record):
    """What goes through: the orders of the workloads, decoded."""

    user: str
    item: str
    price: float
    qty: int


@dataclass(slots=True)
class Costs:
    """CPU seconds of each part, of both ends together."""

    encode: float = 0.0
    socket: float = 0.0
    decode: float = 0.0
    frames: int = 0
    records: int = 0
    size: int = 0


@dataclass(slots=True)
class _Arrivals:
    """The frames that have come out of the connection."""

    frames: list[bytes] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, data: bytes) -> None:
        self.frames.append(data)
        self.came.set()

    async def next(self) -> bytes:
        await self.came.wait()
        self.came.clear()
        return self.frames.pop()


def frame_costs(records: int) -> list[Figure]:
    """Both ends in one process, one part at a time: so what each uses is what the process uses."""
    return [figure for batch in BATCHES for figure in figures_of(batch, asyncio.run(through(records, batch)))]


def figures_of(batch: int, costs: Costs) -> list[Figure]:
    """What a frame and a record cost, events having `batch` records."""
    about = f"{batch:,} records an event"
    figures = [
        Figure(f"{about}: {part}", getattr(costs, part) / costs.frames * 1e6, "us/frame")
        for part in ("encode", "socket", "decode")
    ]
    whole = costs.encode + costs.socket + costs.decode
    figures.append(
        Figure(f"{about}: a frame of {costs.size / costs.frames / 1024:.0f} KiB", whole / costs.frames * 1e6, "us")
    )
    figures.append(
        Figure(f"{about}: a record of {costs.size / costs.records:.0f} bytes", whole / costs.records * 1e6, "us")
    )
    return figures


def _plan() -> JobPlan:
    job = rf.Job("frames")
    job.stream("in", value=Order).key_by(lambda order: order.item).count(name="counts").to("out")
    return plan_of(job)


def _events(plan: JobPlan, records: int, size: int) -> Iterator[SendToWorker]:
    """Orders in batches, as an exchange makes them."""
    exchange = plan.exchanges[0]
    decode = msgspec.json.Decoder(Order).decode
    values = [decode(value) for _, value, _ in orders(size)]
    keys = [value.item for value in values]
    for start in range(0, records, size):
        times = list(range(start, start + size))
        batch = Batch.read(Origin("in", 0), keys, values, times, [4 * time for time in times])
        event = BatchReceived(ChannelId(exchange.id, 0, 0), batch)
        yield SendToWorker(THERE, TaskId(exchange.downstream, 0), event)


async def through(records: int, size: int) -> Costs:
    """What full frames of events of `size` records cost. Raises ValueError if other records come out than go in."""
    plan, arrivals, costs = _plan(), _Arrivals(), Costs()
    sender = Transport("secret", lambda data: None, lambda attempt, slot: None)
    receiver = Transport("secret", arrivals.take, lambda attempt, slot: None)
    sender.meet(ATTEMPT, {THERE: await receiver.listen("127.0.0.1")})
    outbox = Outgoing(HERE, ATTEMPT, plan, Codec())
    inbox = Incoming(plan, Codec(), lambda worker, flow, taken: None)
    sent: deque[ChannelEvent] = deque()
    try:
        for action in _events(plan, records, size):
            sent.append(action.event)
            began = time.process_time()
            outbox.add(action, 0.0)
            outgoing = [encode_frame(frame) for _, frame in outbox.frames(0.0)]
            costs.encode += time.process_time() - began
            for data in outgoing:
                began = time.process_time()
                sender.send(THERE, data)
                arrived = await arrivals.next()
                costs.socket += time.process_time() - began
                began = time.process_time()
                inbox.arrive(decode_frame(arrived))
                costs.decode += time.process_time() - began
                costs.frames += 1
                costs.size += len(data)
                for (taken,) in iter(lambda: inbox.next(()), []):
                    costs.records += size
                    if taken.event != sent.popleft():
                        raise ValueError("other records came out than went in")
    finally:
        sender.close()
        receiver.close()
    return costs

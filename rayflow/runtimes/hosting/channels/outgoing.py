"""Collects events for other workers in frames, and counts the credit of each task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from rayflow.core.ids import TaskId, WorkerId
from rayflow.engine.actions import SendToWorker
from rayflow.engine.events import BarrierReceived, BatchReceived
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.channels.encoding import encode_event
from rayflow.serde.codec import Codec

FRAME = 128 << 10
"""Size in bytes at which a frame is sent at once."""
LINGER = 0.005
"""Seconds that an event waits at most for others to share its frame."""
WINDOW = 2 << 20
"""Bytes of records that one task may have in flight to one worker: sent, but not yet taken by it."""


class Feed(NamedTuple):
    """The flow of records from one task through one exchange to one worker; credit is counted per flow."""

    exchange: str
    source: int


class Frame(msgspec.Struct, array_like=True):
    """Events that one worker sends to another together.

    Attributes:
        sender: the slot that sends it.
        attempt: the sender's attempt; a receiver in another attempt refuses it.
        number: counts the frames between two workers in an attempt, from 0.
        events: encoded, in order.
        credit: bytes that the sender of this frame has taken of each of the receiver's flows.
    """

    sender: WorkerId
    attempt: int
    number: int
    events: list[bytes] = []
    credit: list[tuple[Feed, int]] = []


encode_frame = msgspec.msgpack.Encoder().encode
"""Encodes a frame."""
decode_frame = msgspec.msgpack.Decoder(Frame).decode
"""Decodes a frame."""


@dataclass(slots=True)
class _Line:
    """The unsent events for one worker."""

    sent: int = 0
    events: list[bytes] = field(default_factory=list)
    size: int = 0
    since: float = 0.0
    urgent: bool = False
    credit: dict[Feed, int] = field(default_factory=dict)


class Outgoing:
    """Collects events for other workers. A barrier sends everything at once.

    A flow that has used its `WINDOW` makes its task wait (`waiting`). Output that the task has already produced is
    still sent, so a barrier never waits for credit, and memory is bounded by the window and one batch.
    """

    def __init__(self, slot: WorkerId, attempt: int, plan: JobPlan, codec: Codec) -> None:
        self.waiting: set[TaskId] = set()
        self._slot = slot
        self._attempt = attempt
        self._codec = codec
        self._upstream = {exchange.id: exchange.upstream for exchange in plan.exchanges}
        self._lines: dict[WorkerId, _Line] = {}
        self._bytes_in_flight: dict[tuple[WorkerId, Feed], int] = {}

    def add(self, action: SendToWorker, now: float) -> None:
        """Add an event for another worker. Raises ValueNotCarried."""
        line = self._line(action.worker)
        event = action.event
        data = encode_event(event, self._codec)
        if not line.events:
            line.since = now
        line.events.append(data)
        line.size += len(data)
        if isinstance(event, BatchReceived):
            flow = Feed(event.channel.exchange, event.channel.source)
            size = self._bytes_in_flight.get((action.worker, flow), 0) + len(data)
            self._bytes_in_flight[action.worker, flow] = size
            if size >= WINDOW:
                self.waiting.add(TaskId(self._upstream[flow.exchange], flow.source))
        elif isinstance(event, BarrierReceived):
            line.urgent = True

    def give(self, worker: WorkerId, flow: Feed, size: int) -> None:
        """Tell `worker`, with the next frame, that its records were taken."""
        line = self._line(worker)
        total = line.credit.get(flow, 0) + size
        line.credit[flow] = total
        if total >= WINDOW // 4:
            line.urgent = True

    def take(self, worker: WorkerId, credit: list[tuple[Feed, int]]) -> None:
        """Note that `worker` has taken this many bytes."""
        for flow, size in credit:
            self._bytes_in_flight[worker, flow] -= size
            task = TaskId(self._upstream[flow.exchange], flow.source)
            if task in self.waiting and not self._full(task):
                self.waiting.discard(task)

    def frames(self, now: float) -> Iterator[tuple[WorkerId, Frame]]:
        """The frames to send now."""
        for worker, line in self._lines.items():
            due = line.urgent or line.size >= FRAME or (line.events and now - line.since >= LINGER)
            if due:
                yield worker, Frame(self._slot, self._attempt, line.sent, line.events, list(line.credit.items()))
                self._lines[worker] = _Line(line.sent + 1)

    @property
    def open(self) -> bool:
        """Whether an event waits for its frame to be sent."""
        return any(line.events or line.urgent for line in self._lines.values())

    def _line(self, worker: WorkerId) -> _Line:
        line = self._lines.get(worker)
        if line is None:
            line = self._lines[worker] = _Line()
        return line

    def _full(self, task: TaskId) -> bool:
        return any(
            size >= WINDOW
            for (_, flow), size in self._bytes_in_flight.items()
            if flow.source == task.partition and self._upstream[flow.exchange] == task.stage
        )

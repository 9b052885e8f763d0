"""A task's event time: the lowest of its inputs, those left out that are idle. Never goes back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from heapq import heapify, heappop, heappush

from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import WATERMARK_MIN, ChannelId
from rayflow.operators.stream import StreamOperator


class EventTime:
    """The watermark of a task, from its source streams and its input channels."""

    def __init__(self, streams: Mapping[str, StreamOperator], channels: Iterable[ChannelId]) -> None:
        self.watermark = WATERMARK_MIN
        self._streams = streams
        self._channels: dict[ChannelId, int] = dict.fromkeys(channels, WATERMARK_MIN)
        # Lowest first, with entries of what channels were at before: each input of thousands is looked at only in turn.
        self._marks = [(mark, channel) for channel, mark in self._channels.items()]
        heapify(self._marks)
        self._idle_channels: set[ChannelId] = set()
        self._idle_streams: set[str] = set()

    @property
    def idle(self) -> bool:
        """Whether every input is idle, so that the task holds nobody's event time back."""
        inputs = len(self._channels) + len(self._streams)
        return inputs > 0 and len(self._idle_channels) + len(self._idle_streams) == inputs

    def restore(self, watermark: int) -> None:
        """Take up the watermark of a checkpoint; the inputs tell theirs again."""
        self.watermark = watermark

    def raise_to(self, watermark: int) -> None:
        """Event time is at least `watermark`, whatever the inputs say."""
        self.watermark = max(self.watermark, watermark)

    def on_watermark(self, channel: ChannelId, watermark: int) -> None:
        """An input channel is at `watermark`, and active."""
        if watermark < self._channels[channel]:
            raise InvariantBroken(f"the watermark of {channel} went back")
        self._channels[channel] = watermark
        self._idle_channels.discard(channel)
        heappush(self._marks, (watermark, channel))
        if len(self._marks) > 2 * len(self._channels):
            self._marks = [(mark, channel) for channel, mark in self._channels.items()]
            heapify(self._marks)

    def on_idle(self, channel: ChannelId) -> None:
        """An input channel is idle until its next watermark."""
        self._idle_channels.add(channel)

    def on_records(self, stream: str) -> None:
        """A source stream delivers records: it is active."""
        self._idle_streams.discard(stream)

    def look(self, since: int, until: int, waiting: Collection[str] = ()) -> None:
        """See which source streams are idle, if they were listened to from `since` to `until` (ms of the wall clock).

        Those `waiting` are not: records of theirs have come that are still to be delivered.
        """
        for id in waiting:
            self._streams[id].last_arrival = until
        self._idle_streams = {id for id, stream in self._streams.items() if stream.idle(since, until)}

    def advance(self) -> bool:
        """Move to the lowest active input. True if that is later than before."""
        active = [stream.watermark for id, stream in self._streams.items() if id not in self._idle_streams]
        active += self._lowest_channel()
        lowest = min(active, default=WATERMARK_MIN)
        if lowest <= self.watermark:
            return False
        self.watermark = lowest
        return True

    def _lowest_channel(self) -> list[int]:
        """The watermark of the lowest active channel, if there is one."""
        marks = self._marks
        while marks:
            mark, channel = marks[0]
            if channel not in self._idle_channels and self._channels[channel] == mark:
                return [mark]
            heappop(marks)  # it has moved on, or comes again with the watermark that ends its idleness
        return []

    def validate(self) -> None:
        """Raises InvariantBroken when an idle input is none of the task's."""
        if not self._idle_channels <= self._channels.keys():
            raise InvariantBroken("a channel is idle that is no input")

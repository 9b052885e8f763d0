"""A task's event time: the watermark of each entry, and the lowest of the active ones. Never goes back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import Any

from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import WATERMARK_MIN, ChannelId
from rayflow.operators.stream import StreamOperator


class ChannelTimes:
    """The watermarks of one exchange's channels. Each of thousands is looked at only in turn."""

    def __init__(self, channels: Iterable[ChannelId]) -> None:
        self.channels: dict[ChannelId, int] = dict.fromkeys(channels, WATERMARK_MIN)
        self.idle: set[ChannelId] = set()
        # Lowest first, with entries of what channels were at before.
        self._marks = [(mark, channel) for channel, mark in self.channels.items()]
        heapify(self._marks)

    def on_watermark(self, channel: ChannelId, watermark: int) -> None:
        """A channel is at `watermark`, and active."""
        if watermark < self.channels[channel]:
            raise InvariantBroken(f"the watermark of {channel} went back")
        self.channels[channel] = watermark
        self.idle.discard(channel)
        heappush(self._marks, (watermark, channel))
        if len(self._marks) > 2 * len(self.channels):
            self._marks = [(mark, channel) for channel, mark in self.channels.items()]
            heapify(self._marks)

    def lowest(self) -> int | None:
        """The watermark of the lowest active channel; None when all are idle."""
        marks = self._marks
        while marks:
            mark, channel = marks[0]
            if channel not in self.idle and self.channels[channel] == mark:
                return mark
            heappop(marks)  # it has moved on, or comes again with the watermark that ends its idleness
        return None


class EventTime:
    """The watermarks of a task, from its source streams and its input channels.

    Attributes:
        watermark: the lowest of the active entries.
        entries: of each entry, a "stream" operator or an exchange. One that is idle is where the task is.
    """

    def __init__(
        self, streams: Mapping[str, StreamOperator], channels: Iterable[ChannelId], absent: Iterable[str] = ()
    ) -> None:
        """`absent`: streams of the stage whose source has no partition for this task."""
        self.watermark = WATERMARK_MIN
        self._streams = streams
        grouped: dict[str, list[ChannelId]] = {}
        for channel in channels:
            grouped.setdefault(channel.exchange, []).append(channel)
        self._exchanges = {exchange: ChannelTimes(members) for exchange, members in grouped.items()}
        self.entries = dict.fromkeys([*streams, *absent, *grouped], WATERMARK_MIN)
        self._idle_streams: set[str] = set()

    @property
    def idle(self) -> bool:
        """Whether every input is idle, so that the task holds nobody's event time back."""
        active = len(self._streams) - len(self._idle_streams)
        for times in self._exchanges.values():
            active += len(times.channels) - len(times.idle)
        return active == 0 and bool(self._streams or self._exchanges)

    def snapshot(self) -> dict[str, Any]:
        """The part of the checkpoint that makes the same records late after a recovery."""
        if len(self.entries) == 1:
            return {"watermark": self.watermark}
        return {"watermark": self.watermark, "entries": dict(self.entries)}

    def restore(self, watermark: int, entries: Mapping[str, int]) -> None:
        """Take up a snapshot; the inputs send their own time again."""
        for entry in self.entries:
            self.entries[entry] = max(watermark, entries.get(entry, watermark))
        # No entry is behind the task. A stage without state has nothing else in a checkpoint.
        self.watermark = min(self.entries.values(), default=watermark)

    def raise_to(self, watermark: int) -> None:
        """Event time is at least `watermark`, whatever the inputs say."""
        self.watermark = max(self.watermark, watermark)
        for entry, before in self.entries.items():
            self.entries[entry] = max(before, watermark)

    def on_watermark(self, channel: ChannelId, watermark: int) -> None:
        """An input channel is at `watermark`, and active."""
        self._exchanges[channel.exchange].on_watermark(channel, watermark)

    def on_idle(self, channel: ChannelId) -> None:
        """An input channel is idle until its next watermark."""
        self._exchanges[channel.exchange].idle.add(channel)

    def on_records(self, stream: str) -> None:
        """A source stream delivers records: it is active."""
        self._idle_streams.discard(stream)

    def look(self, since: int, until: int, undelivered: Collection[str] = ()) -> None:
        """See which source streams are idle, if they were listened to from `since` to `until` (ms of the wall clock).

        Those `undelivered` are not: records of theirs have come that no task has been given yet.
        """
        for id in undelivered:
            self._streams[id].last_arrival = until
        self._idle_streams = {id for id, stream in self._streams.items() if stream.idle(since, until)}

    def advance(self) -> bool:
        """Move each entry to where it is by now. True if one is later than before."""
        active: dict[str, int] = {}
        for id, stream in self._streams.items():
            if id not in self._idle_streams:
                active[id] = stream.watermark
        for exchange, times in self._exchanges.items():
            lowest = times.lowest()
            if lowest is not None:
                active[exchange] = lowest
        self.watermark = watermark = max(self.watermark, min(active.values(), default=WATERMARK_MIN))
        moved = False
        for entry, before in self.entries.items():
            mark = max(watermark, active.get(entry, watermark))
            if mark > before:
                self.entries[entry] = mark
                moved = True
        self.watermark = min(self.entries.values(), default=watermark)  # an entry may have been restored further
        return moved

    def validate(self) -> None:
        """Raises InvariantBroken when an idle input is none of the task's, or an entry is behind the task."""
        for times in self._exchanges.values():
            if not times.idle <= times.channels.keys():
                raise InvariantBroken("a channel is idle that is no input")
        if any(mark < self.watermark for mark in self.entries.values()):
            raise InvariantBroken("an entry of a task is behind its event time")

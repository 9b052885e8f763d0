"""A task's event time: the watermark of each entry, and the lowest of the active ones. It never goes back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import Any

from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import WATERMARK_MIN, ChannelId
from rayflow.operators.stream import StreamOperator


class ChannelTimes:
    """The watermarks of one exchange's channels. There may be thousands, so each call looks at few of them."""

    def __init__(self, channels: Iterable[ChannelId]) -> None:
        self.channels: dict[ChannelId, int] = dict.fromkeys(channels, WATERMARK_MIN)
        self.idle: set[ChannelId] = set()
        # A heap, lowest first; it may contain old watermarks of a channel.
        self._marks = [(mark, channel) for channel, mark in self.channels.items()]
        heapify(self._marks)

    def on_watermark(self, channel: ChannelId, watermark: int) -> None:
        """Set the watermark of a channel, which is active."""
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
            heappop(marks)  # outdated: the channel has advanced, or is idle
        return None


class EventTime:
    """The watermarks of a task, from its source streams and its input channels.

    Attributes:
        watermark: the lowest of the active entries.
        entries: the watermark of each entry, a "stream" operator or an exchange. An idle entry has the task's
            watermark.
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
        """Whether every input is idle, so that the task holds back no event time."""
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
        """Restore a snapshot. The inputs send their own time again."""
        for entry in self.entries:
            self.entries[entry] = max(watermark, entries.get(entry, watermark))
        # No entry is behind the task. Of a stage without state, a checkpoint contains only the watermark.
        self.watermark = min(self.entries.values(), default=watermark)

    def raise_to(self, watermark: int) -> None:
        """Raise event time to at least `watermark`, whatever the inputs say."""
        self.watermark = max(self.watermark, watermark)
        for entry, before in self.entries.items():
            self.entries[entry] = max(before, watermark)

    def on_watermark(self, channel: ChannelId, watermark: int) -> None:
        """Set the watermark of an input channel, which is active."""
        self._exchanges[channel.exchange].on_watermark(channel, watermark)

    def on_idle(self, channel: ChannelId) -> None:
        """Mark an input channel as idle until its next watermark."""
        self._exchanges[channel.exchange].idle.add(channel)

    def on_records(self, stream: str) -> None:
        """Mark a source stream as active: it delivers records."""
        self._idle_streams.discard(stream)

    def look(self, since: int, until: int, undelivered: Collection[str] = ()) -> None:
        """Find the source streams that are idle, if the job listened to them from `since` to `until` (ms of the wall
        clock).

        Streams in `undelivered` are not idle: records for them have arrived but were not given to a task yet.
        """
        for id in undelivered:
            self._streams[id].last_arrival = until
        self._idle_streams = {id for id, stream in self._streams.items() if stream.idle(since, until)}

    def advance(self) -> bool:
        """Advance each entry. True if one is later than before."""
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
        self.watermark = min(self.entries.values(), default=watermark)  # a restored entry may be later
        return moved

    def validate(self) -> None:
        """Raises InvariantBroken if an idle input does not belong to the task, or an entry is behind the task."""
        for times in self._exchanges.values():
            if not times.idle <= times.channels.keys():
                raise InvariantBroken("a channel is idle that is no input")
        if any(mark < self.watermark for mark in self.entries.values()):
            raise InvariantBroken("an entry of a task is behind its event time")

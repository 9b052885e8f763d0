"""The watermark of a task over its channels, beside a minimum that is taken anew each time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rayflow.core.ids import WATERMARK_MIN, ChannelId
from rayflow.engine.event_time import EventTime

CHANNELS = [ChannelId("words", source, 0) for source in range(4)]
STEPS = st.lists(st.tuples(st.sampled_from(CHANNELS), st.integers(0, 3) | st.none()), max_size=60)


@given(STEPS)
def test_event_time_is_that_of_the_lowest_active_channel(steps: list[tuple[ChannelId, int | None]]) -> None:
    time = EventTime({}, CHANNELS)
    marks = dict.fromkeys(CHANNELS, WATERMARK_MIN)
    idle: set[ChannelId] = set()
    expected = WATERMARK_MIN
    for channel, more in steps:
        if more is None:
            idle.add(channel)
            time.on_idle(channel)
        else:
            idle.discard(channel)
            marks[channel] = max(marks[channel], 0) + more
            time.on_watermark(channel, marks[channel])
        lowest = min((mark for other, mark in marks.items() if other not in idle), default=WATERMARK_MIN)
        assert time.advance() == (lowest > expected)
        expected = max(expected, lowest)
        assert time.watermark == expected
        time.validate()


def test_a_channel_that_stays_behind_does_not_make_the_others_be_remembered_for_ever() -> None:
    time = EventTime({}, CHANNELS)
    for mark in range(1_000):
        for channel in CHANNELS[1:]:
            time.on_watermark(channel, mark)
        assert not time.advance()
    assert len(time._exchanges["words"]._marks) <= 2 * len(CHANNELS)


class Counted(int):
    """A watermark that counts what it is compared with."""

    comparisons = 0

    def __lt__(self, other: int) -> bool:
        Counted.comparisons += 1
        return int(self) < int(other)

    def __le__(self, other: int) -> bool:
        Counted.comparisons += 1
        return int(self) <= int(other)

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return int(self) == other

    __hash__ = int.__hash__


def test_a_watermark_on_one_of_many_channels_does_not_look_at_all_of_them() -> None:
    channels = [ChannelId("words", source, 0) for source in range(500)]
    time = EventTime({}, channels)
    for first in (0, 1_000):
        Counted.comparisons = 0
        for channel in channels:
            time.on_watermark(channel, Counted(first + channel.source))
            time.advance()
    assert time.watermark == 1_000
    assert Counted.comparisons < 60 * len(channels)

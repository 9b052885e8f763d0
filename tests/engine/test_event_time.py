"""The watermark of a task over its source streams and channels, beside a minimum that is taken anew each time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import rayflow as rf
from rayflow.core.ids import WATERMARK_MIN, ChannelId
from rayflow.engine.event_time import EventTime
from rayflow.operators.stream import StreamOperator
from rayflow.plan.compile import plan_of

CHANNELS = [ChannelId("words", source, 0) for source in range(4)]
STEPS = st.lists(st.tuples(st.sampled_from(CHANNELS), st.integers(0, 3) | st.none()), max_size=60)


LISTENED_FOR = 1_000
"""Silence (ms) after which a stream counts as idle."""


def streams(**newest: int) -> dict[str, StreamOperator]:
    """Source streams whose watermarks are at these times (ms); all were heard at time 0."""
    job = rf.Job("job")
    job.stream("topic", name="stream", watermark=rf.monotonic(), idle_after=timedelta(milliseconds=LISTENED_FOR)).to(
        "out"
    )
    made: dict[str, StreamOperator] = {}
    for name, time in newest.items():
        spec: Any = plan_of(job).operator("stream").spec
        made[name] = StreamOperator(spec)
        made[name].restore(time + 1)
        made[name].last_arrival = 0
    return made


def test_event_time_is_that_of_the_lowest_source_stream() -> None:
    made = streams(ahead=500, behind=100)
    time = EventTime(made, [])
    assert time.advance()
    assert time.watermark == 100
    made["behind"].restore(801)
    assert time.advance()
    assert time.watermark == 500
    assert not time.advance()


def test_event_time_is_that_of_the_lowest_of_a_stream_and_the_channels() -> None:
    made = streams(stream=100)
    time = EventTime(made, CHANNELS[:2])
    time.advance()
    assert time.watermark == WATERMARK_MIN
    time.on_watermark(CHANNELS[0], 700)
    time.on_watermark(CHANNELS[1], 300)
    assert time.advance()
    assert time.watermark == 100
    made["stream"].restore(401)
    assert time.advance()
    assert time.watermark == 300
    time.on_watermark(CHANNELS[1], 600)
    assert time.advance()
    assert time.watermark == 400


def test_a_task_is_idle_only_when_its_streams_and_its_channels_are() -> None:
    made = streams(one=100, other=500)
    time = EventTime(made, CHANNELS[:1])
    made["other"].last_arrival = 500
    time.look(WATERMARK_MIN, LISTENED_FOR)
    time.on_idle(CHANNELS[0])
    assert not time.idle
    time.look(WATERMARK_MIN, LISTENED_FOR + 500)
    assert time.idle
    assert not time.advance()
    time.on_watermark(CHANNELS[0], 300)
    assert not time.idle
    assert time.advance()
    assert time.watermark == 300


def test_an_idle_stream_that_delivers_again_holds_time_back_before_the_next_look() -> None:
    made = streams(silent=100, talks=500)
    time = EventTime(made, [])
    made["talks"].last_arrival = LISTENED_FOR
    time.look(WATERMARK_MIN, LISTENED_FOR)
    assert time.advance()
    assert time.watermark == 500
    time.on_records("silent")
    made["silent"].restore(601)
    made["talks"].restore(901)
    assert time.advance()
    assert time.watermark == 600


def test_a_stream_with_records_that_wait_to_be_delivered_is_not_idle() -> None:
    made = streams(waits=100, talks=500)
    time = EventTime(made, [])
    made["talks"].last_arrival = LISTENED_FOR
    time.look(WATERMARK_MIN, LISTENED_FOR, undelivered={"waits"})
    assert time.advance()
    assert time.watermark == 100


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

"""Streams: decoding, event time, watermark, lateness, idleness."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayflow.api.specs.stream import StreamSpec, WatermarkStrategy
from rayflow.core.batch import Batch
from rayflow.core.errors import DecodeFailed, UserFunctionFailed
from rayflow.core.failures import DeadLetter, Skip
from rayflow.core.ids import WATERMARK_MIN
from rayflow.core.outputs import DEAD_LETTER, OUT
from rayflow.core.topics import TopicRef
from rayflow.serde.base import Serde
from tests.operators.harness import SourceBench, batch_of


class Raw(Serde[bytes]):
    name = "bytes"
    type = bytes

    def decode_one(self, data: bytes) -> bytes:
        raise AssertionError("bytes need no work")

    def encode_one(self, value: bytes) -> bytes:
        return value


class Json(Serde[Any]):
    name = "json"

    def decode_one(self, data: bytes) -> Any:
        return json.loads(data)

    def encode_one(self, value: Any) -> bytes:
        return json.dumps(value).encode()


def stream(**kw: Any) -> SourceBench:
    return SourceBench(StreamSpec(**{"key": Raw(), "value": Json(), **kw}))


def test_values_are_decoded_and_keys_of_bytes_are_left_alone() -> None:
    bench = stream()
    out = bench.process(batch_of([b"1", None, b"[2]"], [b"a", None, b"c"]))[OUT]
    assert (out.keys, out.values) == ([b"a", None, b"c"], [1, None, [2]])


def test_a_record_that_does_not_decode_stops_the_job_with_its_place() -> None:
    bench = stream()
    with pytest.raises(DecodeFailed, match="JSONDecodeError: could not decode the value as json") as failure:
        bench.send([b"1", b"{", b"3"])
    assert failure.value.where["offset"] == 101


def test_dead_letters_of_a_stream_carry_the_raw_bytes_whatever_failed() -> None:
    bench = stream(key=Json(), timestamp=lambda v: v["ts"], on_error=DeadLetter(TopicRef("bad")))
    raw = [b'{"ts": 5}', b"{", b'{"ts": 6}', b"{}", b'{"ts": -1}', b'{"ts": 7}']
    keys = [b"1", b"2", b"{", b"4", b"5", b"6"]
    out = bench.process(batch_of(raw, keys))
    assert (out[OUT].keys, out[OUT].timestamps, list(out[OUT].offsets)) == ([1, 6], [5, 7], [100, 105])
    dead = out[DEAD_LETTER]
    assert sorted(zip(dead.offsets, dead.keys, dead.values, strict=True)) == [
        (101, b"2", b"{"),
        (102, b"{", b'{"ts": 6}'),
        (103, b"4", b"{}"),
        (104, b"5", b'{"ts": -1}'),
    ]
    assert bench.counters.dead_letters == 4


def test_a_tombstone_keeps_the_brokers_timestamp() -> None:
    bench = stream(timestamp=lambda v: v)
    assert bench.process(batch_of([b"5", None], timestamps=[1, 2]))[OUT].timestamps == [5, 2]


@pytest.mark.parametrize(
    ("time", "what"),
    [
        (1.5, "gave a float, not an int"),
        (True, "gave a bool, not an int"),
        (-1, "before 1970"),
        (1_700_000_000_000_000, "beyond the year 9999"),
        (None, "gave a NoneType, not an int"),
    ],
)
def test_a_timestamp_that_is_no_time_is_an_error_with_the_place(time: Any, what: str) -> None:
    bench = stream(timestamp=lambda v: time if v == 2 else 1)
    with pytest.raises(UserFunctionFailed, match=what) as failure:
        bench.send([b"1", b"2"])
    assert failure.value.offset == 101


@pytest.mark.parametrize(("time", "told"), [(1_700_000_000, True), (1_700_000_000_000, False), (60_000, False)])
def test_seconds_instead_of_milliseconds_are_told_of_once(time: int, told: bool) -> None:
    bench = stream(timestamp=lambda v: v)
    for _ in range(3):
        bench.send([b"%d" % time])
    assert (
        bench.warnings
        == ["timestamp= gives times in January or February 1970: probably seconds, not milliseconds"] * told
    )


def test_a_record_without_a_brokers_timestamp_is_an_error_with_the_place() -> None:
    bench = stream()
    with pytest.raises(DecodeFailed, match="no usable timestamp") as failure:
        bench.send([b"1", b"2"], timestamps=[5, -1])
    assert failure.value.offset == 101


def test_the_watermark_follows_the_newest_timestamp_and_never_falls() -> None:
    bench = stream(watermark=WatermarkStrategy(10))
    assert bench.event_time == WATERMARK_MIN
    bench.send([b"1"], timestamps=[100])
    assert bench.event_time == 89
    bench.send([b"1"], timestamps=[50])
    assert bench.event_time == 89
    bench.send([b"1"], timestamps=[4_000_000_000_000])
    assert bench.event_time == 4_000_000_000_000 - 11


def test_without_a_watermark_strategy_event_time_never_advances() -> None:
    bench = stream(watermark=WatermarkStrategy(None))
    out = bench.process(batch_of([b"1", b"2"], timestamps=[100, 1]))[OUT]
    assert (bench.event_time, out.lateness) == (WATERMARK_MIN, None)


def test_a_skipped_record_does_not_move_event_time() -> None:
    bench = stream(on_error=Skip())
    bench.send([b"{", b"1"], timestamps=[900, 100])
    assert bench.event_time == 99
    assert bench.send([b"{"]) == []
    assert bench.event_time == 99


def test_lateness_is_none_while_no_record_is_behind() -> None:
    bench = stream(watermark=WatermarkStrategy(10))
    assert bench.process(batch_of([b"1"] * 3, timestamps=[100, 89, 95]))[OUT].lateness is None
    assert bench.process(batch_of([b"1"] * 2, timestamps=[99, 88]))[OUT].lateness == [89, 89]


times = st.lists(st.integers(0, 50), min_size=1, max_size=30)


@given(times, st.integers(0, 10), st.data())
def test_what_is_late_does_not_depend_on_batches_or_recoveries(stamps: list[int], delay: int, data: Any) -> None:
    expected, newest = [], -1
    for stamp in stamps:
        expected.append(newest >= 0 and stamp < newest - delay - 1)
        newest = max(newest, stamp)
    bench = stream(watermark=WatermarkStrategy(delay))
    late: list[bool] = []
    at = 0
    while at < len(stamps):
        part = stamps[at : at + data.draw(st.integers(1, 10))]
        out: Batch = bench.process(batch_of([b"1"] * len(part), timestamps=part))[OUT]
        own = out.lateness or [WATERMARK_MIN] * len(part)
        late += [stamp < limit for stamp, limit in zip(part, own, strict=True)]
        at += len(part)
        if data.draw(st.booleans()):
            bench.recover()
    assert late == expected
    assert bench.event_time == max(stamps) - delay - 1


def test_a_partition_is_idle_after_a_while_without_records() -> None:
    bench = stream(idle_after=500)
    start = bench.now
    assert not bench.idle(0, start + 499)
    assert bench.idle(0, start + 500)
    bench.now = start + 600
    bench.send([b"1"])
    assert not bench.idle(0, start + 1_099)
    assert bench.idle(0, start + 1_100)
    assert not stream().idle(0, start + 10**9)


def test_silence_that_nobody_listened_to_does_not_make_a_partition_idle() -> None:
    bench = stream(idle_after=500)
    start = bench.now
    assert not bench.idle(start + 10_000, start + 10_499)
    assert bench.idle(start + 10_000, start + 10_500)

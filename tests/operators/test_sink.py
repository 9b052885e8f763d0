"""Sinks: encoding, timestamps, headers, staging."""

from __future__ import annotations

from typing import Any

import pytest

from rayflow.api.specs.outputs import SinkSpec
from rayflow.core.errors import EncodeFailed, UserFunctionFailed
from rayflow.core.failures import DeadLetter, Skip
from rayflow.core.outputs import DEAD_LETTER
from rayflow.core.topics import TopicRef
from rayflow.operators.sink import MERGE_UP_TO, OVERHEAD
from rayflow.serde.base import Serde
from tests.operators.harness import SinkBench, batch_of


class Number(Serde[int]):
    name = "number"

    def decode_one(self, data: bytes) -> int:
        return int(data)

    def encode_one(self, value: int) -> bytes:
        return b"%d" % value


def sink(**kw: Any) -> SinkBench:
    return SinkBench(SinkSpec(TopicRef("out"), Number(), Number(), **kw))


def test_seconds_instead_of_milliseconds_are_told_of_once() -> None:
    bench = sink(timestamp=lambda v: v)
    for time in (1_700_000_000, 1_700_000_001):
        bench.process(batch_of([time]))
    assert bench.warnings == ["timestamp= gives times in January or February 1970: probably seconds, not milliseconds"]


class Forgetful(Serde[Any]):
    """Does not encode every value."""

    name = "forgetful"

    def decode_one(self, data: bytes) -> Any:
        return data

    def encode_one(self, value: Any) -> bytes:
        return value  # type: ignore[no-any-return]


def test_a_users_serde_that_does_not_give_bytes_is_an_error_of_its_record() -> None:
    spec = SinkSpec(TopicRef("out"), Forgetful(), Forgetful(), on_error=Skip())
    bench = SinkBench(spec)
    bench.process(batch_of([b"a", "b", None], [None, b"k", b"k"]))
    [taken] = bench.take()
    assert (taken.keys, taken.values, bench.counters.errors) == ([None, b"k"], [b"a", None], 1)
    with pytest.raises(EncodeFailed, match="The serde gave a str") as caught:
        SinkBench(SinkSpec(TopicRef("out"), Forgetful(), Forgetful())).process(batch_of(["b"]))
    assert caught.value.offset == 100


def test_batches_are_encoded_and_merged_until_they_are_taken() -> None:
    bench = sink()
    first = batch_of([1, None], [7, None], [10, 11])
    bench.process(first)
    bench.process(batch_of([3], [9], [12]))
    assert bench.staged_bytes == 3 * OVERHEAD + 4
    [taken] = bench.take()
    assert (taken.topic, taken.keys, taken.values) == ("out", [b"7", None, b"9"], [b"1", None, b"3"])
    assert (taken.timestamps, taken.headers, taken.partition) == ([10, 11, 12], None, None)
    assert (bench.take(), bench.staged_bytes, first.timestamps) == ([], 0, [10, 11])


def test_headers_are_the_records_own_unless_a_function_makes_them() -> None:
    bench = sink()
    bench.process(batch_of([1], [1], headers=[[("a", b"x")]]))
    bench.process(batch_of([2], [2], headers=[[]]))
    bench.process(batch_of([3], [3]))
    assert [taken.headers for taken in bench.take()] == [[[("a", b"x")], []], None]
    bench = sink(headers=lambda v: [("v", b"%d" % v)], timestamp=lambda v: v * 1000)
    bench.process(batch_of([1, None], [1, 2], [5, 6], headers=[[], [("own", None)]]))
    [taken] = bench.take()
    assert (taken.headers, taken.timestamps) == ([[("v", b"1")], [("own", None)]], [1000, 6])


def test_a_value_that_cannot_be_encoded_stops_the_job_with_its_place() -> None:
    bench = sink()
    with pytest.raises(EncodeFailed, match="TypeError: could not encode the value as number") as failure:
        bench.process(batch_of([1, "x"], [1, 2]))
    assert failure.value.offset == 101
    with pytest.raises(EncodeFailed, match="encode the key"):
        bench.process(batch_of([1], ["x"]))


def test_failing_records_are_left_out_of_all_columns() -> None:
    bench = sink(timestamp=lambda v: 10 // (v - 5), on_error=Skip())
    bench.process(batch_of([6, 5, 7, 8, 10], [1, 2, "x", 4, 5]))
    [taken] = bench.take()
    assert (taken.keys, taken.values, taken.timestamps) == ([b"1", b"4", b"5"], [b"6", b"8", b"10"], [10, 3, 2])
    assert bench.counters.errors == 2
    bench = sink(on_error=DeadLetter(TopicRef("bad")))
    dead = bench.process(batch_of([1, "x", 3], ["y", 2, 3]))[DEAD_LETTER]
    assert sorted(dead.offsets) == [100, 101]
    assert bench.take()[0].values == [b"3"]


@pytest.mark.parametrize("time", [1.5, -1, 10**15])
def test_a_timestamp_that_is_no_time_is_an_error(time: Any) -> None:
    bench = sink(timestamp=lambda v: time)
    with pytest.raises(UserFunctionFailed, match="timestamp= gave"):
        bench.process(batch_of([1], [1]))


@pytest.mark.parametrize("headers", [[("a", "text")], [(b"a", b"x")], ["ab"]])
def test_headers_of_other_types_are_an_error(headers: Any) -> None:
    bench = sink(headers=lambda v: headers)
    with pytest.raises(UserFunctionFailed):
        bench.process(batch_of([1], [1]))


def test_merged_batches_stay_within_bounds_and_large_ones_stay_as_they_came() -> None:
    bench = sink()
    for count in (1_500, 500, 1, MERGE_UP_TO + 1, 2):
        bench.process(batch_of([1] * count, [1] * count))
    assert [len(batch) for batch in bench.take()] == [MERGE_UP_TO, 1, MERGE_UP_TO + 1, 2]

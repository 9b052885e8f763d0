"""on_error: stop, skip, dead letter, or as a function decides."""

from __future__ import annotations

from typing import Any

import pytest

from rayflow.api.specs.functions import FilterSpec, FlatMapSpec, MapSpec
from rayflow.api.specs.routing import SplitSpec
from rayflow.core.batch import Headers
from rayflow.core.errors import InvariantBroken, UserFunctionFailed
from rayflow.core.failures import DeadLetter, FailedRecord, Skip, Stop
from rayflow.core.outputs import DEAD_LETTER, OUT
from rayflow.core.topics import TopicRef
from tests.operators.harness import Bench, batch_of


class Picky:
    """Counts its calls; refuses some values."""

    def __init__(self, *refused: int, error: type[Exception] = ValueError) -> None:
        self.refused = refused
        self.error = error
        self.calls: list[int] = []

    def __call__(self, value: int) -> int:
        self.calls.append(value)
        if value in self.refused:
            raise self.error(f"secret value {value}")
        return value * 10


def test_stop_names_the_place_and_the_users_line_but_not_the_value() -> None:
    bench = Bench(MapSpec(Picky(3)))
    with pytest.raises(UserFunctionFailed) as failure:
        bench.send([1, 2, 3, 4])
    error = failure.value
    assert error.where == {"job": "job", "operator": "op", "topic": "orders", "partition": 3, "offset": 102}
    assert "ValueError at test_failing.py:" in str(error)
    assert "in __call__" in str(error)
    assert "secret" not in str(error)
    assert isinstance(error.__cause__, ValueError)


def test_a_failure_inside_a_library_names_the_users_own_line() -> None:
    def parse(value: Any) -> Any:
        import json

        return json.loads(value)

    with pytest.raises(UserFunctionFailed, match=r"JSONDecodeError at test_failing.py:\d+ in parse"):
        Bench(MapSpec(parse)).send(["{"])


def test_a_failure_in_a_built_in_function_says_so() -> None:
    with pytest.raises(UserFunctionFailed, match="ValueError at a built-in function"):
        Bench(MapSpec(int)).send(["x"])


@pytest.mark.parametrize("error", [ValueError, StopIteration, KeyError])
def test_skip_leaves_the_record_out_and_calls_the_function_once_per_record(error: type[Exception]) -> None:
    fn = Picky(1, 3, 4, 6, error=error)
    bench = Bench(MapSpec(fn, Skip()))
    out = bench.process(batch_of([1, 2, 3, 4, 5, 6]))[OUT]
    assert out.values == [20, 50]
    assert out.offsets == [101, 104]
    assert fn.calls == [1, 2, 3, 4, 5, 6]
    assert (bench.counters.errors, bench.counters.dead_letters) == (4, 0)


def test_a_dead_letter_is_the_record_as_it_came_with_the_reason_in_headers() -> None:
    bench = Bench(MapSpec(Picky(2), DeadLetter(TopicRef("bad"))))
    headers: list[Headers] = [[("a", b"1")], [("b", None)], []]
    out = bench.process(batch_of([1, 2, 3], ["x", "y", "z"], headers=headers))
    assert out[OUT].values == [10, 30]
    dead = out[DEAD_LETTER]
    assert (dead.keys, dead.values, dead.offsets) == (["y"], [2], [101])
    assert dead.headers == [
        [
            ("b", None),
            ("rayflow.error", b"RF-2002"),
            ("rayflow.reason", b"ValueError"),
            ("rayflow.operator", b"op"),
            ("rayflow.topic", b"orders"),
            ("rayflow.partition", b"3"),
            ("rayflow.offset", b"101"),
        ]
    ]
    assert headers == [[("a", b"1")], [("b", None)], []]
    assert (bench.counters.errors, bench.counters.dead_letters) == (1, 1)


def test_a_function_decides_with_the_whole_record_before_it() -> None:
    seen: list[FailedRecord] = []

    def decide(record: FailedRecord) -> Stop | Skip:
        seen.append(record)
        return Skip() if record.value == 2 else Stop()

    bench = Bench(MapSpec(Picky(2, 3), decide))
    with pytest.raises(UserFunctionFailed) as failure:
        bench.send([1, 2, 3], ["a", "b", "c"])
    assert failure.value.offset == 102
    assert [(r.operator, r.topic, r.partition, r.offset, r.key, r.value) for r in seen] == [
        ("op", "orders", 3, 101, "b", 2),
        ("op", "orders", 3, 102, "c", 3),
    ]


def test_a_deciding_function_that_fails_or_gives_no_decision_stops_the_job() -> None:
    with pytest.raises(UserFunctionFailed, match="on_error function failed itself: ZeroDivisionError"):
        Bench(MapSpec(Picky(1), lambda record: 1 / 0)).send([1])  # type: ignore[arg-type, return-value]
    with pytest.raises(UserFunctionFailed, match="gave NoneType, neither"):
        Bench(MapSpec(Picky(1), lambda record: None)).send([1])  # type: ignore[arg-type, return-value]


def test_errors_of_rayflow_itself_are_never_skipped() -> None:
    def broken(value: int) -> int:
        raise InvariantBroken("state is odd")

    with pytest.raises(InvariantBroken):
        Bench(MapSpec(broken, Skip())).send([1])


def test_every_operator_over_a_function_goes_on_behind_a_failure() -> None:
    def positive(value: int) -> bool:
        if value == 3:
            raise ValueError
        return value > 2

    assert Bench(FilterSpec(positive, Skip())).send([1, 2, 3, 4, 5]) == [4, 5]
    out = Bench(SplitSpec((("big", positive),), Skip())).process(batch_of([1, 2, 3, 4, 5]))
    assert {output: batch.values for output, batch in out.items()} == {"big": [4, 5], OUT: [1, 2]}

    def several(value: int) -> Any:
        yield value
        if value == 2:
            raise ValueError
        yield value

    assert Bench(FlatMapSpec(several, Skip())).send([1, 2, 3]) == [1, 1, 3, 3]

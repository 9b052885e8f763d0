"""Queries of a running job's tables: what they answer, when, and what they refuse."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest

import rayflow as rf
from rayflow.checkpoint.open import open_store
from rayflow.core import ids
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import (
    DamagedObject,
    InvalidSetting,
    InvariantBroken,
    KeyInSeveralPartitions,
    KeyNotUsable,
    UserFunctionFailed,
    ValueNotCarried,
    WorkerLost,
)
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting import queries as module
from rayflow.runtimes.hosting import reading
from rayflow.runtimes.hosting.messages import QueryRows, RowsFound
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.queries import (
    MOST_KEYS,
    Queries,
    Query,
    decoded_values,
    encoded_keys,
    table_of,
    tables_of,
)
from rayflow.runtimes.local.attempt import LocalAttempt
from rayflow.runtimes.machine.connectors import OpenConnectors
from rayflow.runtimes.machine.ports import machine_ports
from rayflow.serde.codec import Codec
from rayflow.serde.plain import plain
from rayflow.state.memory_store import MemoryStore
from tests.e2e.brokers import Broker


class Colour(Enum):
    RED = "red"


class Point(rf.Record, frozen=True):
    x: int
    colour: Colour = Colour.RED


@dataclass(frozen=True)
class Place:
    at: Point
    when: datetime


class Partial(rf.Record, frozen=True):
    x: int
    y: int | msgspec.UnsetType = msgspec.UNSET


class Seen(rf.ProcessFunction[str, str, str]):
    last = rf.value("")
    brief = rf.value(0, ttl=timedelta(hours=3))
    all = rf.list()

    def process(self, value: str, ctx: rf.Context) -> list[str]:
        self.last.set(value)
        self.brief.set(len(value))
        return []


def broken(rows: Any) -> Any:
    raise ZeroDivisionError


class Broken(rf.Aggregation[str, int, int]):
    def create(self) -> int:
        return 0

    def add(self, acc: int, value: str) -> int:
        return acc + 1

    def result(self, acc: int) -> int:
        return 1 // (acc - 1)


def job_of() -> rf.Job:
    job = rf.Job("tables")
    words = job.stream("words", key=str, value=str, timestamp=lambda word: 1_000, watermark=rf.no_watermark())
    own = words.group_by_key()
    own.count(name="own").to("own")
    own.map(lambda word: Place(Point(len(word)), datetime(2026, 1, 1, tzinfo=timezone.utc))).to_table(name="newest").to(
        "newest"
    )
    own.aggregate(mean=rf.mean(len), all=rf.collect(), name="means").to("means")
    own.process(Seen, name="seen").to("seen")
    own.aggregate(bad=Broken(), name="broken", on_error=rf.skip).to("broken")
    words.key_by(lambda word: (word, len(word)), name="by-word").count(name="counts").to("counts")
    return job


class Run:
    """The job, in turns of the test."""

    def __init__(self, path: Path) -> None:
        url = f"embedded:{path / 'log'}"
        self.broker = Broker(url, tag="")
        self.broker.create("words", 3)
        self.asked: deque[Query] = deque()
        self.now = 1_000_000
        options = RunOptions(broker=url, state=path, checkpoint_interval=3_600_000)
        self.connectors = OpenConnectors.of_run(options)
        self.attempt = LocalAttempt(
            plan_of(job_of()),
            options,
            machine_ports(open_store(options.checkpoint_store("tables")), self.connectors, clock=lambda: self.now),
            lambda task: MemoryStore(),
            ends={},
            savepoints=deque(),
            queries=self.asked,
            on_epoch=lambda times: None,
        )
        self.attempt.start()

    def until(self, met: Callable[[], object]) -> None:
        while not met():
            self.attempt.step()
            self.now += 1

    def append(self, *records: tuple[str, str]) -> None:
        """Have records taken, in an epoch that stays open."""
        before = self._taken()
        self.broker.append("words", records)
        self.until(lambda: self._taken() == before + len(records))

    def _taken(self) -> int:
        worker = self.attempt.worker
        tasks = [] if worker is None else worker.tasks.values()
        return sum(task.counters["own"].records_in for task in tasks if "own" in task.counters)

    def commit(self) -> None:
        """End the epoch, and see it through."""
        coordinator = self.attempt.coordinator
        epoch = coordinator.coordinator.epoch
        self.now += 4_000_000
        self.until(lambda: coordinator.coordinator.epoch > epoch and not self.attempt._writing)
        worker = self.attempt.worker
        assert worker is not None
        self.until(lambda: not worker.sealed)

    def query(self, operator: str, keys: list[Any], table: str | None = None) -> list[Any]:
        query = Query(operator, encoded_keys(keys), table)
        self.asked.append(query)
        self.until(lambda: query.done)
        return decoded_values(query.result())

    def close(self) -> None:
        self.attempt.close()
        self.connectors.close()
        self.broker.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    run.close()


def test_a_query_sees_completed_epochs_alone(run: Run) -> None:
    run.append(("a", "x"), ("b", "yy"))
    assert run.query("own", ["a"]) == [None]
    run.commit()
    assert run.query("own", ["a", "nobody", "b", "a"]) == [1, None, 1, 1]
    run.append(("a", "x"))
    assert run.query("own", ["a"]) == [1]
    run.commit()
    assert run.query("own", ["a"]) == [2]


def test_values_are_what_the_operator_emits_as_plain_data(run: Run) -> None:
    run.append(("a", "x"), ("b", "yy"), ("a", "xxx"))
    run.commit()
    when = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert run.query("newest", ["a"]) == [{"at": {"x": 3, "colour": "red"}, "when": when}]
    means = [{"key": "a", "mean": 2.0, "all": ["x", "xxx"]}, {"key": "b", "mean": 2.0, "all": ["yy"]}]
    assert run.query("means", ["a", "b"]) == means
    assert run.query("counts", [("x", 1), ("yy", 2.0), ("yy", 1)]) == [1, 1, None]
    assert run.query("seen", ["a", "c"], "last") == ["xxx", None]
    assert run.query("own", []) == []


def test_a_value_with_a_ttl_is_judged_by_its_epoch_and_not_by_the_time_of_the_query(run: Run) -> None:
    run.append(("a", "x"))
    run.commit()
    assert run.query("seen", ["a"], "brief") == [1]
    run.now += 12_000_000  # the committed row has expired by now
    assert run.query("seen", ["a"], "brief") == [1]
    run.append(("a", "x"))  # renewed, in the open epoch
    assert run.query("seen", ["a"], "brief") == [1]
    run.commit()
    assert run.query("seen", ["a"], "brief") == [1]


def test_what_cannot_be_answered_says_what_there_is(run: Run) -> None:
    for operator, table, says in (
        ("nothing", None, "broken, counts, means, newest, own, seen"),
        ("by-word", None, "broken, counts, means, newest, own, seen"),
        ("own", "sums", "Its tables: values"),
        ("seen", None, "Name one: last, brief"),
        ("seen", "all", "Its tables: last, brief"),
    ):
        with pytest.raises(InvalidSetting) as raised:
            run.query(operator, ["a"], table)
        assert says in raised.value.advice
    run.append(("a", "x"))
    run.commit()
    with pytest.raises(UserFunctionFailed, match="ZeroDivisionError"):
        run.query("broken", ["a"])
    assert run.query("own", ["a"]) == [1]


def test_what_is_no_query_is_refused_where_it_is_asked() -> None:
    with pytest.raises(InvalidSetting, match="1001 keys"):
        encoded_keys(list(range(MOST_KEYS + 1)))
    with pytest.raises(InvalidSetting, match="KiB"):
        encoded_keys([b"x" * module.KEY_BYTES])
    with pytest.raises(InvalidSetting, match="one key"):
        encoded_keys("word")
    for key in ([1], float("nan"), datetime(2026, 1, 1)):
        with pytest.raises(KeyNotUsable):
            encoded_keys([key])


def test_a_query_that_fails_does_not_end_the_job(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.append(("a", "x"))
    run.commit()
    query = Query("own", [b"\xff"])
    run.asked.append(query)
    run.until(lambda: query.done)
    assert type(query.error) is DamagedObject
    with monkeypatch.context() as patched:
        patched.setattr(reading, "ROW_BYTES", 0)
        with pytest.raises(InvalidSetting, match="MiB"):
            run.query("own", ["a"])
        patched.setattr(reading, "plain", broken)
        with pytest.raises(InvariantBroken, match="ZeroDivisionError"):
            run.query("own", ["a"])
    assert run.query("own", ["a"]) == [1]


@pytest.mark.parametrize("seconds_a_key", [0.0, 0.001, 1.0])
def test_an_answer_is_read_in_slices_that_end_when_reading_has_taken_their_time(
    run: Run, monkeypatch: pytest.MonkeyPatch, seconds_a_key: float
) -> None:
    keys = [f"k{number}" for number in range(3 * reading.MOST)]
    run.append(*[(key, "x") for key in keys])
    run.commit()
    worker = run.attempt.worker
    assert worker is not None
    now, slices, read = [0.0], [0], reading._read

    def counting(task: Any, asked: Any, part: Any) -> Any:
        now[0] += seconds_a_key * len(part)
        slices[-1] += len(part)
        return read(task, asked, part)

    monkeypatch.setattr(reading, "_read", counting)
    answers: list[Any] = []
    stage, table = table_of(tables_of(PLAN), "tables", "own", None)
    asked = QueryRows(1, stage, "own", table, encoded_keys(keys))
    for _ in reading.read_rows(asked, 0, worker, answers.append, lambda: now[0]):
        slices.append(0)
    assert len(answers[0].found) == len(keys)
    assert sum(slices) == 3 * len(keys)  # each task is asked for each key
    if seconds_a_key == 1.0:
        assert max(slices) == 1
    elif seconds_a_key == 0.001:
        assert 10 < max(slices) < 40
    else:
        assert len(slices) == 1


def test_a_query_that_is_too_large_does_not_read_all_of_its_rows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"k{number}" for number in range(200)]
    run.append(*[(key, "x") for key in keys])
    run.commit()
    read, looked_up = reading._read, [0]

    def large_after_many_small_ones(task: Any, asked: Any, part: Any) -> Any:
        found = read(task, asked, part)
        looked_up[0] += sum(at >= 130 for at in found)
        return {at: b"x" * (4 << 20) if at >= 130 else value for at, value in found.items()}

    monkeypatch.setattr(reading, "_read", large_after_many_small_ones)
    with pytest.raises(InvalidSetting, match="8 MiB"):
        run.query("own", keys)
    assert looked_up[0] <= 10


def test_while_a_query_is_answered_records_may_take_their_whole_turn(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an epoch that is being written makes turns short."""
    run.append(("a", "x"))
    run.commit()
    driver = run.attempt.driver
    assert driver is not None
    stage, table = table_of(tables_of(PLAN), "tables", "own", None)
    monkeypatch.setattr(reading, "SLICE", -1.0)
    driver.receive(QueryRows(1, stage, "own", table, encoded_keys(["a"])))
    assert driver._query
    assert not driver.writing
    assert driver.step()  # there is work to do, so nothing waits


def test_rows_of_one_key_in_several_partitions_are_no_answer(run: Run) -> None:
    appender = run.broker.connector.appender()
    for partition, keys in enumerate(((b"a",), (b"a", b"b"))):
        batch = EncodedBatch("words", list(keys), [b"x"] * len(keys), [1] * len(keys), partition=partition)
        appender.append(batch)
    appender.close()
    run.until(lambda: run._taken() == 3)
    run.commit()
    with pytest.raises(KeyInSeveralPartitions, match="group_by_key"):
        run.query("own", ["a"])
    assert run.query("own", ["b"]) == [1]
    assert run.query("counts", [("x", 1)]) == [3]


PLAN = plan_of(job_of())
Sent = list[tuple[int, QueryRows]]


def asking() -> tuple[Queries, deque[Query], Sent, dict[Any, int]]:
    asked: deque[Query] = deque()
    sent: Sent = []
    stage, _ = table_of(tables_of(PLAN), "tables", "own", None)
    placement = {ids.TaskId(stage, p): p % 2 for p in range(4)} | {ids.TaskId("other", 0): 2}
    return Queries(PLAN, lambda worker, body: sent.append((worker, body)), asked), asked, sent, placement  # type: ignore[arg-type]


def test_nothing_is_asked_before_the_tasks_are_started_but_what_is_wrong_is_told() -> None:
    queries, asked, sent, placement = asking()
    wrong, fine = Query("nothing", []), Query("own", encoded_keys(["a"]))
    asked.extend((wrong, fine))
    while queries.step(False, placement):
        pass
    assert (wrong.done, fine.done, sent) == (True, False, [])
    assert queries.step(True, placement)
    assert [worker for worker, _ in sent] == [0, 1]  # those alone that have tasks of the stage


def test_a_query_waits_for_all_workers_and_for_the_one_before() -> None:
    queries, asked, sent, placement = asking()
    first, second = (Query("own", encoded_keys(["a", "b"])) for _ in range(2))
    asked.extend((first, second))
    queries.step(True, placement)
    assert not queries.step(True, placement)
    value = Codec().encode(7)
    queries.read(RowsFound(0, 1, {1: value}, None))
    assert not first.done
    queries.read(RowsFound(1, 1, {}, None))
    assert first.result() == [None, value]
    queries.step(True, placement)
    assert len(sent) == 4
    queries.read(RowsFound(0, 1, {}, None))  # late
    queries.read(RowsFound(0, 2, {}, InvariantBroken("broken")))
    with pytest.raises(InvariantBroken):
        second.result()


def test_a_query_in_flight_is_asked_again_in_the_next_attempt() -> None:
    queries, asked, _, placement = asking()
    query, later = Query("own", encoded_keys(["a"])), Query("own", encoded_keys(["b"]))
    asked.extend((query, later))
    queries.step(True, placement)
    queries.read(RowsFound(0, 1, {}, None))
    queries.close()
    assert not query.done
    assert list(asked) == [query, later]
    sent: Sent = []
    again = Queries(PLAN, lambda worker, body: sent.append((worker, body)), asked)  # type: ignore[arg-type]
    again.step(True, placement)
    value = Codec().encode(1)
    again.read(RowsFound(0, 1, {0: value}, None))
    again.read(RowsFound(1, 1, {}, None))
    assert query.result() == [value]


def test_a_query_that_ends_two_attempts_is_not_asked_of_a_third() -> None:
    queries, asked, _, placement = asking()
    query, later = Query("own", encoded_keys(["a"])), Query("own", encoded_keys(["b"]))
    asked.extend((query, later))
    queries.step(True, placement)
    queries.close()
    again = Queries(PLAN, lambda worker, body: None, asked)
    again.step(True, placement)
    again.close()
    with pytest.raises(WorkerLost, match="restarted 2 times"):
        query.result()
    assert list(asked) == [later]


def test_values_that_are_too_large_together_are_refused_as_soon_as_that_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROW_BYTES", 10)
    queries, asked, _, placement = asking()
    query = Query("own", encoded_keys(["a", "b"]))
    asked.append(query)
    queries.step(True, placement)
    queries.read(RowsFound(0, 1, {0: b"123456", 1: b"123456"}, None))
    with pytest.raises(InvalidSetting, match="MiB"):
        query.result()


def test_two_workers_with_rows_of_one_key_are_no_answer() -> None:
    queries, asked, _, placement = asking()
    query = Query("own", encoded_keys(["a"]))
    asked.append(query)
    queries.step(True, placement)
    for worker in (0, 1):
        queries.read(RowsFound(worker, 1, {0: Codec().encode(1)}, None))
    with pytest.raises(KeyInSeveralPartitions):
        query.result()


def test_a_query_in_flight_that_is_given_up_does_not_hold_up_the_next() -> None:
    queries, asked, sent, placement = asking()
    first, second = (Query("own", encoded_keys([key])) for key in "ab")
    asked.extend((first, second))
    queries.step(True, placement)
    first.give_up(asked)
    assert queries.step(True, placement)
    assert [body.number for _, body in sent] == [1, 1, 2, 2]
    queries.read(RowsFound(0, 1, {0: Codec().encode(1)}, None))
    for worker in (0, 1):
        queries.read(RowsFound(worker, 2, {}, None))
    assert second.result() == [None]


def test_a_query_that_is_given_up_waits_in_no_line() -> None:
    asked: deque[Query] = deque()
    queries = [Query("own", []), Query("own", [])]
    asked.extend(queries)
    queries[1].give_up(asked)
    queries[1].give_up(asked)
    assert list(asked) == queries[:1]


def test_nobody_is_asked_for_who_waits_no_more() -> None:
    queries, asked, sent, placement = asking()
    asked.append(Query("own", encoded_keys(["a"]), given_up=True))
    assert queries.step(True, placement)
    assert not queries.step(True, placement)
    assert sent == []


class Tagged(msgspec.Struct, tag="t", frozen=True):
    x: int


def test_plain_data_has_no_classes() -> None:
    point = Point(1)
    assert plain({("a", 1): {point}, "n": None}) == {("a", 1): [{"x": 1, "colour": "red"}], "n": None}
    assert plain({point: 1}) == [[{"x": 1, "colour": "red"}, 1]]
    assert plain(Tagged(2)) == {"type": "t", "x": 2}
    assert plain([Partial(1)]) == [{"x": 1}]
    assert plain(frozenset([1])) == frozenset([1])
    with pytest.raises(ValueNotCarried):
        plain(object())

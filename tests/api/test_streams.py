"""What the methods of streams add to the graph, and what they refuse."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

import rayflow as rf
from rayflow.api.graph import Node
from rayflow.api.specs.outputs import SinkSpec
from rayflow.api.specs.reducers import FoldSpec, one_more
from rayflow.api.specs.stream import StreamSpec
from rayflow.api.specs.window import WindowSpec
from rayflow.core.errors import InvalidJob
from rayflow.core.failures import DeadLetter
from rayflow.core.outputs import LATE
from rayflow.core.topics import TopicRef
from rayflow.plan.compile import plan_of


class Order(rf.Record):
    user: str
    price: float
    ts: int = 0


class Running(rf.ProcessFunction[str, float, float]):
    total = rf.value(0.0)

    def process(self, value: float, ctx: rf.Context) -> list[float]:
        self.total.set(self.total.get() + value)
        return [self.total.get()]


def last_node(job: rf.Job) -> Node:
    return list(job.graph.nodes.values())[-1]


def sink_of(job: rf.Job) -> SinkSpec:
    spec = last_node(job).spec
    assert isinstance(spec, SinkSpec)
    return spec


def test_operators_are_numbered_by_kind_in_order_of_definition() -> None:
    job = rf.Job("j")
    job.stream("a").map(len).filter(bool).map(abs, name="mine").map(abs).to("b")
    assert list(job.graph.nodes) == ["stream-1", "map-1", "filter-1", "mine", "map-3", "sink-1"]


def test_a_node_knows_where_it_was_written() -> None:
    job = rf.Job("j")
    stream = job.stream("a")
    (
        stream
        .map(len)
        .filter(bool)
    )  # fmt: skip
    first, second, third = job.graph.nodes.values()
    lines = [int(node.location.removeprefix("test_streams.py:")) for node in (first, second, third)]
    assert [line - lines[0] for line in lines] == [0, 3, 4]


def test_a_stream_reads_bytes_keys_and_json_values_unless_told_otherwise() -> None:
    job = rf.Job("j")
    job.stream("a")
    spec = last_node(job).spec
    assert isinstance(spec, StreamSpec)
    assert (spec.key.type, spec.value.name) == (bytes, "json")
    assert (spec.watermark, spec.idle_after, spec.timestamp) == (rf.monotonic(), None, None)


def test_a_stream_takes_serdes_event_time_and_idleness() -> None:
    job = rf.Job("j")
    job.stream(
        "a",
        key=str,
        value=Order,
        timestamp=lambda o: o.ts,
        watermark=rf.bounded(seconds=5),
        idle_after=timedelta(minutes=1),
        on_error=rf.dead_letter("bad"),
    )
    spec = last_node(job).spec
    assert isinstance(spec, StreamSpec)
    assert (spec.key.type, spec.value.type) == (str, Order)
    assert (spec.watermark.out_of_order, spec.idle_after) == (5000, 60_000)
    assert spec.on_error == DeadLetter(TopicRef("bad"))


def test_filter_peek_and_print_keep_the_serdes_of_what_was_read() -> None:
    job = rf.Job("j")
    stream = job.stream("a", key=rf.text, value=rf.msgpack)
    stream.filter(lambda v: v).peek(lambda v: v).print().split(x=lambda v: v)["x"].to("b")
    assert (sink_of(job).key, sink_of(job).value) == (rf.text, rf.msgpack)


def test_bytes_stay_bytes_while_the_value_is_unchanged() -> None:
    job = rf.Job("j")
    job.stream("a", value=bytes).filter(len).to("b")
    assert sink_of(job).value.type is bytes


def test_a_mapped_value_is_json_unless_its_class_is_known() -> None:
    def order_of(value: Any) -> Order:
        return Order("u", 1.0)

    def orders_of(value: Any) -> list[Order]:
        return []

    job = rf.Job("j")
    stream = job.stream("a", key=rf.text, value=bytes)
    stream.map(lambda v: v).to("1")
    assert (sink_of(job).key, sink_of(job).value) == (rf.text, rf.json)
    stream.map(order_of).to("2")
    assert sink_of(job).value.type is Order
    stream.flat_map(orders_of).to("3")
    assert sink_of(job).value.type is Order


def test_a_return_annotation_of_plain_text_does_not_change_what_is_written() -> None:
    def upper(value: str) -> str:
        return value.upper()

    job = rf.Job("j")
    job.stream("a", value=str).map(upper).to("b")
    assert sink_of(job).value is rf.json


def test_a_new_key_is_written_by_its_type() -> None:
    job = rf.Job("j")
    job.stream("a", value=Order).key_by(lambda o: o.user).to("b")
    assert (sink_of(job).key, sink_of(job).value.type) == (rf.auto, Order)


def test_a_window_and_an_aggregation_keep_the_key_of_the_topic() -> None:
    job = rf.Job("j")
    keyed = job.stream("a", key=rf.int64, value=Order).group_by_key()
    keyed.window(rf.tumbling(minutes=1)).count().to("b")
    assert (sink_of(job).key, sink_of(job).value) == (rf.int64, rf.json)
    keyed.reduce(lambda a, b: a).to("c")
    assert sink_of(job).value.type is Order


def test_a_sink_takes_serdes_of_its_own() -> None:
    job = rf.Job("j")
    job.stream("a").to("b", key=rf.text, value=rf.msgpack, timestamp=lambda v: 1, headers=lambda v: [])
    assert (sink_of(job).key, sink_of(job).value) == (rf.text, rf.msgpack)
    assert sink_of(job).timestamp is not None
    assert sink_of(job).headers is not None


def test_merged_streams_keep_a_serde_that_they_share() -> None:
    job = rf.Job("j")
    job.stream("a", value=Order).merge(job.stream("b", value=Order)).to("c")
    assert sink_of(job).value.type is Order
    job.stream("d", value=str).merge(job.stream("e")).to("f")
    assert sink_of(job).value is rf.auto


def test_hopping_windows_grace_and_late_records() -> None:
    job = rf.Job("j")
    keyed = job.stream("a", value=Order).key_by(lambda o: o.user)
    windowed = keyed.window(rf.hopping(minutes=5, every=timedelta(minutes=1)), grace=timedelta(seconds=10))
    windowed.late_to("late").count(name="w", emit="updates").to("out")
    spec = job.graph.nodes["w"].spec
    assert isinstance(spec, WindowSpec)
    assert (spec.window.size, spec.window.every, spec.grace) == (300_000, 60_000, 10_000)
    assert (spec.emit, spec.late) == ("updates", True)
    late = job.graph.nodes["w-late"]
    assert late.inputs == (("w", LATE, "in"),)
    assert isinstance(late.spec, SinkSpec)
    assert (late.spec.topic, late.spec.value.type) == (TopicRef("late"), Order)
    assert job.graph.nodes["sink-1"].inputs == (("w", "out", "in"),)


def test_count_is_a_fold_that_operators_can_recognise() -> None:
    job = rf.Job("j")
    job.stream("a").key_by(len).window(rf.tumbling(seconds=1)).count()
    spec = last_node(job).spec
    assert isinstance(spec, WindowSpec)
    assert spec.reducer == FoldSpec(int, one_more)


def test_a_fold_makes_its_initial_value_anew() -> None:
    job = rf.Job("j")
    keyed = job.stream("a").key_by(len)
    for initial, expected in ((0, 0), (list, []), (lambda: {"n": 1}, {"n": 1}), (None, None)):
        keyed.fold(initial, lambda acc, v: acc)
        spec: Any = last_node(job).spec
        assert spec.reducer.initial() == expected


def test_a_sample_is_kept_with_its_topic() -> None:
    job = rf.Job("j")
    job.stream("a", value=str, sample=(word for word in ("x", "y")))
    job.stream("b", sample=lambda: [{"n": 1}])
    samples = job.graph.samples
    assert list(samples[TopicRef("a")].values()) == ["x", "y"] == list(samples[TopicRef("a")].values())
    assert list(samples[TopicRef("b")].values()) == [{"n": 1}]


def test_functions_of_the_value_keep_the_key_so_that_state_and_windows_follow_without_a_second_exchange() -> None:
    job = rf.Job("j")
    keyed = job.stream("orders", value=Order, timestamp=lambda o: o.ts).key_by(lambda o: o.user)
    prices = keyed.map(lambda o: o.price).flat_map(lambda price: [price, price]).filter(lambda price: price > 0)
    prices.split(big=lambda price: price > 10)["big"].count(emit="record").to("big", key=str)
    prices.process(Running).to_table(emit="record").to("totals", key=str)
    per_minute = prices.merge(keyed.map(lambda o: 1.0)).window(rf.tumbling(minutes=1)).aggregate(total=rf.sum())
    per_minute.fold(0.0, lambda most, r: max(most, r.total)).changes().reduce(max).to("most", key=str)
    plan = plan_of(job)
    assert ([stage.id for stage in plan.stages], len(plan.exchanges)) == (["s1", "s2"], 1)
    with rf.testing.Driver(job) as d:
        d.send_all("orders", [Order("ann", 20.0, 0), Order("bob", 5.0, 1), Order("ann", 1.0, 2)])
        d.advance(minutes=1)
        found = {
            topic: [(r.key, r.value) for r in d.records(topic) if r.key == "ann"] for topic in ("big", "totals", "most")
        }
    assert found == {
        "big": [("ann", 1), ("ann", 2)],
        "totals": [("ann", 20.0), ("ann", 40.0), ("ann", 41.0), ("ann", 42.0)],
        "most": [("ann", 44.0)],
    }


def test_the_topics_own_keys_are_kept_too_without_any_exchange() -> None:
    job = rf.Job("j")
    job.stream("sizes", key=str).group_by_key().process(Running).map(str).to_table().to("newest", key=str)
    assert plan_of(job).exchanges == ()
    with rf.testing.Driver(job) as d:
        d.send_all("sizes", [1.0, 2.0], key="ann")
        assert [(r.key, r.value) for r in d.records("newest")] == [("ann", "3.0")]


def test_branches_are_streams_by_name() -> None:
    branches = rf.Job("j").stream("a").split(x=lambda v: v, y=lambda v: v)
    assert list(branches) == ["x", "y"]
    assert len(branches) == 2
    with pytest.raises(InvalidJob, match="no branch 'z'"):
        branches["z"]


def test_unknown_attributes_are_plain_attribute_errors() -> None:
    stream = rf.Job("j").stream("a")
    assert not hasattr(stream, "frobnicate")
    with pytest.raises(AttributeError, match="'Stream' object has no attribute 'frobnicate'"):
        stream.frobnicate()  # type: ignore[attr-defined]


def two(a: Any, b: Any) -> Any:
    return a


async def slow(value: Any) -> Any:
    return value


def silent(value: Any, other: Any = None) -> None:
    value["seen"] = True


def sometimes_text(value: Any) -> Any:
    if not value:
        return None
    return f"{value}"


def annotated_text(value: Any) -> str:
    return value["text"]  # type: ignore[no-any-return]


class ForgetsToReturn(rf.Aggregation[Any, Any, Any]):
    def create(self) -> list[Any]:
        return []

    def add(self, accumulator: Any, value: Any) -> Any:
        accumulator.append(value)

    def result(self, accumulator: Any) -> int:
        return len(accumulator)


MISUSE: list[tuple[str, Any]] = [
    (r"map\(\) is given silent\(\), which returns nothing", lambda s: s.map(silent)),
    (r"filter\(\) is given silent\(\), which returns nothing", lambda s: s.filter(silent)),
    (r"flat_map\(\) is given silent\(\), which returns nothing", lambda s: s.flat_map(silent)),
    (r"key_by\(\) is given silent\(\), which returns nothing", lambda s: s.key_by(silent)),
    (r"split\(x=\) is given silent\(\), which returns nothing", lambda s: s.split(x=silent)),
    (r"reduce\(\) is given silent\(\), which returns nothing", lambda s: s.key_by(len).reduce(silent)),
    (r"fold\(\) is given silent\(\), which returns nothing", lambda s: s.key_by(len).fold(dict, silent)),
    (r"a=rf\.sum\(\) is given silent\(\), which ret", lambda s: s.key_by(len).aggregate(a=rf.sum(silent))),
    (r"ForgetsToReturn\.add is given add\(\), which ret", lambda s: s.key_by(len).aggregate(a=ForgetsToReturn())),
    (r"timestamp=\) is given silent\(\), which returns nothing", lambda s: s.to("b", timestamp=silent)),
    (r"on_error= is given silent\(\), which returns nothing", lambda s: s.map(len, on_error=silent)),
    (r"flat_map\(\) returns a str, not an iterable", lambda s: s.flat_map(sometimes_text)),
    (r"flat_map\(\) returns a str, not an iterable", lambda s: s.flat_map(annotated_text)),
    (r"flat_map\(\) returns a int, not an iterable", lambda s: s.flat_map(int)),
    (r"\.window\(\) needs a keyed stream", lambda s: s.window(rf.tumbling(minutes=1))),
    (r"\.count\(\) needs a keyed stream", lambda s: s.key_by(len).merge(s).count()),
    (r"\.map\(\) is a method of streams, and this is a table", lambda s: s.key_by(len).count().map(len)),
    (r"\.to_table\(\) is a method of streams, and this is a table", lambda s: s.key_by(len).count().to_table()),
    (r"\.changes\(\) comes too early", lambda s: s.key_by(len).window(rf.tumbling(minutes=1)).changes()),
    (r"\.to\(\) comes too early", lambda s: s.key_by(len).window(rf.tumbling(minutes=1)).to("x")),
    (r"map\(\) is given a int, not a function", lambda s: s.map(5)),
    (r"map\(\) calls its function with \(value\), but it takes \(a", lambda s: s.map(two)),
    (r"filter\(\) is given an async function", lambda s: s.filter(slow)),
    (r"reduce\(\) calls its function with \(accumulator, value\)", lambda s: s.key_by(len).reduce(lambda v: v)),
    (r"fold\(\) begins with one list that all keys would share", lambda s: s.key_by(len).fold([], two)),
    (r"own keys, but key_by\(\) at test_streams\.py:\d+ replaced", lambda s: s.key_by(len).map(len).group_by_key()),
    (r"group_by_key\(\) needs the topic's own keys", lambda s: s.merge(s.key_by(len)).to_table()),
    (r"merge\(\) is given a stream of another job", lambda s: s.merge(rf.Job("k").stream("a"))),
    (r"merge\(\) is given a Table", lambda s: s.merge(s.key_by(len).count())),
    (r"merge\(\) is given nothing", lambda s: s.merge()),
    (r"split\(\) is given no branch", lambda s: s.split()),
    (r"a branch cannot be called 'rest'", lambda s: s.split(rest=len)),
    (r"'no/slash' cannot be the name of an operator", lambda s: s.map(len, name="no/slash")),
    (r"id 'x' is taken already, at test_streams\.py:\d+", lambda s: s.map(len, name="x").map(len, name="x")),
    (r"a topic has no name", lambda s: s.to("")),
    (r"a topic is given as int", lambda s: s.to(5)),
    (r"value=: an object of type object is neither a serde nor a type", lambda s: s.to("x", value=object())),
    (r"on_error=rf\.dead_letter names no topic", lambda s: s.map(len, on_error=rf.dead_letter)),
    (r"on_error= is given something else", lambda s: s.map(len, on_error="skip")),
    (r"on_error= calls its function with", lambda s: s.map(len, on_error=lambda: rf.skip)),
    (r"emit='updates' is unknown for a table", lambda s: s.key_by(len).count(emit="updates")),
    (r"emit='epoch' is unknown for win", lambda s: s.key_by(len).window(rf.tumbling(minutes=1)).count(emit="epoch")),
    (r"window\(\) is given a int", lambda s: s.key_by(len).window(60)),
    (r"grace= is a int, not a duration", lambda s: s.key_by(len).window(rf.tumbling(minutes=1), grace=5)),
    (r"grace= is negative", lambda s: s.key_by(len).window(rf.tumbling(minutes=1), grace=timedelta(seconds=-1))),
    (r"the size of rf\.tumbling is too short", lambda s: rf.tumbling()),
    (r"the size of rf\.tumbling is given twice", lambda s: rf.tumbling(timedelta(minutes=1), seconds=1)),
    (r"the size of rf\.tumbling is a int", lambda s: rf.tumbling(60)),  # type: ignore[arg-type]
    (r"seconds= of the size of rf\.tumbling is nan", lambda s: rf.tumbling(seconds=float("nan"))),
    (r"hours= of the size of rf\.hopping is inf", lambda s: rf.hopping(hours=float("inf"), every=timedelta(1))),
    (r"days= of the delay of rf\.bounded is a str", lambda s: rf.bounded(days="5")),  # type: ignore[arg-type]
    (r"the size of rf\.tumbling is too long", lambda s: rf.tumbling(days=1e12)),
    (r"the delay of rf\.bounded is not a whole number", lambda s: rf.bounded(timedelta(microseconds=5))),
    (r"every= \(60000 ms\) is longer than the window", lambda s: rf.hopping(seconds=1, every=timedelta(minutes=1))),
    (r"late records go to a already", lambda s: s.key_by(len).window(rf.tumbling(minutes=1)).late_to("a").late_to("b")),
    (r"rf\.kafka\(\) is given no bootstrap", lambda s: rf.kafka("t", bootstrap="")),
    (r"delivery='twice' is unknown", lambda s: rf.Job("x", delivery="twice")),  # type: ignore[arg-type]
    (r"checkpoint_interval= is a int", lambda s: rf.Job("x", checkpoint_interval=5)),  # type: ignore[arg-type]
    (r"'a job' cannot be the name of a job", lambda s: rf.Job("a job")),
    (r"watermark= is not a strategy", lambda s: rf.Job("x").stream("a", watermark=5)),  # type: ignore[call-overload]
    (r"sample= is a int", lambda s: rf.Job("x").stream("a", sample=5)),  # type: ignore[call-overload]
    (r"timestamp=\) calls its function with \(value\)", lambda s: rf.Job("x").stream("a", timestamp=lambda: 1)),  # type: ignore[misc, arg-type]
]  # fmt: skip


@pytest.mark.parametrize(("message", "misuse"), MISUSE, ids=[message for message, _ in MISUSE])
def test_misuse_is_an_error_that_names_the_line_and_says_what_to_do(message: str, misuse: Any) -> None:
    stream: Any = rf.Job("j").stream("a")
    with pytest.raises(InvalidJob, match=message) as caught:
        misuse(stream)
    assert caught.value.what.startswith("test_streams.py:")
    assert caught.value.advice


def raises(value: Any) -> None:
    raise ValueError


def explicit(value: Any) -> Any:
    return None


def yields(value: Any) -> Any:
    yield value


def branches_that_raise(value: Any) -> Any:
    if value:
        raise ValueError
    raise KeyError


def test_a_function_that_may_return_something_or_says_none_is_accepted() -> None:
    stream = rf.Job("j").stream("a")
    for fn in (raises, explicit, branches_that_raise, lambda value: None, print):
        stream.map(fn)
    stream.peek(silent).flat_map(yields)
    stream.flat_map(dict.keys)
    stream.to("b", headers=silent)  # type: ignore[arg-type]


def test_two_samples_for_one_topic_are_refused() -> None:
    job = rf.Job("j")
    job.stream("a", sample=[1])
    with pytest.raises(InvalidJob, match="has a sample already"):
        job.stream("a", sample=[2])


def test_a_partial_is_a_function() -> None:
    assert repr(rf.Job("j").stream("a").map(partial(two, 1))) == "<Stream a | map>"

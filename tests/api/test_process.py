"""ProcessFunction classes: their states, and what `process()` accepts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

import rayflow as rf
from rayflow.api.specs.outputs import SinkSpec
from rayflow.api.specs.process import ProcessSpec
from rayflow.api.state import StateDescriptor, states_of
from rayflow.core.errors import InvalidJob


class Alert(rf.Record):
    user: str


class Fraud(rf.ProcessFunction[str, dict[str, Any], Alert]):
    total = rf.value(0.0, ttl=timedelta(days=1))
    seen: rf.ListState[str] = rf.list()
    prices: rf.MapState[str, float] = rf.map(ttl=timedelta(hours=1))

    def __init__(self, limit: float = 1000) -> None:
        self.limit = limit

    def process(self, value: dict[str, Any], ctx: rf.Context) -> Iterable[Alert]:
        self.total.set(self.total.get() + value["amount"])
        if self.total.get() > self.limit:
            yield Alert(ctx.key)
            ctx.timer_in(timedelta(minutes=10))

    def on_timer(self, at: int, ctx: rf.Context) -> Iterable[Alert]:
        self.total.clear()
        return ()


class Pair(NamedTuple):
    a: int
    b: int


class Stateless(rf.ProcessFunction[bytes, Any, Any]):
    def process(self, value: Any, ctx: rf.Context) -> Iterable[Any]:
        return [value]


class Narrower(Fraud):
    seen = None  # type: ignore[assignment]
    extra = rf.value(0)


class NeedsLimit(Stateless):
    def __init__(self, limit: int) -> None:
        self.limit = limit


def test_states_are_declared_in_the_class() -> None:
    found = [(state.name, state.kind, state.default, state.ttl) for state in states_of(Fraud)]
    assert found == [
        ("total", "value", 0.0, 86_400_000),
        ("seen", "list", None, None),
        ("prices", "map", None, 3_600_000),
    ]


def test_a_subclass_adds_states_and_can_drop_one() -> None:
    assert [state.name for state in states_of(Narrower)] == ["total", "prices", "extra"]


def test_a_live_state_in_the_instance_hides_the_declaration() -> None:
    function = Fraud()
    function.__dict__["total"] = "live"
    assert function.total == "live"  # type: ignore[comparison-overlap]
    assert isinstance(Fraud.total, StateDescriptor)


def test_state_outside_of_a_running_job_is_an_error() -> None:
    with pytest.raises(InvalidJob, match="state 'total' is read outside of process"):
        Fraud().total.get()


def test_a_default_that_keys_would_share_is_refused() -> None:
    with pytest.raises(InvalidJob, match=r"the default of rf\.value is a list"):
        rf.value([])


def test_one_declaration_cannot_be_two_states() -> None:
    shared = rf.value(0)
    with pytest.raises((InvalidJob, RuntimeError)) as caught:
        type("Twice", (Stateless,), {"a": shared, "b": shared})
    error = caught.value if isinstance(caught.value, InvalidJob) else caught.value.__cause__
    assert isinstance(error, InvalidJob)
    assert "is declared as 'a' and as 'b'" in error.what


def test_process_makes_one_instance_per_task_and_knows_the_type_of_results() -> None:
    job = rf.Job("j")
    keyed = job.stream("a").key_by(lambda v: str(v["user"]))
    keyed.process(Fraud).to("b")
    keyed.process(lambda: Fraud(limit=5), name="strict")
    spec, sink = job.graph.nodes["process-1"].spec, job.graph.nodes["sink-1"].spec
    assert isinstance(spec, ProcessSpec)
    assert spec.keyed
    assert spec.make() is not spec.make()
    assert isinstance(sink, SinkSpec)
    assert sink.value.type is Alert
    strict = job.graph.nodes["strict"].spec
    assert isinstance(strict, ProcessSpec)
    assert strict.function is Fraud


def test_a_function_without_state_runs_on_any_stream() -> None:
    job = rf.Job("j")
    job.stream("a").process(Stateless)
    spec = job.graph.nodes["process-1"].spec
    assert isinstance(spec, ProcessSpec)
    assert not spec.keyed


class MadeInInit(Stateless):
    def __init__(self) -> None:
        self.total = rf.value(0)


class Replaced(Stateless):
    total = rf.value(0)
    seen: rf.ListState[int] = rf.list()
    prices: rf.MapState[str, int] = rf.map()

    def process(self, value: Any, ctx: rf.Context) -> Iterable[Any]:
        value.total = 1  # of another object
        self.limit = 5
        return []


class Assigned(Replaced):
    def process(self, value: Any, ctx: rf.Context) -> Iterable[Any]:
        def later() -> None:
            self.total = 5  # type: ignore[assignment]

        return [later]


class Added(Replaced):
    def process(self, value: Any, ctx: rf.Context) -> Iterable[Any]:
        self._add(value)
        return []

    def _add(self, value: Any) -> None:
        self.seen += [value]  # type: ignore[operator]


class Deleted(Replaced):
    def on_timer(self, at: int, ctx: rf.Context) -> Iterable[Any]:
        del self.prices
        return []


class SetInInit(Replaced):
    def __init__(self) -> None:
        self.__dict__["total"] = 5


class Forgetful(Stateless):
    def process(self, value: Any, ctx: rf.Context) -> Iterable[Any]:
        self._remind(ctx)
        return []

    def _remind(self, context: rf.Context) -> None:
        context.timer_in(timedelta(minutes=1))


class OneRecord(rf.ProcessFunction[Any, Any, Any]):
    def process(self, value: Any, ctx: Any):  # type: ignore[no-untyped-def]
        if value:
            return Alert("ann")
        return None


class AnnotatedRecord(rf.ProcessFunction[Any, Any, Any]):
    def process(self, value: Any, ctx: Any) -> Alert | None:  # type: ignore[override]
        return value  # type: ignore[no-any-return]


class OneDict(rf.ProcessFunction[Any, Any, Any]):
    def process(self, value: Any, ctx: Any):  # type: ignore[no-untyped-def]
        return {"user": value}


class OneText(Stateless):
    def on_timer(self, at: int, ctx: Any):  # type: ignore[no-untyped-def]
        return f"{at}"


class OneTuple(rf.ProcessFunction[Any, Any, Any]):
    def process(self, value: Any, ctx: Any):  # type: ignore[no-untyped-def]
        return Pair(1, 2)


class Asynchronous(rf.ProcessFunction[Any, Any, Any]):
    async def process(self, value: Any, ctx: Any) -> Any:
        return []


class WithoutContext(rf.ProcessFunction[Any, Any, Any]):
    def process(self, value: Any) -> Any:  # type: ignore[override]
        return []


@pytest.mark.parametrize(
    ("message", "given"),
    [
        (r"MadeInInit makes the state 'total' in __init__", MadeInInit),
        (r"Assigned\.process replaces its state 'total' by an attribute \(line \d+\)", Assigned),
        (r"Added\._add replaces its state 'seen' by an attribute", Added),
        (r"Deleted\.on_timer replaces its state 'prices' by an attribute", Deleted),
        (r"SetInInit replaces its state 'total' by an attribute", SetInInit),
        (r"Forgetful\._remind sets a timer, but the class has no on_timer", Forgetful),
        (r"OneRecord\.process returns a Alert, not an iterable", OneRecord),
        (r"AnnotatedRecord\.process returns a Alert, not an iterable", AnnotatedRecord),
        (r"OneDict\.process returns a dict, not an iterable", OneDict),
        (r"OneText\.on_timer returns a str, not an iterable", OneText),
        (r"OneTuple\.process returns a Pair, not an iterable", OneTuple),
        (r"Asynchronous\.process is given an async function", Asynchronous),
        (r"WithoutContext\.process calls its function with \(value, ctx\)", WithoutContext),
    ],
)
def test_what_would_fail_with_each_record_is_refused_when_the_job_is_built(message: str, given: Any) -> None:
    with pytest.raises(InvalidJob, match=message) as caught:
        rf.Job("j").stream("a").group_by_key().process(given)
    assert caught.value.what.startswith("test_process.py:")
    assert caught.value.advice


def test_the_advice_for_a_state_that_is_assigned_to_says_what_to_write() -> None:
    with pytest.raises(InvalidJob) as caught:
        rf.Job("j").stream("a").group_by_key().process(Assigned)
    assert caught.value.advice == "Write self.total.set(x), and self.total.clear() to remove it"


class HarmlessBesideState(Replaced):
    """Nothing here may be refused."""

    def process(self, value: Any, ctx: rf.Context) -> Iterable[Any]:
        self.newest = Alert("ann")
        if value is None:
            return None  # type: ignore[return-value]
        return Pair(1, 2)._asdict()["a"] or [Alert("ann")]  # type: ignore[no-any-return]

    def on_timer(self, at: int, ctx: rf.Context) -> Iterable[Any]:
        def alert() -> Alert:
            return Alert("ann")

        ctx.timer_at(at + 1)
        yield alert()


class Shadowed(Replaced):
    def process(self, value: Any, ctx: rf.Context) -> Iterable[Any]:
        class Inner:
            def __init__(self) -> None:
                self.total = 5

        def inner(self: Any, ctx: Any) -> None:
            self.total = ctx.timer_at

        return [Inner(), inner]


class WronglyAnnotated(rf.ProcessFunction[Any, Any, Any]):
    def process(self, value: Any, ctx: rf.Context) -> Alert:  # type: ignore[override]
        return [Alert("ann")]  # type: ignore[return-value]

    def on_timer(self, at: int, ctx: rf.Context) -> Alert:  # type: ignore[override, misc]
        yield Alert("ann")


@pytest.mark.parametrize("given", [HarmlessBesideState, Replaced, Shadowed, WronglyAnnotated])
def test_attributes_beside_the_states_and_results_that_cannot_be_seen_are_accepted(given: Any) -> None:
    rf.Job("j").stream("a").group_by_key().process(given)


@pytest.mark.parametrize(
    ("message", "given"),
    [
        ("Fraud has state 'total', which belongs to a key", Fraud),
        ("is given one Stateless object, which all tasks would share", Stateless()),
        ("cannot make its function: TypeError", NeedsLimit),
        ("is given a function that makes a int", lambda: 5),
        ("is given a str", "Fraud"),
        ("dict is no rf.ProcessFunction", dict),
        ("ProcessFunction has no process method", rf.ProcessFunction),
    ],
)
def test_what_cannot_run_is_refused(message: str, given: Any) -> None:
    with pytest.raises(InvalidJob, match=message) as caught:
        rf.Job("j").stream("a").process(given)
    assert caught.value.what.startswith("test_process.py:")

"""Savepoints of a run's last checkpoint: each that is asked for is written, or whoever asked gets an error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rayflow.checkpoint import savepoint as writing
from rayflow.checkpoint.layout import SAVEPOINT, SAVEPOINT_CLAIM
from rayflow.checkpoint.manifest import manifest_epochs, read_savepoint
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.savepoint_claim import encode_claim
from rayflow.core.errors import InvalidSetting, ObjectExists, RayflowError
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.local import protocol
from rayflow.runtimes.local.attempt import LocalAttempt
from rayflow.runtimes.local.control import local_job
from rayflow.runtimes.local.runtime import LocalRuntime
from rayflow.runtimes.local.sockets import connect
from rayflow.runtimes.machine.connectors import OpenConnectors
from tests.e2e.brokers import Broker
from tests.e2e.jobs import counts
from tests.e2e.running import Running
from tests.kafka.client import until

Ask = Callable[..., Callable[[], protocol.Answer]]


class Held:
    """A function that waits, the first time it is called, until `go_on` is set."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        before = getattr(owner, name)

        def held(*arguments: Any) -> Any:
            self.reached.set()
            assert self.go_on.wait(60)
            return before(*arguments)

        patch.setattr(owner, name, held)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(f"embedded:{tmp_path / 'log'}", tag="")
    broker.create("in", 3)
    broker.append("in", [("a", "x"), ("b", "y"), ("c", "x")])
    yield broker
    broker.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@contextmanager
def steered(broker: Broker, state: Path, **options: Any) -> Iterator[tuple[Running, Ask]]:
    """The job `counts`, once it has read everything, and what posts a stop to it and gives what reads the answer."""
    with ExitStack() as stack:
        running = stack.enter_context(Running(counts(broker), broker, state, **options))
        running.until(lambda status: status.records_in >= 3 and status.epoch > 0)
        requests = running.runtime._requests
        posted = 0

        def stop(*, drain: bool = False, savepoint: str | None = None) -> None:
            nonlocal posted
            before(drain=drain, savepoint=savepoint)
            posted += 1

        before, requests.stop = requests.stop, stop  # type: ignore[method-assign]

        def ask(uri: str, wait: bool = True) -> Callable[[], protocol.Answer]:
            asking = stack.enter_context(connect(state / "jobs" / "counts", "counts", 60))
            asking.settimeout(60)
            number = posted + 1
            asking.sendall(protocol.pack(protocol.StopRun(drain=False, savepoint=uri, wait=wait)))
            until(lambda: posted == number, 30)

            def answer() -> protocol.Answer:
                with asking.makefile("rb") as file:
                    return protocol.read_answer(file.read(int.from_bytes(file.read(protocol.LENGTH), "big")))

            return answer

        yield running, ask


def uris(folder: Path) -> tuple[str, str]:
    return f"file:{folder / 'one'}", f"file:{folder / 'two'}"


def status_of(answer: protocol.Answer) -> JobStatus:
    assert isinstance(answer, protocol.StatusAnswer)
    return answer.status


def test_every_savepoint_that_is_asked_for_is_written(broker: Broker, state: Path, tmp_path: Path) -> None:
    one, two = uris(tmp_path)
    at_stop = f"file:{tmp_path / 'at-stop'}"
    with steered(broker, state, savepoint_at_stop=at_stop) as (running, ask):
        go_on = threading.Event()
        running.runtime._requests._posted.append(lambda: go_on.wait(60) and None)  # the loop is busy meanwhile
        answers = [ask(one), ask(two), ask(two)]
        go_on.set()
        for answer in answers:
            status = status_of(answer())
            assert (status.state, status.savepoints) == ("stopped", [at_stop, one, two])
    for uri in (at_stop, one, two):
        assert read_savepoint(open_store(uri)).epoch == status.epoch


@pytest.mark.parametrize(("owner", "name"), [(writing, "encode_manifest"), (LocalAttempt, "close")])
def test_one_that_is_asked_for_while_the_run_ends_is_written_too(
    owner: Any, name: str, broker: Broker, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = uris(tmp_path)
    held = Held(monkeypatch, owner, name)
    with steered(broker, state) as (_, ask):
        first = ask(one)
        assert held.reached.wait(60)
        second, unwaited = ask(two), ask(two, wait=False)
        held.go_on.set()
        assert status_of(first()).savepoints == status_of(second()).savepoints == [one, two]
        assert isinstance(unwaited(), protocol.Taken)
    assert read_savepoint(open_store(two)).epoch == read_savepoint(open_store(one)).epoch


@pytest.mark.parametrize("wait", [True, False])
def test_whoever_asks_too_late_gets_an_error(
    wait: bool, broker: Broker, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = uris(tmp_path)
    held = Held(monkeypatch, OpenConnectors, "close")
    with steered(broker, state) as (_, ask):
        first = ask(one)
        assert held.reached.wait(60)
        second = ask(two, wait)
        held.go_on.set()
        assert status_of(first()).savepoints == [one]
        with pytest.raises(RayflowError, match="ended before the savepoint"):
            second()
    assert not (tmp_path / "two").exists()


def test_one_that_cannot_be_written_hinders_no_other(broker: Broker, state: Path, tmp_path: Path) -> None:
    one, two = uris(tmp_path)
    with steered(broker, state) as (running, ask):
        go_on = threading.Event()
        running.runtime._requests._posted.append(lambda: go_on.wait(60) and None)
        first, second = ask(one), ask(two)
        open_store(one).create(SAVEPOINT, b"somebody's")
        go_on.set()
        with pytest.raises(ObjectExists):
            first()
        status = status_of(second())
        assert (status.state, status.savepoints) == ("failed", [two])
        assert isinstance(running.failure(), ObjectExists)
        running.error = None
    assert read_savepoint(open_store(two)).epoch == status.epoch


@pytest.mark.parametrize("wait", [True, False])
def test_a_place_that_cannot_take_a_savepoint_stops_nothing(
    wait: bool, broker: Broker, state: Path, tmp_path: Path
) -> None:
    one, two = uris(tmp_path)
    open_store(one).create(SAVEPOINT, b"somebody's")
    open_store(two).create(SAVEPOINT_CLAIM, encode_claim("another", "ab", "file//elsewhere"))
    refused = {
        "nothing:at/all": InvalidSetting,
        f"file:{state / 'jobs' / 'counts' / 'checkpoints' / 'within'}": InvalidSetting,
        f"file:{state / 'jobs' / 'other'}": InvalidSetting,
        one: ObjectExists,
        two: ObjectExists,
    }
    with steered(broker, state) as (running, _):
        job = local_job(state, "counts")
        for uri, error in refused.items():
            with pytest.raises(error):
                job.stop(savepoint=uri) if wait else job.ask_to_stop(savepoint=uri)
        assert job.status().state == "running"
        assert running.runtime._requests.ending is None
        three = f"file:{tmp_path / 'three'}"
        assert job.stop(savepoint=three).savepoints == [three]
    assert sorted(path.name for path in (tmp_path / "one").iterdir() if path.is_file()) == [SAVEPOINT]


def test_a_place_for_the_end_that_cannot_take_a_savepoint_is_refused_at_the_start(
    broker: Broker, state: Path, tmp_path: Path
) -> None:
    one, _ = uris(tmp_path)
    open_store(one).create(SAVEPOINT, b"somebody's")
    options = RunOptions(broker=broker.url, state=state, savepoint_at_stop=one)
    with pytest.raises(ObjectExists, match="already contains a savepoint"):
        LocalRuntime(plan_of(counts(broker)), options).run()
    assert manifest_epochs(open_store(options.checkpoint_store("counts"))) == []


def test_a_stop_at_once_ends_the_wait_for_a_store_that_hangs(
    broker: Broker, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = uris(tmp_path)
    held = Held(monkeypatch, writing, "encode_manifest")
    with steered(broker, state) as (running, ask):
        answer = ask(one)
        assert held.reached.wait(60)
        with pytest.raises(RayflowError, match=f"before savepoint {one} was written"):
            local_job(state, "counts").remove()
        with pytest.raises(RayflowError, match=f"before savepoint {one} was written"):
            answer()
        assert one in str(running.failure())
        running.error = None
        held.go_on.set()
